# L2: a burst longer than one pass is cut in two by suspend. The rest is served after resume.
device queues=1
up
workers off
post 0 1
post 0 2
post 0 3
kick 0
pass 0 1                | [0] take 1 of queue 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] deadline 1000
workers on
finish 1                | [0] notify queue 0
                        | [0] settle
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] no deadline
                        | [0] suspend driver: success
                        | [0] used queue 0: 1, 16 bytes
base 0                  | [0] base of queue 0: 1
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 2 of queue 0
                        | [0] take 3 of queue 0
                        | [0] resume: success
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
finish 3                | [0] notify queue 0
                        | [0] used queue 0: 3, 16 bytes
base 0                  | [0] base of queue 0: 3
