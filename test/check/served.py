#!/usr/bin/env python3
"""served: `uvdpa check` over the files of `uvdpa serve`, and over what is no device.

    served.py UVDPA

Each kind of device that the server can be asked for keeps every case that can be tried on it. A
case that Linux would answer otherwise is a note, and the notes are exactly those that docs/uapi.md
gives reasons for (DEVIATIONS). Skipped, with the reason, where files cannot be served.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

UVDPA = sys.argv[1]
ROUNDS = os.environ.get("CHECK_ROUNDS", "5")
failures = []

# All that these have of their own; the rest is disk0's and card's.
IN_ORDER = [word for case in ("R21", "S11-8", "S12-8") for word in ("--only", case, "--only", case + "p")]
# Cases of class K in which a file of ours may differ from Linux; all others must answer alike.
DEVIATIONS = {
    "KC13": "FUSE copies arguments before the server sees the call",
    "KC15": "contract S1 accepts the first series' number",
    "KI20": "a regular file can be given to epoll on a file system that has poll",
    "KI23": "a file of a file system has no doorbells, and the kernel refuses before the server",
}
DEVICES = {
    "disk0": "",
    "disk1": "",
    "fixed": ",suspend=off",
    "once": ",resume=off",
    "strict": ",uapi=kernel",
    "plain": ",event-idx=off,indirect=off,queues=1",
    "small": ",queue-size=16",
    "late": ",fault.delay-us=2000",
    "orderly": ",in-order=on,packed=on,fault.delay-us=300",
}
CARDS = {
    "card": "loopback=on",
    "cards": "loopback=on,queues=2,workers=2,event-idx=off",
    "deck": "loopback=on,in-order=on,packed=on",
}


def expect(what, is_so, seen=""):
    if not is_so:
        failures.append("%s: %s" % (what, seen))


def check(*words, timeout=240):
    return subprocess.run([UVDPA, "check"] + list(words), capture_output=True, text=True,
                          timeout=timeout)


def refused(words, says):
    done = check(*words)
    expect("check " + " ".join(words), done.returncode == 2 and says in done.stderr and
           len(done.stderr.splitlines()) == 1, "%d, %r" % (done.returncode, done.stderr))


def words_that_are_refused(folder):
    refused([], "which TARGET?")
    refused(["/dev/null"], "not a vhost-vdpa device")
    refused([folder], "annot open it")
    refused([folder + "/nothing"], "No such file")
    refused(["x", "--only", "S99"], "no such case or group")
    refused(["x", "--rounds", "many"], "not a number")
    refused(["x", "--format", "jsn"], "did you mean json?")
    refused(["x", "--type", "tape"], "net, blk, fs, or a virtio device id")
    refused(["x", "y", "z"], "two TARGETs")
    refused(["x", "--nonsense"], "option")


def start(folder):
    """The server, or None and why."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(folder + "/notify")
    notify.settimeout(0.1)
    log = open(folder + "/log", "w+")
    words = [UVDPA, "serve", "--dir", folder + "/d"]
    for name, traits in DEVICES.items():
        base = "" if "queues=" in traits else ",queues=2,asids=2,groups=2"
        words += ["--device", "blk,name=%s,memory=4M%s%s" % (name, base, traits)]
    for name, traits in CARDS.items():
        words += ["--device", "net,name=%s,%s" % (name, traits)]
    server = subprocess.Popen(words, stderr=log, env=dict(os.environ, NOTIFY_SOCKET=folder + "/notify"))
    while server.poll() is None:
        try:
            if b"READY=1" in notify.recv(4096):
                return server, log
        except socket.timeout:
            pass
    log.seek(0)
    return None, log.read().strip()


def judge(name, done):
    """The outcome of a run in JSON: kept, and different from Linux only where that is told."""
    try:
        result = json.loads(done.stdout)
    except ValueError:
        expect(name, False, "no JSON: %r %r" % (done.stdout[-300:], done.stderr))
        return
    broken = [c for c in result["cases"] if c["result"] in ("broken", "differs")]
    for case in broken:
        expect("%s %s" % (name, case["id"]), False, "expected %(expected)s, seen %(seen)s" % case)
    expect(name, done.returncode == (1 if broken else 0), "exit %d" % done.returncode)
    for case in result["cases"]:
        if "differs from Linux" in case.get("notes", "") and case["id"] not in DEVIATIONS:
            expect("%s %s" % (name, case["id"]), False, "not in the deviations: " + case["notes"])
    print("%s: %d kept, %d broken, %d skipped in %.1f s" % (
        name, result["kept"], result["broken"], result["skipped"], result["seconds"]), flush=True)


def over_files(folder):
    d = folder + "/d"
    common = ["--format", "json", "--scratch", "--control", d, "--rounds", ROUNDS, "--seconds", "1"]
    for name in list(DEVICES) + list(CARDS):
        other = [d + "/vdpa/disk1"] if name == "disk0" else []
        some = IN_ORDER if "in-order" in {**DEVICES, **CARDS}[name] else []
        judge(name, check(d + "/vdpa/" + name, *other, *common, *some))
    done = check(d + "/vdpa/disk0", "--only", "S12-4", "--format", "tap")
    expect("nothing that can run", done.returncode == 2 and "no case could run" in done.stderr,
           "%d %r" % (done.returncode, done.stderr))
    holder = os.open(d + "/vdpa/disk0", os.O_RDWR)
    refused([d + "/vdpa/disk0"], "busy")
    os.close(holder)


def main():
    with tempfile.TemporaryDirectory() as folder:
        words_that_are_refused(folder)
        server, log = start(folder)
        if server:
            try:
                over_files(folder)
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
        elif not failures:
            print("skipped: files cannot be served here: " + log)
            return 77
    for line in failures:
        print("FAILED " + line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
