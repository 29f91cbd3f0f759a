#!/usr/bin/env python3
"""locks: an image that somebody has is nobody else's, whether that is us, QEMU or a mount.

    locks.py UVDPA LOAD

LOAD keeps a disk busy, as for verbs.py. QEMU's tools take part where they are installed, and a loop
device where one can be had.
"""
import os
import shutil
import subprocess
import sys
import tempfile

UVDPA, LOAD = sys.argv[1:3]
failures = []


def expect(what, is_so, seen=""):
    if not is_so:
        failures.append("%s %s" % (what, seen))


class Server:
    """A server in a folder of its own; it may have ended at once."""

    count = 0

    def __init__(self, top, *devices):
        Server.count += 1
        self.dir = "%s/s%d" % (top, Server.count)
        words = [word for device in devices for word in ("--device", device)]
        self.process = subprocess.Popen([UVDPA, "serve", "--dir", self.dir] + words,
                                        stderr=subprocess.PIPE, text=True)
        self.text = ""
        for line in self.process.stderr:
            self.text += line
            if "serving" in line:
                break

    def refuses(self, *says):
        """What is wrong with it as one that had to refuse; "" if nothing is."""
        if "serving" in self.text:
            self.stop()
            return "it serves"
        self.process.wait(timeout=60)
        return "" if all(word in self.text for word in says) else self.text

    def run(self, *words):
        return subprocess.run([UVDPA] + list(words) + ["--dir", self.dir], capture_output=True,
                              text=True, timeout=60)

    def load(self):
        """A driver at work; None: it could not begin."""
        load = subprocess.Popen([LOAD, self.dir + "/vdpa/disk"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if load.stdout.readline() == "ready\n":
            return load
        load.kill()
        load.wait()
        return None

    def stop(self):
        self.process.terminate()
        self.text += self.process.stderr.read()
        self.process.wait(timeout=60)
        self.process.stderr.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        subprocess.run(["umount", "-l", self.dir + "/vdpa"], stderr=subprocess.DEVNULL)


def finish(load):
    output = load.communicate(timeout=120)[0]
    expect("load", output.splitlines()[-1:] and output.splitlines()[-1].startswith("clean "), output)


def disk(image, *keys):
    return ",".join(["blk,name=disk,file=" + image] + list(keys))


def two_servers(top, image):
    first = Server(top, disk(image))
    expect("first", "serving" in first.text, first.text)
    for keys in ((), ("readonly=on",), ("share=on",)):
        wrong = Server(top, disk(image, *keys)).refuses(image, "in use", "share=on")
        expect("second server %s" % (keys,), not wrong, wrong)
    first.stop()
    wrong = Server(top, disk(image), "blk,name=again,file=" + image).refuses(image, "in use")
    expect("twice in one server", not wrong, wrong)
    readers = [Server(top, disk(image, "readonly=on")) for _ in range(2)]
    expect("readers", all("serving" in r.text for r in readers), readers[1].text)
    wrong = Server(top, disk(image)).refuses(image, "in use")
    expect("writer beside readers", not wrong, wrong)
    for reader in readers:
        reader.stop()


def killed(top, image):
    """Who comes after one that was killed has the image, at once."""
    for _ in range(5):
        server = Server(top, disk(image))
        expect("after a kill", "serving" in server.text, server.text)
        load = server.load()
        server.kill()
        load.kill()
        load.communicate()


def moves(top, image):
    """Both have the image, one works."""
    a, b = Server(top, disk(image, "share=on")), Server(top, disk(image, "share=on"))
    expect("both", "serving" in a.text and "serving" in b.text, a.text + b.text)
    at_a = a.load()
    expect("first at work", at_a)
    expect("second beside the first", b.load() is None)
    expect("suspend", a.run("suspend", "disk").returncode == 0)
    at_b = b.load()
    expect("second after the first", at_b)
    done = a.run("resume", "disk")
    expect("resume beside the second", done.returncode and "another device" in done.stderr,
           done.stderr)
    expect("still suspended", "SUSPENDED" in a.run("status", "disk", "--json").stdout)
    finish(at_b)
    done = a.run("resume", "disk")
    expect("resume", done.returncode == 0, done.stderr)
    at_a.kill()  # what it knows of the disk's contents is no longer so
    at_a.communicate()
    for server in (a, b):
        server.stop()
    expect("why", image + " is in use" in b.text, b.text)
    expect("why not resumed", "not resumed: " + image in a.text, a.text)


def beside_qemu(top, image):
    if not shutil.which("qemu-io") or not shutil.which("qemu-img"):
        print("     without qemu-img and qemu-io")
        return

    def qemu(*words):
        return subprocess.run(words, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)

    def writes():
        return qemu("qemu-io", "-f", "raw", "-c", "write 0 512", image)

    for keys in ((), ("share=on",)):
        server = Server(top, disk(image, *keys))
        load = server.load()
        done = writes()
        expect("qemu-io beside us %s" % (keys,), "lock" in done.stderr, done.stdout + done.stderr)
        done = qemu("qemu-img", "convert", "-f", "raw", "-O", "raw", image, top + "/copy")
        expect("qemu-img beside us", done.returncode and "lock" in done.stderr, done.stderr)
        done = qemu("qemu-img", "info", "-U", "-f", "raw", image)
        expect("qemu-img -U beside us", done.returncode == 0, done.stderr)
        finish(load)
        server.stop()
    expect("qemu-io after us", writes().returncode == 0)
    holder = subprocess.Popen(["qemu-io", "-f", "raw", image], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    holder.stdin.write("write 0 512\n")
    holder.stdin.flush()
    while "wrote" not in holder.stdout.readline():
        expect("qemu-io writes", holder.poll() is None)
        if holder.poll() is not None:
            break
    for keys in ((), ("readonly=on",)):  # it shares, too
        wrong = Server(top, disk(image, *keys)).refuses(image, "in use")
        expect("beside qemu-io %s" % (keys,), not wrong, wrong)
    holder.communicate("quit\n", timeout=60)


def mounted(top, image):
    """Who mounts a block device claims it as O_EXCL does."""
    done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if done.returncode:
        print("     without a loop device")
        return
    loop = done.stdout.strip()
    try:
        claim = os.open(loop, os.O_RDONLY | os.O_EXCL)
        for keys in ((), ("share=on",), ("readonly=on",)):
            wrong = Server(top, disk(loop, *keys)).refuses(loop, "mounted")
            expect("claimed %s" % (keys,), not wrong, wrong)
        os.close(claim)
        for keys, may in (((), False), (("readonly=on",), True), (("share=on",), True)):
            server = Server(top, disk(loop, *keys))
            try:
                os.close(os.open(loop, os.O_RDONLY | os.O_EXCL))
                claimed = True
            except OSError:
                claimed = False
            expect("a claim beside us %s" % (keys,), claimed == may, server.text)
            server.stop()
    finally:
        subprocess.run(["losetup", "--detach", loop], check=False)


def main():
    with tempfile.TemporaryDirectory() as top:
        image = top + "/disk.img"
        with open(image, "w") as f:
            f.truncate(16 << 20)
        probe = Server(top, disk(image))
        if "serving" not in probe.text:
            print("no usable /dev/fuse: " + probe.text.strip())
            return 77
        probe.stop()
        for case in (two_servers, killed, moves, beside_qemu, mounted):
            count = len(failures)
            case(top, image)
            print("\n".join(["%-4s %s" % ("ok" if len(failures) == count else "FAIL", case.__name__)] +
                            failures[count:]), flush=True)
    return 1 if failures else 0


sys.exit(main())
