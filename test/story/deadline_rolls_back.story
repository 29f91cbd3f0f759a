# The backend does not answer in time: suspend fails and the device runs on as before (S10).
device queues=2 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
# Posted while suspending: not taken.
submit 1 3              | [0] settle
wait 99
state                   | [99] SUSPENDING, status 0xf, held by driver, 2 in flight
wait 1                  | [100] not suspended: 2 requests did not come back in time
                        | [100] SUSPENDING -> RUNNING (DEADLINE)
                        | [100] no deadline
                        | [100] suspend driver: ETIMEDOUT
                        | [100] take 3 of queue 1
state                   | [100] RUNNING, status 0xf, held by nobody, 3 in flight
submit 0 4              | [100] take 4 of queue 0
finish 1                | [100] notify queue 0
                        | [100] used queue 0: 1, 16 bytes
finish 2                | [100] notify queue 0
                        | [100] used queue 0: 2, 16 bytes
finish 3                | [100] notify queue 1
                        | [100] used queue 1: 3, 16 bytes
finish 4                | [100] notify queue 0
                        | [100] used queue 0: 4, 16 bytes
suspend driver          | [100] RUNNING -> SUSPENDING (HOLD)
                        | [100] SUSPENDING -> SUSPENDED (DRAINED)
                        | [100] suspend driver: success
state                   | [100] SUSPENDED, status 0xf, held by driver, 0 in flight
