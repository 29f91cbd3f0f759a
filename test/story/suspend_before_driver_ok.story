# Without DRIVER_OK a driver's suspend and resume succeed and do nothing (S1): it starts running.
device queues=1
suspend driver          | [0] suspend driver: success
map
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
suspend driver          | [0] suspend driver: success
resume driver           | [0] resume: success
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] queue 0 started
                        | [0] status: success
submit 0 1              | [0] take 1 of queue 0
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
state                   | [0] RUNNING, status 0xf, held by nobody, 0 in flight
