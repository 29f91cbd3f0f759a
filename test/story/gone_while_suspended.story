# The driver leaves a suspended device: the next one finds a fresh device (S13, KS21).
device queues=1
up
submit 0 1              | [0] take 1 of queue 0
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
reset gone              | [0] SUSPENDED -> RESETTING (DRIVER_GONE)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] queue 0 stopped
                        | [0] forget everything
                        | [0] reset: success
windows                 | [0] windows: 1 made, 1 gone
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
map
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
fresh 0
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] queue 0 started
                        | [0] status: success
submit 0 2              | [0] take 2 of queue 0
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
