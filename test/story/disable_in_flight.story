# A disabled queue takes nothing more and is answered when it has drained; its base stays.
device queues=2 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
submit 0 2              | [0] take 2 of queue 0
ready 0 off             | [0] deadline 100
submit 0 3
submit 1 4              | [0] take 4 of queue 1
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
finish 2                | [0] notify queue 0
                        | [0] settle
                        | [0] no deadline
                        | [0] not ready: success
                        | [0] used queue 0: 2, 16 bytes
base 0                  | [0] base of queue 0: 2
finish 4                | [0] notify queue 1
                        | [0] used queue 1: 4, 16 bytes
ready 0 off             | [0] not ready: success
ready 0 on              | [0] ready: success
                        | [0] take 3 of queue 0
finish 3                | [0] notify queue 0
                        | [0] used queue 0: 3, 16 bytes
base 0                  | [0] base of queue 0: 3
