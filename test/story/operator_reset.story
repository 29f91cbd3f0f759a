# The operator's reset breaks the device so that its driver resets it. Suspended, nothing may be
# announced (S5): it is refused.
device queues=1 timeout=100
reset operator          | [0] RESET -> RESET (OPERATOR_RESET)
                        | [0] reset: success
up
submit 0 1              | [0] take 1 of queue 0
suspend operator        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
reset operator          | [0] SUSPENDING -> BROKEN (OPERATOR_RESET)
                        | [0] cancel queue 0
                        | [0] notify config
                        | [0] no deadline
                        | [0] suspend operator: EIO
                        | [0] reset: success
finish 1
state                   | [0] BROKEN, status 0x4f, held by nobody, 0 in flight: the operator asked for a reset
reset driver            | [0] BROKEN -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
fresh 0
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] status: success
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
reset operator          | [0] SUSPENDED: OPERATOR_RESET refused: Device or resource busy
                        | [0] reset: EBUSY
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
reset operator          | [0] RUNNING -> BROKEN (OPERATOR_RESET)
                        | [0] notify config
                        | [0] reset: success
state                   | [0] BROKEN, status 0x4f, held by nobody, 0 in flight: the operator asked for a reset
