#!/usr/bin/env python3
"""refuse: what must be refused is, with exit code 1, exactly one line, and nothing served.

    refuse.py UVDPA

Each case is a command line; the line on stderr has to name what is wrong.
"""
import json
import os
import subprocess
import sys
import tempfile

UVDPA = sys.argv[1]


def cases(t):
    """(words of the command, text that the line has), with files below `t`."""
    serve = ["serve", "--dir", t + "/s"]
    img = t + "/good.img"

    def device(text, *more):
        return serve + ["--device", text] + list(more)

    def config(name):
        return serve + ["--config", t + "/" + name]

    return [
        # words
        (["srve"], "did you mean 'serve'?"),
        (["elephant"], "unknown verb 'elephant'"),
        (["--verison"], "unknown verb"),
        (["serve", "--drive", "x"], "unknown option --drive"),
        (["serve", "--divice", "x"], "did you mean --device?"),
        (["serve", "--dir"], "--dir needs a value"),
        (["serve", "--dir", "a", "--dir", "b"], "--dir is given twice"),
        (["serve", "disk.img"], "'disk.img': a disk is --device blk,name=disk0,file=PATH"),
        (device("disk.img"), "unknown device type 'disk.img'"),
        (["serve", "-x"], "unknown option -x"),
        (serve, "nothing to serve"),
        (["status", "a", "b"], "unexpected word 'b'"),
        (["suspend"], "usage: uvdpa suspend NAME"),
        (["suspend", "d", "--timeout", "soon"], "--timeout soon"),
        (["suspend", "d", "--timeout", "0"], "--timeout 0"),
        (["suspend", "d", "--on-timeout", "wait"], "--on-timeout wait"),
        (device("blk,name=a,memory=1M,on-timeout=wait"), "on-timeout=wait"),
        (["resume"], "usage: uvdpa resume NAME"),
        (["resume", "d", "--timeout", "5"], "unknown option --timeout"),
        (["resize", "d"], "usage: uvdpa resize NAME SIZE"),
        (["resize", "d", "huge"], "'huge' is not a size"),
        (["resize", "d", "1000"], "multiple of 512"),
        (["link", "d"], "usage: uvdpa link NAME up|down"),
        (["link", "d", "sideways"], "up or down"),
        (["announce"], "usage: uvdpa announce NAME"),
        (["reset"], "usage: uvdpa reset NAME"),
        (["save", "d"], "usage: uvdpa save NAME FILE"),
        (["restore", "d"], "usage: uvdpa restore NAME FILE"),
        (["restore", "d", t + "/no.state"], "cannot read '" + t + "/no.state'"),
        (["state"], "usage: uvdpa state FILE"),
        (["state", t], "Is a directory"),
        (["state", img], "too large"),
        (["state", "/dev/null"], "/dev/null: that is not a saved state"),
        (["trace"], "usage: uvdpa trace NAME"),
        (["trace", "a", "b"], "unexpected word 'b'"),
        (["trace", "a", "--outptu", "b"], "did you mean --output?"),
        (["plot"], "usage: uvdpa plot FILE.json"),
        (["plot", t + "/good.json"], "usage: uvdpa plot FILE.json"),
        (["plot", "a", "b", "c", "--output", "d"], "unexpected word 'c'"),
        (["plot", t + "/no.json", "--output", t + "/x.svg"], "no.json': cannot read it"),
        (["plot", t, "--output", t + "/x.svg"], "Is a directory"),
        (["plot", img, "--output", t + "/x.svg"], "not JSON"),
        (["plot", t + "/bad.conf", "--output", t + "/x.svg"], "(line 1)"),
        (["plot", t + "/idle.json", "--output", t + "/x.svg"], "nothing ever happened"),
        (["plot", t + "/new.json", "--output", t + "/x.svg"], "version 1"),
        (["plot", t + "/good.json", t + "/other.json", "--output", t + "/x.svg"], "two machines"),
        (["plot", t + "/good.json", t + "/disk.json", "--output", t + "/x.svg"],
         "counts requests"),
        (["plot", t + "/good.json", "--output", t + "/no/x.svg"], "no/x.svg"),
        # keys
        (device("blk"), "name=NAME is missing"),
        (device("blk,name=a"), "the disk is nowhere"),
        (device("name=a,memory=1M"), "the device type is missing"),
        (device("disk,name=a,memory=1M"), "unknown device type 'disk'; did you mean 'blk'?"),
        (device("bkl,name=a,memory=1M"), "did you mean 'blk'?"),
        (device("virtio-net,name=a,memory=1M"), "did you mean 'net'?"),
        (device("elephant,name=a,memory=1M"), "there is: blk net"),
        (device("blk,name=a,memory=1M,null=1M"), "in several places"),
        (device("blk,name=a,memory=1M,red-only=on"), "unknown key 'red-only'"),
        (device("blk,name=a,memory=1M,readonyl=on"), "did you mean 'readonly'?"),
        (device("blk,name=a,memory=1M,readonly"), "not of the form key=value"),
        (device("blk,name=a,memory=1M,readonly=yes"), "'on' or 'off'"),
        (device("blk,name=a,memory=1M,name=b"), "'name' is given twice"),
        (device("blk,name=,memory=1M"), "'name' has no value"),
        (device("blk,name=../a,memory=1M"), "a name is made of"),
        (device("blk,name=.a,memory=1M"), "a name is made of"),
        (device("blk,name=" + "a" * 64 + ",memory=1M"), "at most 63 bytes"),
        (device("blk,name=a\nb,memory=1M"), "a name is made of"),
        (device("blk,name=a,memory=big"), "not a size"),
        (device("blk,name=a,memory=0"), "at least 512"),
        (device("blk,name=a,memory=1000"), "multiple of 512"),
        (device("blk,name=a,null=9E"), "too large"),
        (device("blk,name=a,null=-1"), "not a size"),
        (device("blk,name=a,memory=1M,direct=on"), "only with file=PATH"),
        (device("blk,name=a,memory=1M,block-size=1024"), "it is 512 or 4096"),
        (device("blk,name=a,memory=1M,block-size=256"), "512 to 4096"),
        (device("blk,name=a,memory=1M,block-size=4k"), "not a number"),
        (device("blk,name=a,memory=1536,block-size=4096"), "not a multiple of 4096"),
        (device("blk,name=a,null=1536,block-size=4096"), "not a multiple of 4096"),
        (device("blk,name=a,file=" + t + "/sectors.img,block-size=4096"), "not a multiple of 4096"),
        (device("net,name=a,null=on,block-size=4096"), "block-size: that is for disks"),
        (device("blk,name=a,memory=1M,sqpoll=on"), "sqpoll=on: only with file=PATH"),
        (device("net,name=a,null=on,fixed-buffers=on"), "fixed-buffers: that is for disks"),
        (device("blk,name=a,memory=1M,fixed-buffers=on"), "fixed-buffers=on: only with file=PATH"),
        (device("blk,name=a,null=1M,fixed-buffers=on"), "fixed-buffers=on: only with file=PATH"),
        (device("blk,name=a,memory=1M,share=on"), "share=on: only with file=PATH"),
        (device("blk,name=a,null=1M,format=raw"), "format=raw: only with file=PATH"),
        (device("net,name=a,null=on,share=on"), "share: that is for disks"),
        (device("net,name=a,null=on,format=raw"), "format: that is for disks"),
        (device("blk,name=a,file=" + img + ",format=qcow2"), "raw images are all that is served"),
        (device("blk,name=a,file=" + t + "/other.qcow2"), "looks like a qcow2 image"),
        (device("blk,name=a,memory=1M,iopoll=on"), "iopoll=on: only with file=PATH and direct=on"),
        (device("blk,name=a,file=/dev/null,iopoll=on"), "page cache cannot be polled"),
        (device("blk,name=a,file=%s,direct=on,iopoll=on" % __file__), "is no block device"),
        (device("blk,name=a,file=/dev/null,direct=on,iopoll=on,sqpoll=on"), "do not go together"),
        (device("blk,name=a,memory=1M,queues=0"), "1 to 64"),
        (device("blk,name=a,memory=1M,queues=65"), "1 to 64"),
        (device("blk,name=a,memory=1M,queues=two"), "not a number"),
        (device("blk,name=a,memory=1M,queues=-1"), "not a number"),
        (device("blk,name=a,memory=1M,queue-size=100"), "power of two"),
        (device("blk,name=a,memory=1M,queue-size=2048"), "2 to 1024"),
        (device("blk,name=a,memory=1M,queue-size=1"), "2 to 1024"),
        (device("blk,name=a,memory=1M,asids=5"), "1 to 4"),
        (device("blk,name=a,memory=1M,serial=123456789012345678901"), "at most 20 bytes"),
        (device("blk,name=a,memory=1M,trace=yes"), "'on' or 'off'"),
        (device("blk,name=a,memory=1M,uapi=linux"), "'uvdpa' or 'kernel'"),
        (device("blk,name=a,memory=1M,socket=/tmp/x,connect=/tmp/y"), "give one of them"),
        (device("blk,name=a,memory=1M,reconnect=0"), "1 to 3600000"),
        (device("blk,name=a,memory=1M,suspend-timeout=0"), "1 to 3600000"),
        (device("blk,name=a,memory=1M,fault.fail-every=x"), "not a number"),
        (device("blk,name=a,memory=1M,fault.fail-every=2,fault.fail-error=EWHAT"), "EWHAT"),
        (device("blk,name=a,memory=1M,fault.stubborn=on"), "fault.never-every"),
        (device("blk,name=a,memory=1M,fault.delay=1"), "unknown key 'fault.delay'"),
        # network cards
        (device("net,name=a"), "the card has no cable"),
        (device("net,name=a,null=on,loopback=on"), "several cables"),
        (device("net,name=a,null=1M"), "it is 'on'"),
        (device("net,name=a,null=on,file=" + img), "for disks"),
        (device("net,name=a,null=on,queues=17"), "1 to 16 queue pairs"),
        (device("net,name=a,null=on,mtu=67"), "68 to 65535"),
        (device("net,name=a,null=on,mtu=65536"), "68 to 65535"),
        (device("net,name=a,null=on,mac=52:54:00:12:34"), "looks like"),
        (device("net,name=a,null=on,mac=52:54:00:12:34:zz"), "looks like"),
        (device("net,name=a,null=on,mac=53:54:00:12:34:56"), "multicast"),
        (device("net,name=a,null=on,groups=2"), "its own"),
        (device("net,name=a,null=on,create=on"), "only with tap=NAME"),
        (device("net,name=a,tap=no-such-tap0"), "no interface 'no-such-tap0'"),
        (device("net,name=a,tap=an-impossibly-long-name"), "1 to 15 bytes"),
        (device("net,name=a,tap=lo"), "'lo'"),
        (device("net,name=a,tap=no-such-tap0,queues=4"), "multi_queue"),
        (device("net,name=a,stream=" + t + "/nobody"), "nobody can be reached"),
        (device("net,name=a,stream=" + img), "nobody can be reached"),
        (device("net,name=a,stream=" + img + ",server=on"), "is no socket"),
        (device("net,name=a,stream=/" + "x" * 108), "at most 107 bytes"),
        (device("net,name=a,stream=/nowhere/s,server=on"), "/nowhere/s"),
        (device("net,name=a,stream=" + t + "/s,queues=2"), "one queue pair"),
        (device("net,name=a,stream=a,tap=b"), "several cables"),
        (device("net,name=a,null=on,server=on"), "only with stream=PATH"),
        (device("net,name=a,dgram=" + t + "/a"), "go together"),
        (device("net,name=a,null=on,remote=" + t + "/a"), "go together"),
        (device("net,name=a,dgram=" + t + "/a,remote=127.0.0.1:5"), "both are paths"),
        (device("net,name=a,dgram=localhost:4,remote=127.0.0.1:5"), "neither a path"),
        (device("net,name=a,dgram=" + img + ",remote=" + t + "/b"), "is no socket"),
        (device("net,name=a,pair=a"), "loopback=on"),
        (device("net,name=a,pair=b"), "no card 'b'"),
        (device("net,name=a,pair=b", "--device", "net,name=b,pair=c", "--device",
                "net,name=c,pair=b"), "says pair=a"),
        (device("net,name=a,pair=b", "--device", "net,name=b,pair=a", "--device",
                "net,name=c,tap=no-such-tap0"), "no-such-tap0"),
        (device("blk,name=a,tap=tap0"), "begin with 'net,'"),
        (device("blk,name=a,null=on"), "null=SIZE"),
        # devices
        (device("blk,name=a,memory=1M", "--device", "blk,name=a,null=1M"),
         "another device has this name"),
        (device("blk,name=a,memory=1M,worker=w,workers=1"), "give one of them"),
        (device("blk,name=a,memory=1M,worker=w w"), "worker=w w: a name is made of"),
        (device("blk,name=a,memory=1M,worker=w,cpu=0", "--device",
                "blk,name=b,memory=1M,worker=w", "--device", "blk,name=c,memory=1M,worker=w,cpu=1"),
         "device 'a' has worker 'w' run on processor 0"),
        (device("blk,name=a,memory=1M,worker=w,cpu=1000"), "worker 'w' cannot run on processor 1000"),
        (device("blk,name=a,file=" + t + "/missing.img"), "missing.img"),
        (device("blk,name=a,file=" + t + "/empty.img"), "empty.img"),
        (device("blk,name=a,file=" + t + "/small.img"), "small.img"),
        (device("blk,name=a,file=" + t), "is a directory"),
        (device("blk,name=a,file=/dev/null"), "/dev/null"),
        (device("blk,name=a,file=" + img, "--device", "blk,name=b,file=" + t + "/missing.img"),
         "missing.img"),
        # files of devices
        (config("missing.conf"), "missing.conf"),
        (config("bad.conf"), "bad.conf, line 3"),
        (config("twice.conf"), "another device has this name"),
        (config("empty.conf"), "nothing to serve"),
        (config("long.conf"), "longer than"),
        (config("comments.conf"), "comments.conf, line 4: name=b#c"),
        # places
        (device("blk,name=a,memory=1M", "--mode", "rw"), "--mode rw"),
        (device("blk,name=a,memory=1M", "--mode", "1777"), "--mode 1777"),
        (device("blk,name=a,memory=1M", "--group", "no such group"), "no such group"),
        (["serve", "--dir", "/proc/nowhere", "--device", "blk,name=a,memory=1M"], "/proc/nowhere"),
        (["serve", "--dir", "/proc", "--device", "blk,name=a,memory=1M"], "/proc/lock"),
        (["serve", "--dir", img, "--device", "blk,name=a,memory=1M"], "good.img"),
        (["serve", "--dir", "/tmp/" + "d" * 100, "--device", "blk,name=a,memory=1M"], "too long"),
        (["serve", "--dir", t + "/odd", "--device", "blk,name=a,memory=1M"], "odd/vdpa"),
        (["serve", "--dir", t + "/odd2", "--device", "blk,name=a,memory=1M"], "is no socket"),
        (["serve", "--dir", "", "--device", "blk,name=a,memory=1M"], "--dir: it is empty"),
        # directories that others can change
        (["serve", "--dir", t + "/loose", "--device", "blk,name=a,memory=1M"], "chmod go-w"),
        (["serve", "--dir", t + "/loose/s", "--device", "blk,name=a,memory=1M"], "chmod go-w"),
        (["serve", "--dir", t + "/sticky", "--device", "blk,name=a,memory=1M"], "chmod go-w"),
        (["serve", "--dir", t + "/led", "--device", "blk,name=a,memory=1M"], "chmod go-w"),
        (["serve", "--dir", t + "/links", "--device", "blk,name=a,memory=1M"], "is no directory"),
        (["serve", "--dir", t + "/links2", "--device", "blk,name=a,memory=1M"], "links2/lock"),
        (["serve", "--dir", t + "/links3", "--device", "blk,name=a,memory=1M"], "is no socket"),
    ]


