# The model finds nonsense while the device drains: those who wait for suspension hear EIO.
device queues=2 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
submit 1 2              | [0] take 2 of queue 1
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
suspend operator 1000
refuse 1                | [0] settle
                        | [0] warning: broken, the driver has to reset it: queue 0: no answer is possible
                        | [0] SUSPENDING -> BROKEN (BREAK)
                        | [0] cancel queue 1
                        | [0] notify config
                        | [0] no deadline
                        | [0] suspend driver: EIO
                        | [0] suspend operator: EIO
state                   | [0] BROKEN, status 0x4f, held by nobody, 1 in flight: queue 0: no answer is possible
finish 2
reset driver            | [0] BROKEN -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
