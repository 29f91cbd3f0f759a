# Handed over by the saved state (S12): the other device does them again, in the order of submission.
device queues=1 timeout=1000 pair
up
gives-back on
submit 0 1              | [0] A: take 1 of queue 0
submit 0 2              | [0] A: take 2 of queue 0
submit 0 3              | [0] A: take 3 of queue 0
finish 2                | [0] A: notify queue 0
                        | [0] A: used queue 0: 2, 16 bytes
suspend operator 100 park | [0] A: RUNNING -> SUSPENDING (HOLD)
                        | [0] A: deadline 50
wait 50                 | [50] A: parking: 2 requests did not come back so far
                        | [50] A: SUSPENDING -> SUSPENDING (PARK)
                        | [50] A: cancel queue 0
                        | [50] A: deadline 100
                        | [50] A: gave 1 back
                        | [50] A: gave 3 back
                        | [50] A: settle
                        | [50] A: SUSPENDING -> SUSPENDED (DRAINED)
                        | [50] A: no deadline
                        | [50] A: suspend operator: success
save                    | [50] A: save: success
B: restore              | [50] B: restore: success
B: map
B: status 3             | [50] B: RESET -> NEGOTIATING (NEGOTIATE)
                        | [50] B: status: success
B: features             | [50] B: features: success
B: status 0xb           | [50] B: NEGOTIATING -> READY (FEATURES_OK)
                        | [50] B: status: success
B: queue 0 3            | [50] B: ready: success
B: status 0xf           | [50] B: READY -> RUNNING (DRIVER_OK)
                        | [50] B: queue 0 started
                        | [50] B: take 1 of queue 0
                        | [50] B: take 3 of queue 0
                        | [50] B: notify queue 0
                        | [50] B: status: success
B: finish 1             | [50] B: notify queue 0
                        | [50] B: used queue 0: 1, 16 bytes
B: finish 3             | [50] B: notify queue 0
                        | [50] B: used queue 0: 3, 16 bytes
B: base 0               | [50] base of queue 0: 3
