# A mapping that requests in flight use is kept until they are done; what comes after is not in it.
device queues=1
up
submit 0 1              | [0] take 1 of queue 0
windows                 | [0] windows: 1 made, 0 gone
batch begin
unmap                   | [0] unmap: success
map
batch end
windows                 | [0] windows: 1 made, 0 gone
submit 0 2              | [0] take 2 of queue 0
finish 2                | [0] notify queue 0
                        | [0] used queue 0: 2, 16 bytes
windows                 | [0] windows: 2 made, 0 gone
finish 1                | [0] notify queue 0
                        | [0] settle
                        | [0] used queue 0: 1, 16 bytes
windows                 | [0] windows: 2 made, 1 gone
