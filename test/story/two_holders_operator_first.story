# Driver and operator hold the device; it runs when neither does (S14).
device queues=1
up
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
suspend operator        | [0] SUSPENDED -> SUSPENDED (HOLD)
                        | [0] suspend operator: success
submit 0 1
resume operator         | [0] resume: success
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 1 of queue 0
                        | [0] resume: success
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
