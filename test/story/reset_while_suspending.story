# A reset ends the wait for suspension, waits for the backend, shows nothing any more (S13).
device queues=2 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
submit 1 2              | [0] take 2 of queue 1
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
reset driver            | [0] SUSPENDING -> RESETTING (DRIVER_RESET)
                        | [0] cancel queue 0
                        | [0] cancel queue 1
                        | [0] suspend driver: ECANCELED
state                   | [0] RESETTING, status 0xf, held by nobody, 2 in flight
finish 1                | [0] settle
finish 2                | [0] settle
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] no deadline
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
base 0                  | [0] base of queue 0: 0
# And the device is as good as new.
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
fresh 0
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] status: success
state                   | [0] RUNNING, status 0xf, held by nobody, 0 in flight
base 0                  | [0] base of queue 0: 0
