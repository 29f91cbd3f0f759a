# The backend keeps one of two: the ring is not stopped and runs on as before (S10), the other ring as well.
device queues=2 timeout=100
up
ready 0 off             | [0] not ready: success
record 0
ready 0 on              | [0] ready: success
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
submit 1 3              | [0] take 3 of queue 1
gives-back 1
stop 0                  | [0] deadline 50
wait 50                 | [50] parking queue 0: 2 requests did not come back so far
                        | [50] cancel queue 0
                        | [50] deadline 100
                        | [50] gave 1 back
state                   | [50] RUNNING, status 0xf, held by nobody, 2 in flight
wait 50                 | [100] queue 0 is not stopped: 1 requests did not come back in time
                        | [100] no deadline
                        | [100] stop: ETIMEDOUT
                        | [100] take 1 of queue 0
state                   | [100] RUNNING, status 0xf, held by nobody, 3 in flight
submit 0 4              | [100] take 4 of queue 0
finish 2                | [100] notify queue 0
                        | [100] used queue 0: 2, 16 bytes
finish 1                | [100] notify queue 0
                        | [100] used queue 0: 1, 16 bytes
finish 4                | [100] notify queue 0
                        | [100] used queue 0: 4, 16 bytes
finish 3                | [100] notify queue 1
                        | [100] used queue 1: 3, 16 bytes
stop 0                  | [100] stop: success
state                   | [100] RUNNING, status 0xf, held by nobody, 0 in flight