def write(path, text, size=None):
    with open(path, "w") as f:
        f.write(text)
        if size is not None:
            f.truncate(size)


def trace(path, slots=((10, 1, 2),), **other):
    write(path, json.dumps(dict({
        "format": "uvdpa-trace", "version": 1, "name": "a", "unit": "packets", "in": "received",
        "out": "sent", "slot_ms": 10, "boot": "x", "events": [], "slots": slots}, **other)))


def prepare(t):
    trace(t + "/good.json")
    trace(t + "/idle.json", slots=[])
    trace(t + "/new.json", version=2)
    trace(t + "/other.json", boot="y")
    trace(t + "/disk.json", unit="requests")
    write(t + "/good.img", "", 1 << 20)
    write(t + "/sectors.img", "", 1536)
    with open(t + "/other.qcow2", "wb") as f:
        f.write(b"QFI\xfb\0\0\0\3" + bytes(196608))
    write(t + "/empty.img", "")
    write(t + "/small.img", "x" * 100)
    write(t + "/bad.conf", "# devices\nblk,name=a,memory=1M\n  blk,name=b,mem=1M  \n")
    write(t + "/twice.conf", "blk,name=a,memory=1M\nblk,name=a,memory=1M\n")
    write(t + "/comments.conf", "blk,name=a,memory=1M # a#b\n#\n  \t#x\nblk,name=b#c\n")
    write(t + "/empty.conf", "# nothing\n\n")
    write(t + "/long.conf", "blk,name=a,memory=1M,serial=" + "x" * 5000 + "\n")
    os.mkdir(t + "/odd")
    write(t + "/odd/vdpa", "")
    os.makedirs(t + "/odd2/vdpa")
    write(t + "/odd2/control", "")
    for name, mode in ("loose", 0o777), ("sticky", 0o1777):
        os.mkdir(t + "/" + name)
        os.chmod(t + "/" + name, mode)
    os.symlink("loose", t + "/led")
    # links where files of a server go
    for name, of in ("links", "vdpa"), ("links2", "lock"), ("links3", "control"):
        os.mkdir(t + "/" + name)
        os.symlink("../odd", t + "/" + name + "/" + of)


def check(words, says):
    """Runs one case. Returns what is wrong with the outcome, or None."""
    try:
        done = subprocess.run([UVDPA] + words, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60, text=True)
    except subprocess.TimeoutExpired:
        return "it does not end"
    if done.returncode != 1:
        return "exit code %d, expected 1; stderr: %s" % (done.returncode, done.stderr)
    if done.stdout:
        return "it printed on stdout: " + done.stdout
    if len(done.stderr.splitlines()) != 1 or not done.stderr.endswith("\n"):
        return "not one line: " + repr(done.stderr)
    if not done.stderr.startswith("uvdpa: ") or says not in done.stderr:
        return "without '%s': %s" % (says, done.stderr)
    return None


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as t:
        prepare(t)
        table = cases(t)
        for words, says in table:
            wrong = check(words, says)
            if wrong:
                failed += 1
                print("uvdpa %s:\n    %s" % (" ".join(words), wrong))
    print("%d cases, %d failed" % (len(table), failed))
    return 1 if failed else 0


sys.exit(main())
