# A request comes back to a ring that was found broken: it cannot be answered. The queue is disabled
# before control has heard of it: the device is broken all the same, and nothing is skipped silently.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
workers off
nonsense 0
pass 0 1                | [0] settle
finish 1
pass 0 1
base 0                  | [0] base of queue 0: 1
ready 0 off             | [0] warning: broken, the driver has to reset it: queue 0: available index 100 is more than 8 ahead of 1
                        | [0] RUNNING -> BROKEN (BREAK)
                        | [0] notify config
                        | [0] not ready: success
state                   | [0] BROKEN, status 0x4f, held by nobody, 0 in flight: queue 0: available index 100 is more than 8 ahead of 1
ready 0 on              | [0] ready: success
workers on
state                   | [0] BROKEN, status 0x4f, held by nobody, 0 in flight: queue 0: available index 100 is more than 8 ahead of 1
reset driver            | [0] BROKEN -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
