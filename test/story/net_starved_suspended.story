# A frame that found too few buffers is in the card. It is not shown by half (S3), the buffers are not
# taken, and it is delivered when there are more, before what came later; or dropped, and counted, by
# a reset.
device net features=0xa78020
up
buffer 1 50
kick 0
arrive 5 100
state                   | [0] RUNNING, status 0xf, held by nobody, 0 in flight
base 0                  | [0] base of queue 0: 0
suspend operator        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend operator: success
base 0                  | [0] base of queue 0: 0
arrive 6 60
buffer 2 50
buffer 3 50
kick 0
resume operator         | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] notify queue 0
                        | [0] used queue 0: 1, 50 bytes
                        | [0] used queue 0: 2, 50 bytes
                        | [0] used queue 0: 3, 12 bytes
                        | [0] resume: success
arrive 7 10
counters                | [0] received: 1, filtered 0, malformed 0, no room 0; waiting 1
                        | [0] sent: 0, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] commands: 0, refused 0
base 0                  | [0] base of queue 0: 3
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
arrive 8 60
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
fresh 0
fresh 1
fresh 2
counters                | [0] received: 1, filtered 0, malformed 0, no room 1; waiting 2
                        | [0] sent: 0, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] commands: 0, refused 0
status 1                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
status 3                | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
queue 0 0               | [0] ready: success
queue 1 0               | [0] ready: success
queue 2 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] status: success
buffer 4 200
kick 0                  | [0] notify queue 0
                        | [0] used queue 0: 4, 72 bytes
counters                | [0] received: 2, filtered 0, malformed 1, no room 1; waiting 0
                        | [0] sent: 0, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] commands: 0, refused 0
