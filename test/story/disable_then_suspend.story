# Suspended while a queue is being disabled: both wait for the same request.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
ready 0 off             | [0] deadline 100
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
finish 1                | [0] notify queue 0
                        | [0] settle
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] no deadline
                        | [0] not ready: success
                        | [0] suspend driver: success
                        | [0] used queue 0: 1, 16 bytes
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
submit 0 2
ready 0 on              | [0] ready: success
                        | [0] take 2 of queue 0
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
