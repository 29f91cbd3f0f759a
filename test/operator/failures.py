#!/usr/bin/env python3
"""failures: an operator hears of requests that fail, and of an image that became shorter.

    failures.py UVDPA LOAD

LOAD keeps a disk busy, as for verbs.py.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

UVDPA, LOAD = sys.argv[1:3]
PATIENCE = 60  # seconds; only a hang takes so long
failures = []


def expect(what, is_so, seen=""):
    if not is_so:
        failures.append("%s: %s" % (what, seen))


class Server:
    def __init__(self, folder, *devices):
        self.dir = folder
        self.log = open(folder + ".log", "w")
        words = [word for device in devices for word in ("--device", device)]
        self.process = subprocess.Popen([UVDPA, "serve", "--dir", folder] + words, stderr=self.log)
        while self.process.poll() is None and "serving" not in self.text():
            time.sleep(0.01)

    def text(self):
        with open(self.log.name) as f:
            return f.read()

    def lines(self, *words):
        return [line for line in self.text().splitlines() if all(word in line for word in words)]

    def load(self, name):
        load = subprocess.Popen([LOAD, self.dir + "/vdpa/" + name], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        expect("load", load.stdout.readline() == "ready\n")
        return load

    def status(self, name, *words):
        return subprocess.run([UVDPA, "status", name, "--dir", self.dir] + list(words),
                              capture_output=True, text=True, timeout=PATIENCE).stdout

    def disk(self, name):
        return json.loads(self.status(name, "--json"))["devices"][0]["disk"]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


def until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    return is_so()


def failed_requests(server):
    """One line at once, however many follow; all are counted, and `status` has the last."""
    expect("nothing failed yet", "last_error" not in server.disk("bad"), server.disk("bad"))
    expect("nor in words", "last error" not in server.status("bad"), server.status("bad"))
    load = server.load("bad")
    expect("many failed", until(lambda: server.disk("bad")["errors"] > 100), server.disk("bad"))
    lines = server.lines(" bad: ", "failed: No space left on device (failed so far: ")
    expect("named in the log", lines and "queue 0: a " in lines[0] and " bytes at byte " in lines[0],
           server.text())
    expect("no flood", len(lines) < server.disk("bad")["errors"] / 10, len(lines))
    last = server.disk("bad")["last_error"]
    expect("in the status", last["error"] == "No space left on device"
           and last["request"] in ("read", "write", "flush") and last["offset"] % 512 == 0, last)
    words = server.status("bad")
    expect("in words", "last error " in words and ": No space left on device" in words, words)
    expect("of this device only", "last_error" not in server.disk("good"), server.disk("good"))
    load.kill()
    load.communicate()


def cut_off(server, image):
    """Reads beyond the end of an image that somebody made shorter give zeroes, and a line."""
    load = server.load("good")
    os.truncate(image, 4096)
    told = until(lambda: server.lines(image, "has only ", "cut it off"))
    expect("told", told, server.text())
    expect("once", len(server.lines("cut it off")) == 1, server.text())
    load.kill()
    load.communicate()


def main():
    with tempfile.TemporaryDirectory() as top:
        image = top + "/image"
        with open(image, "w") as f:
            f.truncate(16 << 20)
        server = Server(top + "/s", "blk,name=bad,memory=16M,fault.fail-every=3,fault.fail-error=ENOSPC",
                        "blk,name=good,file=" + image)
        if server.process.poll() is not None:
            print("no usable /dev/fuse: " + server.text().strip())
            return 77
        failed_requests(server)
        cut_off(server, image)
        server.stop()
    print("\n".join(failures))
    return 1 if failures else 0


sys.exit(main())
