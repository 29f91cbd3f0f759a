# The same for a driver that leaves: its memory stays mapped until the backend lets go of it.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
reset gone              | [0] RUNNING -> RESETTING (DRIVER_GONE)
                        | [0] cancel queue 0
                        | [0] deadline 100
wait 100                | [100] warning: broken: the backend did not give 1 requests back for a reset
                        | [100] RESETTING -> BROKEN (DEADLINE)
                        | [100] notify config
                        | [100] no deadline
                        | [100] reset: ETIMEDOUT
state                   | [100] BROKEN, status 0x4f, held by nobody, 1 in flight: the backend did not give 1 requests back for a reset
windows                 | [100] windows: 1 made, 0 gone
finish 1
reset gone              | [100] BROKEN -> RESETTING (DRIVER_GONE)
                        | [100] RESETTING -> RESET (DRAINED)
                        | [100] queue 0 stopped
                        | [100] forget everything
                        | [100] reset: success
windows                 | [100] windows: 1 made, 1 gone
state                   | [100] RESET, status 0x0, held by nobody, 0 in flight
