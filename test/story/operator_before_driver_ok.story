# The operator holds before there is a driver: it comes up, sees DRIVER_OK, and nothing runs (S14).
device queues=1
suspend operator        | [0] RESET -> RESET (HOLD)
                        | [0] suspend operator: success
state                   | [0] RESET, status 0x0, held by operator, 0 in flight
map
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] queue 0 started
                        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] status: success
submit 0 1
state                   | [0] SUSPENDED, status 0xf, held by operator, 0 in flight
base 0                  | [0] base of queue 0: 0
resume operator         | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 1 of queue 0
                        | [0] resume: success
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
