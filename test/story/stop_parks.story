# A vhost-user front end that takes the record along (GET_VRING_BASE_INFLIGHT) stops its ring: at half of
# the time the requests stay in the record, and the base counts them as taken. The next device has both.
device queues=1 timeout=100 pair
up
ready 0 off             | [0] A: not ready: success
record 0
ready 0 on              | [0] A: ready: success
gives-back on
submit 0 1              | [0] A: take 1 of queue 0
submit 0 2              | [0] A: take 2 of queue 0
submit 0 3              | [0] A: take 3 of queue 0
finish 2                | [0] A: notify queue 0
                        | [0] A: used queue 0: 2, 16 bytes
stop 0                  | [0] A: deadline 50
wait 49
state                   | [49] RUNNING, status 0xf, held by nobody, 2 in flight
wait 1                  | [50] A: parking queue 0: 2 requests did not come back so far
                        | [50] A: cancel queue 0
                        | [50] A: deadline 100
                        | [50] A: gave 1 back
                        | [50] A: gave 3 back
                        | [50] A: settle
                        | [50] A: no deadline
                        | [50] A: stop: success
base 0                  | [50] base of queue 0: 3
state                   | [50] RUNNING, status 0xf, held by nobody, 0 in flight
suspend driver          | [50] A: RUNNING -> SUSPENDING (HOLD)
                        | [50] A: SUSPENDING -> SUSPENDED (DRAINED)
                        | [50] A: suspend driver: success
state                   | [50] SUSPENDED, status 0xf, held by driver, 0 in flight
B: map
B: status 3             | [50] B: RESET -> NEGOTIATING (NEGOTIATE)
                        | [50] B: status: success
B: features             | [50] B: features: success
B: status 0xb           | [50] B: NEGOTIATING -> READY (FEATURES_OK)
                        | [50] B: status: success
B: record 0
B: queue 0 3            | [50] B: ready: success
B: status 0xf           | [50] B: READY -> RUNNING (DRIVER_OK)
                        | [50] B: queue 0 started
                        | [50] B: take 1 of queue 0
                        | [50] B: take 3 of queue 0
                        | [50] B: notify queue 0
                        | [50] B: status: success
B: submit 0 4           | [50] B: take 4 of queue 0
B: finish 1             | [50] B: notify queue 0
                        | [50] B: used queue 0: 1, 16 bytes
B: finish 4             | [50] B: notify queue 0
                        | [50] B: used queue 0: 4, 16 bytes
B: finish 3             | [50] B: notify queue 0
                        | [50] B: used queue 0: 3, 16 bytes
B: stop 0               | [50] B: stop: success
B: base 0               | [50] base of queue 0: 4
