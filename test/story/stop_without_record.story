# Nobody would take the requests along: they are waited for, and then the ring runs on (S10). An operator
# may not park them meanwhile, either.
device queues=1 timeout=100
up
gives-back on
submit 0 1              | [0] take 1 of queue 0
stop 0                  | [0] deadline 100
suspend operator 60 park | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 60
wait 60                 | [60] not suspended: 1 requests did not come back in time
                        | [60] SUSPENDING -> RUNNING (DEADLINE)
                        | [60] deadline 100
                        | [60] suspend operator: ETIMEDOUT
wait 40                 | [100] queue 0 is not stopped: 1 requests did not come back in time
                        | [100] no deadline
                        | [100] stop: ETIMEDOUT
submit 0 2              | [100] take 2 of queue 0
finish 1                | [100] notify queue 0
                        | [100] used queue 0: 1, 16 bytes
finish 2                | [100] notify queue 0
                        | [100] used queue 0: 2, 16 bytes
stop 0                  | [100] stop: success
# What an operator has parked is not the driver's to go on without (S12).
ready 0 on              | [100] ready: success
submit 0 3              | [100] take 3 of queue 0
suspend operator 60 park | [100] RUNNING -> SUSPENDING (HOLD)
                        | [100] deadline 130
wait 30                 | [130] parking: 1 requests did not come back so far
                        | [130] SUSPENDING -> SUSPENDING (PARK)
                        | [130] cancel queue 0
                        | [130] deadline 160
                        | [130] gave 3 back
                        | [130] settle
                        | [130] SUSPENDING -> SUSPENDED (DRAINED)
                        | [130] no deadline
                        | [130] suspend operator: success
stop 0                  | [130] stop: EBUSY
resume operator         | [130] SUSPENDED -> RUNNING (RELEASE)
                        | [130] take 3 of queue 0
                        | [130] resume: success
finish 3                | [130] notify queue 0
                        | [130] used queue 0: 3, 16 bytes
