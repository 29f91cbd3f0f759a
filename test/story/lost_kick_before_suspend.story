# L1 (kernel-contract 5.7): posted and kicked just before suspend, and the worker had no time to
# run before. The kernel's simulator forgets such kicks; here resume looks (S8).
device queues=1
up
workers off
submit 0 1
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
workers on
state                   | [0] SUSPENDED, status 0xf, held by driver, 0 in flight
base 0                  | [0] base of queue 0: 0
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 1 of queue 0
                        | [0] resume: success
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
