# The backend keeps a disabled queue's request: the caller gets its answer, the device is broken.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
ready 0 off             | [0] deadline 100
wait 100                | [100] warning: broken, the driver has to reset it: queue 0: the backend kept requests after it was disabled
                        | [100] RUNNING -> BROKEN (BREAK)
                        | [100] cancel queue 0
                        | [100] notify config
                        | [100] no deadline
                        | [100] not ready: success
state                   | [100] BROKEN, status 0x4f, held by nobody, 1 in flight: queue 0: the backend kept requests after it was disabled
finish 1
reset driver            | [100] BROKEN -> RESETTING (DRIVER_RESET)
                        | [100] RESETTING -> RESET (DRAINED)
                        | [100] forget calls
                        | [100] reset: success
