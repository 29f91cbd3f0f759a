# A resize is shown and announced at once.
device queues=1
resize 5000             | [0] resize: success
config                  | [0] config: size 5000, bytes 0 0, generation 1
up
config                  | [0] config: size 5000, bytes 0 0, generation 1
resize 2000000          | [0] notify config
                        | [0] resize: success
config                  | [0] config: size 2000000, bytes 0 0, generation 2
resize 0                | [0] resize: EINVAL
