# Nonsense in one queue breaks the device: NEEDS_RESET, once, with the reason; the other queue's
# requests are not shown any more, and a reset mends it.
device queues=2 timeout=100
up
submit 1 1              | [0] take 1 of queue 1
nonsense 0              | [0] settle
                        | [0] warning: broken, the driver has to reset it: queue 0: available index 100 is more than 8 ahead of 0
                        | [0] RUNNING -> BROKEN (BREAK)
                        | [0] cancel queue 1
                        | [0] notify config
state                   | [0] BROKEN, status 0x4f, held by nobody, 1 in flight: queue 0: available index 100 is more than 8 ahead of 0
submit 1 2
finish 1
status 0xf              | [0] status: EINVAL
status 0x4f             | [0] status: success
suspend driver          | [0] BROKEN: HOLD refused: Input/output error
                        | [0] suspend driver: EIO
reset driver            | [0] BROKEN -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
