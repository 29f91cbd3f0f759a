# A card's saved state: what its driver set by commands goes with it, and the other card asks it to
# announce itself, as it is at another place now.
device net pair features=0xa78020
up
# receive only what is for us; an address of our own; and one more in the table
command 1 0 0 0         | [0] A: notify queue 2
                        | [0] A: used queue 2: 1, 1 bytes
command 2 1 1 82 84 0 0 0 9| [0] A: notify queue 2
                        | [0] A: used queue 2: 2, 1 bytes
command 3 1 0 1 0 0 0 82 84 0 0 0 4 0 0 0 0| [0] A: notify queue 2
                        | [0] A: used queue 2: 3, 1 bytes
answer                  | [0] answer: done
suspend operator        | [0] A: RUNNING -> SUSPENDING (HOLD)
                        | [0] A: SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] A: suspend operator: success
save                    | [0] A: save: success
config                  | [0] config: address 9, link up, generation 0
B: restore              | [0] B: restore: success
B: up
B: config               | [0] config: address 9, link up, announce, generation 1
B: buffer 1 200
B: buffer 2 200
B: buffer 3 200
B: kick 0
B: arrive 5 100
B: arrive 9 100         | [0] B: notify queue 0
                        | [0] B: used queue 0: 1, 112 bytes
B: arrive 4 100         | [0] B: notify queue 0
                        | [0] B: used queue 0: 2, 112 bytes
B: counters             | [0] received: 2, filtered 1, malformed 0, no room 0; waiting 0
                        | [0] sent: 0, filtered 0, malformed 0, no room 0; waiting 0
                        | [0] commands: 0, refused 0
B: command 4 3 0        | [0] B: notify queue 2
                        | [0] B: used queue 2: 4, 1 bytes
B: answer               | [0] answer: done
B: config               | [0] config: address 9, link up, generation 1
