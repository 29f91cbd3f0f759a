# Suspend without resume, a common combination: the only way out is a reset (KS29).
device queues=1 resume=off
up
submit 0 1              | [0] take 1 of queue 0
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
resume driver           | [0] resume: EOPNOTSUPP
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
base 0                  | [0] base of queue 0: 1
set-base 0 1            | [0] set-base: success
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
base 0                  | [0] base of queue 0: 0
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
