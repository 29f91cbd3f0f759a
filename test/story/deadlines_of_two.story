# Driver and operator wait, each with a deadline of its own. The driver's passes first: it is told,
# and the operator's wait goes on. The driver lets go without a resume.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
suspend operator 300    | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 300
suspend driver 50       | [0] deadline 50
wait 50                 | [50] deadline 300
                        | [50] suspend driver: ETIMEDOUT
state                   | [50] SUSPENDING, status 0xf, held by operator, 1 in flight
finish 1                | [50] notify queue 0
                        | [50] settle
                        | [50] SUSPENDING -> SUSPENDED (DRAINED)
                        | [50] no deadline
                        | [50] suspend operator: success
                        | [50] used queue 0: 1, 16 bytes
state                   | [50] SUSPENDED, status 0xf, held by operator, 0 in flight
resume operator         | [50] SUSPENDED -> RUNNING (RELEASE)
                        | [50] resume: success
state                   | [50] RUNNING, status 0xf, held by nobody, 0 in flight
