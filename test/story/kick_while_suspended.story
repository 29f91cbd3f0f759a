# Kicks while suspending and while suspended start nothing and are not forgotten (S2, S8).
device queues=2 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 100
submit 0 2
finish 1                | [0] notify queue 0
                        | [0] settle
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] no deadline
                        | [0] suspend driver: success
                        | [0] used queue 0: 1, 16 bytes
submit 0 3
submit 1 4
base 0                  | [0] base of queue 0: 1
base 1                  | [0] base of queue 1: 0
kick 0
base 0                  | [0] base of queue 0: 1
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 2 of queue 0
                        | [0] take 3 of queue 0
                        | [0] take 4 of queue 1
                        | [0] resume: success
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
finish 3                | [0] notify queue 0
                        | [0] used queue 0: 3, 16 bytes
finish 4                | [0] notify queue 1
                        | [0] used queue 1: 4, 16 bytes
base 0                  | [0] base of queue 0: 3
