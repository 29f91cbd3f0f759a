# A queue enabled while suspended starts at resume, from its base, without a kick (S8).
device queues=2
map
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] queue 0 started
                        | [0] status: success
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
post 1 1
queue 1 0               | [0] ready: success
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] queue 1 started
                        | [0] take 1 of queue 1
                        | [0] resume: success
finish 1                | [0] notify queue 1
                        | [0] used queue 1: 1, 16 bytes
# Disabled and enabled again while suspended: nothing changes (KS16).
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
ready 1 off             | [0] not ready: success
submit 1 2
ready 1 on              | [0] ready: success
base 1                  | [0] base of queue 1: 1
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 2 of queue 1
                        | [0] resume: success
finish 2                | [0] notify queue 1
                        | [0] used queue 1: 2, 16 bytes
# Disabled while suspended: stays so.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
ready 1 off             | [0] not ready: success
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
submit 1 3
submit 0 4              | [0] take 4 of queue 0
finish 4                | [0] notify queue 0
                        | [0] used queue 0: 4, 16 bytes
