# The operator parks a ring that is being stopped: its requests are in the record, and both get their answer.
device queues=1 timeout=1000
up
ready 0 off             | [0] not ready: success
record 0
ready 0 on              | [0] ready: success
gives-back on
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
stop 0                  | [0] deadline 500
suspend operator 100 park | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 50
wait 50                 | [50] parking: 2 requests did not come back so far
                        | [50] SUSPENDING -> SUSPENDING (PARK)
                        | [50] cancel queue 0
                        | [50] deadline 100
                        | [50] gave 1 back
                        | [50] gave 2 back
                        | [50] settle
                        | [50] SUSPENDING -> SUSPENDED (DRAINED)
                        | [50] no deadline
                        | [50] stop: success
                        | [50] suspend operator: success
state                   | [50] SUSPENDED, status 0xf, held by operator, 0 in flight
base 0                  | [50] base of queue 0: 2
resume operator         | [50] SUSPENDED -> RUNNING (RELEASE)
                        | [50] resume: success
ready 0 on              | [50] ready: success
                        | [50] take 1 of queue 0
                        | [50] take 2 of queue 0
finish 1                | [50] notify queue 0
                        | [50] used queue 0: 1, 16 bytes
finish 2                | [50] notify queue 0
                        | [50] used queue 0: 2, 16 bytes
state                   | [50] RUNNING, status 0xf, held by nobody, 0 in flight
