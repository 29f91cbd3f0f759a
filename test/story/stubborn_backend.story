# The backend does not give requests back for a reset: the device is broken, and says so. When the
# requests do come back, a reset makes it whole again.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
reset driver            | [0] RUNNING -> RESETTING (DRIVER_RESET)
                        | [0] cancel queue 0
                        | [0] deadline 100
wait 100                | [100] warning: broken: the backend did not give 1 requests back for a reset
                        | [100] RESETTING -> BROKEN (DEADLINE)
                        | [100] notify config
                        | [100] no deadline
                        | [100] reset: ETIMEDOUT
state                   | [100] BROKEN, status 0x4f, held by nobody, 1 in flight: the backend did not give 1 requests back for a reset
status 0x4f             | [100] status: success
suspend driver          | [100] BROKEN: HOLD refused: Input/output error
                        | [100] suspend driver: EIO
reset driver            | [100] BROKEN -> RESETTING (DRIVER_RESET)
                        | [100] cancel queue 0
                        | [100] deadline 200
wait 100                | [200] warning: broken: the backend did not give 1 requests back for a reset
                        | [200] RESETTING -> BROKEN (DEADLINE)
                        | [200] no deadline
                        | [200] reset: ETIMEDOUT
state                   | [200] BROKEN, status 0x4f, held by nobody, 1 in flight: the backend did not give 1 requests back for a reset
finish 1
state                   | [200] BROKEN, status 0x4f, held by nobody, 0 in flight: the backend did not give 1 requests back for a reset
reset driver            | [200] BROKEN -> RESETTING (DRIVER_RESET)
                        | [200] RESETTING -> RESET (DRAINED)
                        | [200] forget calls
                        | [200] reset: success
state                   | [200] RESET, status 0x0, held by nobody, 0 in flight
status 3                | [200] RESET -> NEGOTIATING (NEGOTIATE)
                        | [200] status: success
features                | [200] features: success
status 0xb              | [200] NEGOTIATING -> READY (FEATURES_OK)
                        | [200] status: success
fresh 0
queue 0 0               | [200] ready: success
status 0xf              | [200] READY -> RUNNING (DRIVER_OK)
                        | [200] status: success
submit 0 2              | [200] take 2 of queue 0
finish 2                | [200] notify queue 0
                        | [200] used queue 0: 2, 16 bytes
