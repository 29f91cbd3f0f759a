# Two requests are with the backend when the driver suspends: it is answered when both are done
# and shown (S3), the base stands behind them (S6), and after resume work goes on by itself (S11).
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
state                   | [0] SUSPENDING, status 0xf, held by driver, 2 in flight
submit 0 3
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
finish 1                | [0] notify queue 0
                        | [0] settle
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] no deadline
                        | [0] suspend driver: success
                        | [0] used queue 0: 1, 16 bytes
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
base 0                  | [0] base of queue 0: 2
wait 500
resume driver           | [500] SUSPENDED -> RUNNING (RELEASE)
                        | [500] take 3 of queue 0
                        | [500] resume: success
state                   | [500] RUNNING, status 0xf, held by nobody, 1 in flight
finish 3                | [500] notify queue 0
                        | [500] used queue 0: 3, 16 bytes
base 0                  | [500] base of queue 0: 3
