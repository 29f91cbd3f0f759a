# A ring that is not mapped is waited for: with the mapping, what was kicked is served.
device queues=1
status 3                | [0] RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] status: success
features                | [0] features: success
status 0xb              | [0] NEGOTIATING -> READY (FEATURES_OK)
                        | [0] status: success
queue 0 0               | [0] ready: success
status 0xf              | [0] READY -> RUNNING (DRIVER_OK)
                        | [0] queue 0 started
                        | [0] status: success
submit 0 1              | [0] warning: queue 0 was kicked, but its ring (0x101000, 0x101080, 0x101098) is not mapped
kick 0
state                   | [0] RUNNING, status 0xf, held by nobody, 0 in flight
map                     | [0] take 1 of queue 0
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
# Unmapped while suspended, mapped again before resume.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
unmap                   | [0] unmap: success
submit 0 2
map
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 2 of queue 0
                        | [0] resume: success
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
