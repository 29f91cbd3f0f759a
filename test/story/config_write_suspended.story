# A driver reads back what it wrote while suspended, and it outlives resume (S7).
device queues=1 features=128
up
write 8 1               | [0] config write at 8: 1
                        | [0] write: success
config                  | [0] config: size 1048576, bytes 1 0, generation 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
write 8 2               | [0] config write at 8: 1
                        | [0] write: success
write 9 3               | [0] config write at 9: 1
                        | [0] write: success
write 9 4               | [0] config write at 9: 1
                        | [0] write: success
config                  | [0] config: size 1048576, bytes 2 4, generation 0
# What it may not write is refused, then as ever.
write 0 9               | [0] write: EINVAL
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
config                  | [0] config: size 1048576, bytes 2 4, generation 0
# A reset is the model's own affair: this one forgets.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
write 8 9               | [0] config write at 8: 1
                        | [0] write: success
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
config                  | [0] config: size 1048576, bytes 0 0, generation 1
write 10 1              | [0] write: EINVAL
