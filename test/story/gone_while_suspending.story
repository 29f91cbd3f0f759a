# The driver leaves while suspending: requests come back unseen, then everything is forgotten (S13).
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
reset gone              | [0] SUSPENDING -> RESETTING (DRIVER_GONE)
                        | [0] cancel queue 0
                        | [0] suspend driver: ECANCELED
windows                 | [0] windows: 1 made, 0 gone
finish 1                | [0] settle
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] queue 0 stopped
                        | [0] forget everything
                        | [0] no deadline
                        | [0] reset: success
windows                 | [0] windows: 1 made, 1 gone
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
