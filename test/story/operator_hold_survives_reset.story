# A driver's reset and the next driver change nothing about the operator's hold (S14).
device queues=1
up
suspend operator        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend operator: success
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by operator, 0 in flight
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
queue 0 0               | [0] ready: success
status 0xf              | [0] NEGOTIATING -> RUNNING (DRIVER_OK)
                        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] status: success
state                   | [0] SUSPENDED, status 0xf, held by operator, 0 in flight
submit 0 1
reset gone              | [0] SUSPENDED -> RESETTING (DRIVER_GONE)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] queue 0 stopped
                        | [0] forget everything
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by operator, 0 in flight
resume operator         | [0] resume: success
