# A device without suspend, as on parents that have none: kernel-contract 5.1, KS27.
device queues=1 suspend=off
suspend driver          | [0] suspend driver: success
up
suspend driver          | [0] suspend driver: EOPNOTSUPP
resume driver           | [0] resume: EOPNOTSUPP
state                   | [0] RUNNING, status 0xf, held by nobody, 0 in flight
# The operator's hold is not the driver's uAPI.
suspend operator        | [0] RUNNING -> SUSPENDING (HOLD)
                        | [0] SUSPENDING -> SUSPENDED (DRAINED)
                        | [0] suspend operator: success
resume operator         | [0] SUSPENDED -> RUNNING (RELEASE)
                        | [0] resume: success
