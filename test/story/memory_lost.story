# The client's memory goes away under a running device: only a reset helps.
device queues=1
up
lost
kick 0                  | [0] settle
                        | [0] warning: broken, the driver has to reset it: queue 0: client memory went away (a truncated file?)
                        | [0] RUNNING -> BROKEN (BREAK)
                        | [0] notify config
state                   | [0] BROKEN, status 0x4f, held by nobody, 0 in flight: queue 0: client memory went away (a truncated file?)
reset gone              | [0] BROKEN -> RESETTING (DRIVER_GONE)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] queue 0 stopped
                        | [0] forget everything
                        | [0] reset: success
