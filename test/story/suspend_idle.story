# Nothing is in flight: suspend is answered at once, again and again (S9), and so is resume (S11).
device queues=2
up
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
suspend driver          | [0] SUSPENDED -> SUSPENDED (HOLD)
                        | [0] suspend driver: success
base 0                  | [0] base of queue 0: 0
base 1                  | [0] base of queue 1: 0
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
state                   | [0] RUNNING, status 0xf, held by nobody, 0 in flight
resume driver           | [0] resume: success
submit 1 7              | [0] take 7 of queue 1
finish 7                | [0] notify queue 1
                        | [0] used queue 1: 7, 16 bytes
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
base 0                  | [0] base of queue 0: 0
base 1                  | [0] base of queue 1: 1
base 1                  | [0] base of queue 1: 1
