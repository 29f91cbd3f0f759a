# A queue whose backend cannot be opened breaks the device at DRIVER_OK, or when it is enabled.
device queues=2
cannot-start 1
map
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
queue 0 0               | [0] ready: success
queue 1 0               | [0] ready: success
ready 1 off             | [0] not ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] queue 0 started
                        | [0] status: success
submit 0 1              | [0] take 1 of queue 0
ready 1 on              | [0] warning: broken, the driver has to reset it: queue 1: it has no backend
                        | [0] RUNNING -> BROKEN (BREAK)
                        | [0] cancel queue 0
                        | [0] notify config
                        | [0] ready: success
finish 1
