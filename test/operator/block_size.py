#!/usr/bin/env python3
"""block_size: what a disk says of its blocks does not depend on what it stands on.

    block_size.py UVDPA SECTORS

SECTORS (sectors.c) writes neighbouring blocks at the same time and reads them back. A loop device
has blocks of 4096 bytes, so that direct=on cannot write less.
"""
import subprocess
import sys
import tempfile

UVDPA, SECTORS = sys.argv[1:3]
failures = []


def loop_device(image):
    """A loop device with 4096-byte blocks; None with a reason where none can be had."""
    done = subprocess.run(["losetup", "--sector-size", "4096", "--find", "--show", image],
                          capture_output=True, text=True)
    return (done.stdout.strip(), "") if done.returncode == 0 else (None, done.stderr.strip())


def serve(folder, keys):
    """A server of the disk d, and what it says until it serves."""
    server = subprocess.Popen([UVDPA, "serve", "--dir", folder, "--device", "blk,name=d," + keys],
                              stderr=subprocess.PIPE, text=True)
    text = ""
    for line in server.stderr:
        text += line
        if "serving" in line:
            break
    return server, text


def stop(server):
    server.terminate()
    server.stderr.read()
    server.wait(timeout=60)


def case(folder, keys, blocks):
    """A driver at work on a disk, which has these blocks."""
    server, text = serve(folder, keys)
    done = subprocess.run([SECTORS, folder + "/d.sock"], capture_output=True, text=True, timeout=120)
    stop(server)
    good = done.stdout == blocks + "\nclean\n"
    print("%-4s %s: %s" % ("ok" if good else "FAIL", keys, blocks), flush=True)
    if not good:
        failures.append(keys)
        print(text + done.stdout + done.stderr)


def refused(folder, keys, says):
    """A disk that cannot have such blocks."""
    server, text = serve(folder, keys)
    stop(server)
    good = server.returncode == 1 and says in text
    print("%-4s %s: refused" % ("ok" if good else "FAIL", keys), flush=True)
    if not good:
        failures.append(keys)
        print(text)


def on_loop(top, loop):
    """Each key on a disk that takes whole 4096-byte blocks only; zeroed in between."""
    for keys, blocks in (
            ("direct=on", "logical 512 physical 4096"),
            ("direct=on,block-size=512", "logical 512 physical 4096"),
            ("direct=on,block-size=4096", "logical 4096 physical 4096"),
            ("direct=on,fault.delay-us=100,fault.delay-every=3", "logical 512 physical 4096"),
            ("direct=on,sqpoll=on", "logical 512 physical 4096"),
            ("direct=on,fixed-buffers=on", "logical 512 physical 4096"),
            ("block-size=4096", "logical 4096 physical 4096")):
        with open(loop, "wb") as disk:
            disk.write(bytes(1 << 20))
        case(top + "/s", "file=%s,%s" % (loop, keys), blocks)


def main():
    with tempfile.TemporaryDirectory() as top:
        case(top + "/s", "memory=1M", "logical 512 physical 4096")
        case(top + "/s", "memory=1M,block-size=4096", "logical 4096 physical 4096")
        refused(top + "/s", "memory=1049088,block-size=4096", "not a multiple of 4096")
        image = top + "/image"
        with open(image, "wb") as f:
            f.truncate(1 << 20)
        loop, reason = loop_device(image)
        if loop:
            try:
                on_loop(top, loop)
            finally:
                subprocess.run(["losetup", "--detach", loop], check=False)
    if failures:
        return 1
    if not loop:
        print("no loop device with 4096-byte blocks: " + reason)
        return 77
    return 0


sys.exit(main())
