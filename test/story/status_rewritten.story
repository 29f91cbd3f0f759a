# Writing the status it already has does not end a suspension (S11); taking a bit back is refused.
device queues=1
up
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
status 0xf              | [0] status: success
status 0xb              | [0] status: EINVAL
status 0x8f             | [0] status: success
submit 0 1
state                   | [0] SUSPENDED, status 0x8f, held by driver, 0 in flight
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 1 of queue 0
                        | [0] resume: success
status 0x8f             | [0] status: success
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
