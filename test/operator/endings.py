#!/usr/bin/env python3
"""endings: how a server ends, however it is told to, and what it says before.

    endings.py UVDPA LOAD

Whatever comes, no dead mount is left behind. LOAD keeps a disk busy.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

UVDPA, LOAD = sys.argv[1:3]
LIMIT = 120  # seconds; only a hang takes so long
STUCK = "blk,name=stuck%d,memory=16M,fault.never-every=50,fault.stubborn=on,suspend-timeout=%d"
failures = []
# A server that is made to end leaves threads that are over and that nobody joined.
os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"


def expect(what, is_so, seen=""):
    if not is_so:
        failures.append("%s: %s" % (what, seen))


class Server:
    def __init__(self, folder, *words, wrap=()):
        # what a backend does not give back stays allocated to the end: no leak to complain of
        asan = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        self.dir = folder
        self.log = open(folder + ".log", "w+")
        self.loads = []
        self.process = subprocess.Popen(
            list(wrap) + [UVDPA, "serve", "--dir", folder] + list(words), stderr=self.log,
            env=dict(os.environ, ASAN_OPTIONS=asan))
        while self.process.poll() is None and "serving" not in self.text():
            pass

    def text(self):
        with open(self.log.name) as f:
            return f.read()

    def load(self, name):
        load = subprocess.Popen([LOAD, self.dir + "/vdpa/" + name], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        expect("load of " + name, load.stdout.readline() == "ready\n")
        self.loads.append(load)

    def status(self):
        done = subprocess.run([UVDPA, "status", "--json", "--dir", self.dir], capture_output=True,
                              text=True, timeout=LIMIT)
        return json.loads(done.stdout)["devices"] if done.returncode == 0 else []

    def wait_until_stuck(self, names):
        """Until each keeps all that its load sends at once."""
        while True:
            flying = {d["name"]: sum(q["in_flight"] for q in d["queues"]) for d in self.status()}
            if all(flying.get(name, 0) == 64 for name in names):
                return

    def is_mounted(self):
        with open("/proc/self/mountinfo") as f:
            return any(line.split()[4] == os.path.realpath(self.dir) + "/vdpa" for line in f)

    def end(self, *numbers):
        """The exit status after these signals."""
        for number in numbers:
            self.process.send_signal(number)
            while "stopping" not in self.text() and self.process.poll() is None:
                pass
        code = self.process.wait(timeout=LIMIT)
        expect("a mount is left behind", not self.is_mounted(), numbers)
        return code

    def clear(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for load in self.loads:
            load.kill()
            load.wait()
        if self.is_mounted():
            subprocess.run(["umount", "-l", self.dir + "/vdpa"])


def each_signal(folder):
    """SIGHUP is what a terminal sends that is closed."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        server = Server(folder + "/each%d" % number, "--device", "blk,name=a,memory=1M")
        code = server.end(number)
        expect("exit status after %s" % number, code == 0, code)
        expect("log", number.name + ": stopping" in server.text(), server.text())
        left = [f for f in os.listdir(server.dir) if f not in ("lock", "vdpa")]
        expect("left behind", not left, left)
        server.clear()


def nohup(folder):
    server = Server(folder + "/nohup", "--device", "blk,name=a,memory=1M", wrap=("nohup",))
    server.process.send_signal(signal.SIGHUP)
    expect("under nohup it serves on", len(server.status()) == 1)
    expect("exit status", server.end(signal.SIGTERM) == 0)
    server.clear()


def twice(folder):
    """A device does not come to an end: the second signal does, and leaves no dead mount."""
    server = Server(folder + "/twice", "--device", STUCK % (0, 600000))
    server.load("stuck0")
    server.wait_until_stuck(["stuck0"])
    code = server.end(signal.SIGTERM, signal.SIGTERM)
    expect("exit status of a hurried end", code == 1, code)
    expect("log", "ending at once" in server.text(), server.text())
    server.clear()


def who_suffers_and_status(folder):
    """Who has a device is told; and how it goes can be asked until the end."""
    server = Server(folder + "/who", "--device", STUCK % (0, 600000), "--device",
                    "blk,name=idle,memory=1M")
    server.load("stuck0")
    server.wait_until_stuck(["stuck0"])
    server.process.send_signal(signal.SIGTERM)
    while "loses it now" not in server.text() and server.process.poll() is None:
        pass
    lines = [line for line in server.text().splitlines() if "loses it now" in line]
    expect("who suffers", len(lines) == 1 and "stuck0: " in lines[0] and
           "vhost-vdpa file" in lines[0], lines)
    names = [d["name"] for d in server.status()]
    expect("status while it ends", names == ["stuck0", "idle"], names)
    expect("exit status", server.end(signal.SIGTERM) == 1)
    server.clear()


def many_stuck(folder):
    """One after the other they would take longer than a server has (a minute)."""
    count, each = 9, 8000
    words = []
    for i in range(count):
        words += ["--device", STUCK % (i, each)]
    server = Server(folder + "/many", *words)
    names = ["stuck%d" % i for i in range(count)]
    for name in names:
        server.load(name)
    server.wait_until_stuck(names)
    code = server.end(signal.SIGTERM)
    expect("exit status with %d stuck devices" % count, code == 0, server.text())
    server.clear()


def no_fuse(folder):
    """Where there is no /dev/fuse sockets are served, which is said in one line."""
    hide = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh")
    if subprocess.run(hide + ("true",)).returncode:
        return  # only root can hide it
    server = Server(folder + "/bare", "--device", "blk,name=a,memory=1M", wrap=hide)
    expect("log", server.text().count("\n") == 2 and "sockets only: " in server.text() and
           "serving 1 device by sockets" in server.text(), server.text())
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(server.dir + "/a.sock")
    expect("status", len(server.status()) == 1)
    expect("exit status", server.end(signal.SIGTERM) == 0)
    server.clear()
    bare = Server(folder + "/none", "--device", "blk,name=a,memory=1M,socket=off", wrap=hide)
    expect("nothing to serve", bare.process.wait(timeout=LIMIT) == 1, bare.text())
    expect("its reason", "/dev/fuse" in bare.text(), bare.text())
    bare.clear()


def mode_without_root(folder):
    """Others cannot get at the files of a user's server, unless fuse.conf says so: it is told so."""
    try:
        with open("/etc/fuse.conf") as f:
            allowed = any(line.strip() == "user_allow_other" for line in f)
    except OSError:
        allowed = False
    if os.geteuid() != 0 or allowed:
        return
    home = folder + "/user"
    os.mkdir(home)
    os.chmod(folder, 0o755)
    os.chown(home, 65534, 65534)
    try:
        done = subprocess.run(
            [os.path.abspath(UVDPA), "serve", "--dir", home + "/s", "--mode", "0666", "--device",
             "blk,name=a,memory=1M"], user=65534, group=65534, extra_groups=[], cwd=home,
            capture_output=True, text=True, timeout=LIMIT)
    except OSError:
        return  # others cannot run what was built here
    expect("--mode without root", done.returncode == 1 and "user_allow_other" in done.stderr,
           done.stderr)


def main():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        print("no /dev/fuse")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        each_signal(folder)
        nohup(folder)
        twice(folder)
        who_suffers_and_status(folder)
        many_stuck(folder)
        no_fuse(folder)
        mode_without_root(folder)
    for line in failures:
        print(line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
