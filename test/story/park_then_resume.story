# A slow backend and an operator who may park (S3): at half of the time it gives requests back, and the
# device stands still with them in flight. Resume does them again, in order, before what came later.
device queues=2 timeout=1000
up
gives-back on
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
submit 1 3              | [0] take 3 of queue 1
suspend operator 100 park | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 50
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
wait 49
state                   | [49] SUSPENDING, status 0xf, held by operator, 2 in flight
wait 1                  | [50] parking: 2 requests did not come back so far
                        | [50] SUSPENDING -> SUSPENDING (PARK)
                        | [50] cancel queue 0
                        | [50] cancel queue 1
                        | [50] deadline 100
                        | [50] gave 2 back
                        | [50] settle
                        | [50] gave 3 back
                        | [50] settle
                        | [50] SUSPENDING -> SUSPENDED (DRAINED)
                        | [50] no deadline
                        | [50] suspend operator: success
state                   | [50] SUSPENDED, status 0xf, held by operator, 0 in flight
base 0                  | [50] base of queue 0: 2
# The driver, which does not know of them, must not go on elsewhere.
suspend driver          | [50] suspend driver: EBUSY
submit 0 4
resume operator         | [50] SUSPENDED -> RUNNING (RELEASE)
                        | [50] take 2 of queue 0
                        | [50] take 4 of queue 0
                        | [50] take 3 of queue 1
                        | [50] resume: success
finish 2                | [50] notify queue 0
                        | [50] used queue 0: 2, 16 bytes
finish 4                | [50] notify queue 0
                        | [50] used queue 0: 4, 16 bytes
finish 3                | [50] notify queue 1
                        | [50] used queue 1: 3, 16 bytes
