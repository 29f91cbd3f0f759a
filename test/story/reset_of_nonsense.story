# The driver resets before control has heard of the nonsense in its ring: the reset ends as soon as
# what was in flight is back.
device queues=1 timeout=100
up
submit 0 1              | [0] take 1 of queue 0
workers off
nonsense 0
pass 0 1                | [0] settle
reset driver            | [0] RUNNING -> RESETTING (DRIVER_RESET)
                        | [0] cancel queue 0
                        | [0] deadline 100
workers on
state                   | [0] RESETTING, status 0xf, held by nobody, 1 in flight
finish 1                | [0] settle
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] no deadline
                        | [0] reset: success
state                   | [0] RESET, status 0x0, held by nobody, 0 in flight
