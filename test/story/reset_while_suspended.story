# A reset while suspended leaves a clean device (S13); kicks from before mean nothing to it (L5).
device queues=1
up
submit 0 1              | [0] take 1 of queue 0
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
submit 0 2
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
base 0                  | [0] base of queue 0: 0
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
fresh 0
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] status: success
submit 0 2              | [0] take 2 of queue 0
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
