# Whoever waits for suspension hears that it was called off.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
resume driver           | [0] SUSPENDING -> RUNNING (RELEASE)
                        | [0] no deadline
                        | [0] suspend driver: ECANCELED
                        | [0] resume: success
state                   | [0] RUNNING, status 0xf, held by nobody, 1 in flight
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
# With the operator waiting, too, the driver's resume calls off its own part only.
submit 0 2              | [0] take 2 of queue 0
suspend operator 500    | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 500
suspend driver          | [0] deadline 100
resume driver           | [0] suspend driver: ECANCELED
                        | [0] resume: success
state                   | [0] SUSPENDING, status 0xf, held by operator, 1 in flight
finish 2                | [0] notify queue 0
                        | [0] settle
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] no deadline
                        | [0] suspend operator: success
                        | [0] used queue 0: 2, 16 bytes
resume operator         | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
