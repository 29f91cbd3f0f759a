# Two callers at once: both hear success after the same moment (S9).
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
wait 10
suspend driver
wait 10
finish 1                | [20] notify queue 0
                        | [20] settle
                        | [20] SUSPENDING -> SUSPENDED (DRAINED)
                        | [20] no deadline
                        | [20] suspend driver: success
                        | [20] suspend driver: success
                        | [20] used queue 0: 1, 16 bytes
state                   | [20] SUSPENDED, status 0xf, held by driver, 0 in flight
