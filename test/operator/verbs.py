#!/usr/bin/env python3
"""operator: what operators do to disks in use, through real files and the real socket.

    verbs.py UVDPA LOAD

LOAD keeps a disk busy and tells at the end whether all it saw was right.
"""
import fcntl
import json
import mmap
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile

UVDPA, LOAD = sys.argv[1:3]
VHOST_SET_OWNER = 0xaf01
DEPTH = 64  # of operator_load
failures = []


def expect(what, is_so, seen=""):
    if not is_so:
        failures.append("%s %s" % (what, seen))


class Server:
    """A server with some devices in a folder of its own."""

    def __init__(self, folder, *devices):
        self.dir = folder
        self.log = open(folder + ".log", "w+")
        words = [word for device in devices for word in ("--device", device)]
        self.process = subprocess.Popen([UVDPA, "serve", "--dir", folder] + words, stderr=self.log)
        while self.process.poll() is None and "serving" not in self.text():
            pass

    def text(self):
        with open(self.log.name) as f:
            return f.read()

    def run(self, *words):
        return subprocess.run([UVDPA] + list(words) + ["--dir", self.dir], capture_output=True,
                              text=True, timeout=120)

    def device(self, name):
        done = self.run("status", name, "--json")
        return json.loads(done.stdout)["devices"][0] if done.returncode == 0 else {}

    def load(self, name):
        load = subprocess.Popen([LOAD, self.dir + "/vdpa/" + name], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        line = load.stdout.readline()
        expect("load of " + name, line == "ready\n", line)
        return load

    def requests(self, name):
        return sum(queue["requests"] for queue in self.device(name)["queues"])

    def wait_for_requests(self, name, count):
        """Or, on a disk that keeps some, until all that the load sends at once are kept."""
        goal = self.requests(name) + count
        while self.requests(name) < goal:
            if name == "stuck" and self.device(name)["queues"][0]["in_flight"] == DEPTH:
                break

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def finish(load):
    """Ends a load and returns its last line."""
    output = load.communicate(timeout=120)[0]
    return output.splitlines()[-1] if output else "nothing, exit code %d" % load.returncode


def standing(device):
    """What may not change while suspended. Kicks may: what they announce is for later (S8)."""
    return [{k: v for k, v in q.items() if k != "kicks"} for q in device["queues"]]


def suspended_under_load(server):
    """Held by the operator nothing moves; afterwards nothing was lost."""
    load = server.load("disk")
    for _ in range(20):
        done = server.run("suspend", "disk")
        expect("suspend", done.returncode == 0, done.stderr)
        before = server.device("disk")
        expect("state", before["state"] == "SUSPENDED" and before["holders"] == ["operator"], before)
        expect("worker", before["worker"] == "w" and server.device("small")["worker"] is None)
        expect("program", "(%s)" % os.path.basename(LOAD)[:15] in str(before["client"]), before)
        expect("backend", before["backend"].endswith("disk.img"), before)
        expect("client", "pid %d" % load.pid in str(before["client"]) or before["client"], before)
        expect("in flight", all(q["in_flight"] == 0 for q in before["queues"]), before)
        expect("still", standing(server.device("disk")) == standing(before), before)
        expect("resume", server.run("resume", "disk").returncode == 0)
        server.wait_for_requests("disk", 100)
    last = finish(load)
    expect("load", last.startswith("clean "), last)


def deadline(server):
    """A backend that keeps requests: exit 3, and the device runs on."""
    load = server.load("stuck")
    server.wait_for_requests("stuck", 300)
    done = server.run("suspend", "stuck", "--timeout", "50")
    expect("suspend in vain", done.returncode == 3, "exit code %d" % done.returncode)
    expect("suspend in vain", "stand still" in done.stderr, done.stderr)
    device = server.device("stuck")
    expect("runs on", device["state"] == "RUNNING" and not device["holders"], device)
    load.kill()
    load.wait()
    load.stdin.close()
    while server.device("stuck")["client"]:
        pass
    expect("released", server.device("stuck")["state"] == "RESET", server.device("stuck"))


def message_across_pages(server):
    """An IOTLB message arrives whole wherever it lies in its sender's memory."""
    room = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    fd = os.open(server.dir + "/vdpa/disk", os.O_RDWR)
    fcntl.ioctl(fd, VHOST_SET_OWNER)
    for before in range(1, 72):
        at = mmap.PAGESIZE - before
        message = struct.pack("=II QQQ BB", 1, 0, before << 12, 4096, 1 << 30, 3, 2)
        room[at:at + 72] = message.ljust(72, b"\0")
        try:
            written = os.write(fd, memoryview(room)[at:at + 72])
        except OSError as e:
            written = e
        expect("a message with %d bytes in the first page" % before, written == 72, written)
    os.close(fd)


def second_client(server):
    """One opener at a time, and a killed one makes room."""
    load = server.load("disk")
    second = subprocess.run([LOAD, server.dir + "/vdpa/disk"], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    expect("second client", second.returncode == 1 and "open" in second.stdout, second.stdout)
    load.kill()
    load.wait()
    load.stdin.close()
    last = finish(server.load("disk"))
    expect("after a killed client", last.startswith("clean "), last)


def hold_before_client(server):
    """A hold taken before a driver comes keeps its device from running (S14)."""
    expect("suspend", server.run("suspend", "disk").returncode == 0)
    load = subprocess.Popen([LOAD, server.dir + "/vdpa/disk"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    while server.device("disk")["state"] != "SUSPENDED":
        pass
    expect("held", server.requests("disk") == server.requests("disk"))
    expect("resume", server.run("resume", "disk").returncode == 0)
    expect("load", load.stdout.readline() == "ready\n")
    last = finish(load)
    expect("load", last.startswith("clean "), last)


def operators_reset(server):
    """The driver is told that it has to reset; the reason is in the status."""
    load = server.load("disk")
    done = server.run("reset", "disk")
    expect("reset", done.returncode == 0, done.stderr)
    device = server.device("disk")
    expect("broken", device["state"] == "BROKEN" and device["broken"], device)
    expect("NEEDS_RESET", device["status"] & 0x40, device)
    load.kill()
    load.wait()
    load.stdin.close()
    last = finish(server.load("disk"))
    expect("after the reset", last.startswith("clean "), last)


def resize(server):
    load = server.load("disk")
    expect("resize", server.run("resize", "disk", "32M").returncode == 0)
    expect("capacity", server.device("disk")["capacity"] == 32 << 20)
    expect("suspend", server.run("suspend", "disk").returncode == 0)
    expect("resize held", server.run("resize", "disk", "64M").returncode == 0)
    expect("capacity held", server.device("disk")["capacity"] == 32 << 20, server.device("disk"))
    expect("resume", server.run("resume", "disk").returncode == 0)
    expect("capacity", server.device("disk")["capacity"] == 64 << 20)
    last = finish(load)
    expect("load", last.startswith("clean "), last)


def end_under_load(server):
    """SIGTERM with clients at work, one of them on a backend that keeps requests."""
    loads = [server.load("disk"), server.load("stuck")]
    expect("SIGTERM", server.stop() == 0, "exit code %s" % server.process.returncode)
    expect("the mount", not os.path.ismount(server.dir + "/vdpa"), "stays")
    for load in loads:
        load.kill()
        load.wait()


def printed_in_vain(server, path):
    """A full standard output is an error; what is no file is written to, and not replaced."""
    for words in (["save", "disk", path, "--dir", server.dir], ["state", path],
                  ["state", path, "--json"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([UVDPA] + words, stdout=full, stderr=subprocess.PIPE, text=True)
        expect("full output", done.returncode == 1 and "output could" in done.stderr, (words, done))
    # a pipe of ours, not a device of the machine's: a fault here would replace it for all
    pipe = server.dir + "/pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    done = server.run("save", "disk", pipe)
    expect("a pipe", done.returncode == 0, done)
    with open(path, "rb") as f:
        saved = f.read()
    expect("what went through the pipe", os.read(reader, 65536) == saved)
    expect("still a pipe", stat.S_ISFIFO(os.stat(pipe).st_mode))
    os.close(reader)


def save_and_restore(server):
    """What a suspended disk is saved as, what is refused, and what waits for the next driver."""
    path = server.dir + "/disk.state"
    load = server.load("disk")
    server.wait_for_requests("disk", 100)
    done = server.run("save", "disk", path)
    expect("save of a running disk", done.returncode == 1 and "is RUNNING" in done.stderr, done)
    expect("a hint", "'uvdpa suspend disk --dir %s'" % server.dir in done.stderr, done)
    expect("no file", not os.path.exists(path))
    server.run("suspend", "disk")
    done = server.run("save", "disk", path)
    expect("save", done.returncode == 0 and "is saved" in done.stdout, done)
    expect("mode", os.stat(path).st_mode & 0o777 == 0o600, os.stat(path))
    done = subprocess.run([UVDPA, "state", path, "--json"], capture_output=True, text=True)
    state, device = json.loads(done.stdout or "{}"), server.device("disk")
    expect("name", state["name"] == "disk" and state["device_id"] == 2, state)
    for saved, queue in zip(state["queues"], device["queues"]):
        same = all(saved[key] == queue[key] for key in ("index", "size", "ready", "base"))
        expect("queue", same and saved["in_flight"] == [], (saved, queue))
    expect("features", state["features"] == device["driver_features"], state)
    table = subprocess.run([UVDPA, "state", path], capture_output=True, text=True).stdout
    expect("table", "format     1" in table and "queue " in table, table)
    printed_in_vain(server, path)
    done = server.run("restore", "disk", path)
    expect("restore under a driver", done.returncode == 1 and "SUSPENDED" in done.stderr, done)
    done = server.run("restore", "stuck", path)
    expect("restore", done.returncode == 0 and server.device("stuck")["restored"], done)
    expect("restored", "waits for the driver" in server.run("status", "stuck").stdout)
    done = server.run("restore", "small", path)
    expect("another disk", done.returncode == 1 and "bytes, this one" in done.stderr, done)
    with open(path, "r+b") as f:
        f.seek(40)
        f.write(b"!!")
    done = server.run("restore", "stuck", path)
    expect("damaged", done.returncode == 1 and "check sum" in done.stderr, done)
    done = server.run("save", "disk", server.dir + "/none/disk.state")
    expect("nowhere", done.returncode == 1 and "cannot write" in done.stderr, done)
    server.run("resume", "disk")
    last = finish(load)
    expect("load", last.startswith("clean "), last)


def park(server):
    """A backend that keeps requests: parked in time, in the saved state, done again, nothing lost."""
    path = server.dir + "/parked.state"
    load = server.load("stuck")
    server.wait_for_requests("stuck", 300)
    for _ in range(3):
        done = server.run("suspend", "stuck", "--timeout", "4000", "--on-timeout", "park")
        expect("park", done.returncode == 0, done.stderr)
        expect("save", server.run("save", "stuck", path).returncode == 0)
        done = subprocess.run([UVDPA, "state", path, "--json"], capture_output=True, text=True)
        queue = json.loads(done.stdout)["queues"][0]
        expect("parked", 0 < len(queue["in_flight"]) <= queue["size"], queue)
        expect("standing still", server.device("stuck")["queues"][0]["in_flight"] == 0)
        expect("resume", server.run("resume", "stuck").returncode == 0)
        server.wait_for_requests("stuck", 200)
    load.kill()
    load.wait()
    load.stdin.close()
    while server.device("stuck")["client"]:
        pass


def run_all(server):
    if server.process.poll() is not None:
        print("no usable /dev/fuse: " + server.text().strip())
        return 77
    for case in (suspended_under_load, save_and_restore, deadline, park, message_across_pages, second_client,
                 hold_before_client, operators_reset, resize, end_under_load):
        count = len(failures)
        case(server)
        print("%-4s %s" % ("ok" if len(failures) == count else "FAIL", case.__name__), flush=True)
    return 1 if failures else 0


def main():
    with tempfile.TemporaryDirectory() as t:
        with open(t + "/disk.img", "w") as f:
            f.truncate(16 << 20)
        server = Server(t + "/s", "blk,name=disk,worker=w,file=%s/disk.img" % t,
                        "blk,name=small,memory=1M",
                        "blk,name=stuck,worker=w,memory=16M,fault.never-every=100,suspend-timeout=2000")
        try:
            code = run_all(server)
        finally:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
                subprocess.run(["umount", "-l", t + "/s/vdpa"], stderr=subprocess.DEVNULL)
        for line in failures:
            print(line)
        if failures:
            print(server.text())
        return code


sys.exit(main())
