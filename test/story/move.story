# The move (S12): suspended, the base read, set into a second device over the same memory, and the
# work goes on there: nothing lost, nothing done twice.
device queues=1 timeout=100 pair
up
submit 0 1              | [0] A: take 1 of queue 0
submit 0 2              | [0] A: take 2 of queue 0
suspend driver          | [0] A: RUNNING -> SUSPENDING (HOLD)
                        | [0] A: deadline 100
finish 1                | [0] A: notify queue 0
                        | [0] A: used queue 0: 1, 16 bytes
post 0 3
finish 2                | [0] A: notify queue 0
                        | [0] A: settle
                        | [0] A: SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] A: no deadline
                        | [0] A: suspend driver: success
                        | [0] A: used queue 0: 2, 16 bytes
base 0                  | [0] base of queue 0: 2
B: map
B: status 3             | [0] B: RESET -> NEGOTIATING (NEGOTIATE)
                        | [0] B: status: success
B: features             | [0] B: features: success
B: status 0xb           | [0] B: NEGOTIATING -> READY (FEATURES_OK)
                        | [0] B: status: success
B: queue 0 2            | [0] B: ready: success
B: status 0xf           | [0] B: READY -> RUNNING (DRIVER_OK)
                        | [0] B: queue 0 started
                        | [0] B: take 3 of queue 0
                        | [0] B: notify queue 0
                        | [0] B: status: success
B: finish 3             | [0] B: notify queue 0
                        | [0] B: used queue 0: 3, 16 bytes
B: base 0               | [0] base of queue 0: 3
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
base 0                  | [0] base of queue 0: 2
B: submit 0 4           | [0] B: take 4 of queue 0
B: finish 4             | [0] B: notify queue 0
                        | [0] B: used queue 0: 4, 16 bytes
# And back, into the first one, which was never reset: its base is set while suspended.
B: suspend driver       | [0] B: RUNNING -> SUSPENDING (HOLD)
                        | [0] B: SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] B: suspend driver: success
B: base 0               | [0] base of queue 0: 4
set-base 0 4            | [0] A: set-base: success
post 0 5
resume driver           | [0] A: SUSPENDED -> RUNNING (RELEASE)
                        | [0] A: take 5 of queue 0
                        | [0] A: notify queue 0
                        | [0] A: resume: success
finish 5                | [0] A: notify queue 0
                        | [0] A: used queue 0: 5, 16 bytes
B: state                | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
