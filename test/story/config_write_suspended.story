# A driver's write takes effect at resume, in one piece per run of bytes (S7).
device queues=1
up
write 8 1               | [0] config write at 8: 1
                        | [0] write: success
config                  | [0] config: size 1048576, bytes 1 0, generation 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
write 8 2               | [0] write: success
write 9 3               | [0] write: success
write 9 4               | [0] write: success
config                  | [0] config: size 1048576, bytes 1 0, generation 0
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] config write at 8: 2
                        | [0] resume: success
config                  | [0] config: size 1048576, bytes 2 4, generation 0
# Not after a reset: what was held is forgotten with the rest.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
write 8 9               | [0] write: success
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
config                  | [0] config: size 1048576, bytes 0 0, generation 1
write 10 1              | [0] write: EINVAL
