# The operator's link and announce changes reach a running driver at once; the second time the same is
# said is no change. Without a cable frames are dropped and counted, in both directions.
device net features=0xa78020
link down               | [0] link: success
config                  | [0] config: address 1, link down, generation 1
link up                 | [0] link: success
up
config                  | [0] config: address 1, link up, generation 2
link down               | [0] notify config
                        | [0] link: success
link down               | [0] link: success
config                  | [0] config: address 1, link down, generation 3
buffer 1 200
kick 0
arrive 5 100
send 6 60               | [0] notify queue 1
                        | [0] used queue 1: 6, 0 bytes
counters                | [0] received: 0, filtered 1, malformed 0, no room 0; waiting 0
                        | [0] sent: 0, filtered 0, malformed 0, no room 1; waiting 0
                        | [0] commands: 0, refused 0
link up                 | [0] notify config
                        | [0] link: success
config                  | [0] config: address 1, link up, generation 4
arrive 7 100            | [0] notify queue 0
                        | [0] used queue 0: 1, 112 bytes
announce                | [0] notify config
                        | [0] announce: success
config                  | [0] config: address 1, link up, announce, generation 5
command 8 3 0           | [0] notify queue 2
                        | [0] used queue 2: 8, 1 bytes
answer                  | [0] answer: done
config                  | [0] config: address 1, link up, generation 5
# It is the operator's: a reset leaves it as it is.
link down               | [0] notify config
                        | [0] link: success
reset driver            | [0] RUNNING -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
config                  | [0] config: address 1, link down, generation 7
