# Config space and its generation stand still while suspended; what changed is announced once,
# after resume, however often it changed (S5).
device queues=1
up
config                  | [0] config: size 1048576, bytes 0 0, generation 0
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
resize 2000000          | [0] resize: success
resize 3000000          | [0] resize: success
config                  | [0] config: size 1048576, bytes 0 0, generation 0
resume driver           | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] notify config
                        | [0] resume: success
config                  | [0] config: size 3000000, bytes 0 0, generation 1
# Held by a reset just the same: then there is nobody to tell.
suspend driver          | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend driver: success
resize 4000000          | [0] resize: success
reset driver            | [0] SUSPENDED -> RESETTING (DRIVER_RESET)
                        | [0] RESETTING -> RESET (DRAINED)
                        | [0] forget calls
                        | [0] reset: success
config                  | [0] config: size 4000000, bytes 0 0, generation 3
