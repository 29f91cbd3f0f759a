# A suspended card takes nothing from its cable and nothing from its rings: frames that arrive wait in
# the cable as far as it has room, and are delivered by resume, whole and in order (S2, S4, S8).
device net features=0xa78020
up
buffer 1 200
buffer 2 200
kick 0
arrive 5 100            | [0] notify queue 0
                        | [0] used queue 0: 1, 112 bytes
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
base 0                  | [0] base of queue 0: 1
buffer 3 200
buffer 4 50
buffer 5 50
kick 0
arrive 6 60
arrive 7 100
arrive 8 60
arrive 9 60
arrive 10 60            | [0] cable: full, frame to 10 dropped
send 11 60
command 12 0 0 0
answer                  | [0] answer: none
counters                | [0] received: 1, filtered 0, malformed 0, no room 0; waiting 4
                        | [0] sent: 0, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] commands: 0, refused 0
base 0                  | [0] base of queue 0: 1
base 1                  | [0] base of queue 1: 0
base 2                  | [0] base of queue 2: 0
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] notify queue 0
                        | [0] cable: frame to 11, 60 bytes
                        | [0] notify queue 1
                        | [0] notify queue 2
                        | [0] used queue 0: 2, 72 bytes
                        | [0] used queue 0: 3, 112 bytes
                        | [0] used queue 0: 4, 50 bytes
                        | [0] used queue 0: 5, 22 bytes
                        | [0] used queue 1: 11, 0 bytes
                        | [0] used queue 2: 12, 1 bytes
                        | [0] resume: success
answer                  | [0] answer: done
counters                | [0] received: 4, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] sent: 1, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] commands: 1, refused 0
base 0                  | [0] base of queue 0: 5
base 1                  | [0] base of queue 1: 1
