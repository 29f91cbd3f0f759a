# L4: a kick of one queue while suspended, work in both (also L8).
device queues=2
up
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
submit 0 1
post 1 2
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 1 of queue 0
                        | [0] take 2 of queue 1
                        | [0] resume: success
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
finish 2                | [0] notify queue 1
                        | [0] used queue 1: 2, 16 bytes
