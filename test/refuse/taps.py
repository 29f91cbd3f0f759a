#!/usr/bin/env python3
"""taps: what a TAP interface refuses to a network card, each with one line that says what to do.

    taps.py UVDPA

In a network namespace of its own, as root; skipped, with the reason, where that is not to be had.
"""
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile

UVDPA = sys.argv[1]
CLONE_NEWNET = 0x40000000
NOBODY = 65534
failures = []


def skip(reason):
    print("skipped: " + reason)
    sys.exit(77)


def ip(words):
    path = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        skip("there is no program ip")
    done = subprocess.run([path] + words.split(), stderr=subprocess.PIPE, text=True)
    if done.returncode:
        skip("ip %s: %s" % (words, done.stderr.strip()))


def refused(folder, device, says, **how):
    words = [UVDPA, "serve", "--dir", folder + "/s", "--device", device]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, **how)
    except subprocess.TimeoutExpired:
        failures.append("%s: it is served" % device)
        return
    if done.returncode != 1 or len(done.stderr.splitlines()) != 1 or says not in done.stderr:
        failures.append("%s: exit code %d, %r, and not '%s'" % (
            device, done.returncode, done.stderr, says))


def readable(folder):
    """The program, where nobody can read it."""
    copy = folder + "/uvdpa"
    shutil.copy(UVDPA, copy)
    os.chmod(folder, 0o755)
    os.chmod(copy, 0o755)
    return copy


def main():
    global UVDPA
    if os.geteuid():
        skip("not root")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        skip("/dev/net/tun: " + error.strerror)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        skip("no network namespace: " + os.strerror(ctypes.get_errno()))
    ip("tuntap add single mode tap vnet_hdr")
    ip("tuntap add busy mode tap vnet_hdr")
    ip("tuntap add roots mode tap vnet_hdr user root")
    ip("tuntap add routed mode tun")
    with tempfile.TemporaryDirectory() as folder:
        refused(folder, "net,name=a,tap=missing", "there is no interface 'missing'")
        refused(folder, "net,name=a,tap=single,queues=2", "fewer queues than asked for")
        refused(folder, "net,name=a,tap=routed", "is no tap interface")
        refused(folder, "net,name=a,tap=lo", "is no tap interface")
        refused(folder, "net,name=a,tap=single,mtu=67", "68 to 65535")
        # the second card of a server finds the first one's tap in use
        words = "net,name=b,tap=busy"
        done = subprocess.run([UVDPA, "serve", "--dir", folder + "/s", "--device",
                               "net,name=a,tap=busy", "--device", words], capture_output=True,
                              text=True, timeout=120)
        if done.returncode != 1 or "in use by another program" not in done.stderr:
            failures.append("a tap used twice: %d, %r" % (done.returncode, done.stderr))
        UVDPA = readable(folder)
        os.mkdir(folder + "/n")
        os.chown(folder + "/n", NOBODY, NOBODY)
        for tap in ("roots", "absent,create=on"):
            refused(folder + "/n", "net,name=a,tap=" + tap, "no permission", user=NOBODY,
                    group=NOBODY, extra_groups=[])
    for line in failures:
        print(line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
