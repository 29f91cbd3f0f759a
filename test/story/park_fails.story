# The backend keeps one of two: the suspension fails (S10), and the one that was given back is done again.
device queues=1 timeout=1000
up
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
gives-back 1
suspend operator 100 park | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 50
wait 50                 | [50] parking: 2 requests did not come back so far
                        | [50] SUSPENDING -> SUSPENDING (PARK)
                        | [50] cancel queue 0
                        | [50] deadline 100
                        | [50] gave 1 back
state                   | [50] SUSPENDING, status 0xf, held by operator, 1 in flight
wait 50                 | [100] not suspended: 1 requests did not come back in time
                        | [100] SUSPENDING -> RUNNING (DEADLINE)
                        | [100] no deadline
                        | [100] suspend operator: ETIMEDOUT
                        | [100] take 1 of queue 0
state                   | [100] RUNNING, status 0xf, held by nobody, 2 in flight
finish 2                | [100] notify queue 0
                        | [100] used queue 0: 2, 16 bytes
finish 1                | [100] notify queue 0
                        | [100] used queue 0: 1, 16 bytes
suspend operator 100 park | [100] RUNNING -> SUSPENDING (HOLD)
                        | [100] SUSPENDING -> SUSPENDED (DRAINED)
                        | [100] suspend operator: success
state                   | [100] SUSPENDED, status 0xf, held by operator, 0 in flight
