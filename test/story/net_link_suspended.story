# What the operator does to the cable while the card is suspended is held: the config space stands
# still, and resume tells the driver once (S5).
device net features=0xa78020
up
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
link down               | [0] link: success
announce                | [0] announce: success
link up                 | [0] link: success
link down               | [0] link: success
config                  | [0] config: address 1, link up, generation 0
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] notify config
                        | [0] resume: success
config                  | [0] config: address 1, link down, announce, generation 1
command 1 3 0           | [0] notify queue 2
                        | [0] used queue 2: 1, 1 bytes
answer                  | [0] answer: done
config                  | [0] config: address 1, link down, generation 1
# The same under two holders, where the first to let go changes nothing.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
suspend operator        | [0] SUSPENDED -> SUSPENDED (HOLD)
                        | [0] suspend operator: success
link up                 | [0] link: success
resume driver           | [0] resume: success
config                  | [0] config: address 1, link down, generation 1
resume operator         | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] notify config
                        | [0] resume: success
config                  | [0] config: address 1, link up, generation 2
# A reset has nobody to tell; the cable stays as it was put.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
link down               | [0] link: success
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
config                  | [0] config: address 1, link down, generation 4
