# The other way round. The driver's resume succeeds, and the device still stands for the operator.
device queues=1
up
suspend operator        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend operator: success
# Not suspended by the driver: its guard on the base is up (kernel 6.8+).
set-base 0 5            | [0] set-base: EINVAL
suspend driver          | [0] SUSPENDED -> SUSPENDED (HOLD)
                        | [0] suspend driver: success
set-base 0 5            | [0] set-base: success
base 0                  | [0] base of queue 0: 5
set-base 0 0            | [0] set-base: success
submit 0 1
resume driver           | [0] resume: success
state                   | [0] SUSPENDED, status 0xf, held by operator, 0 in flight
set-base 0 5            | [0] set-base: EINVAL
resume operator         | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] take 1 of queue 0
                        | [0] resume: success
finish 1                | [0] notify queue 0
                        | [0] used queue 0: 1, 16 bytes
