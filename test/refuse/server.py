#!/usr/bin/env python3
"""server: one live server per directory; a dead one's remains are replaced; clients without one.

    server.py UVDPA

Needs a usable /dev/fuse only for the parts with a running server: without one, the refusal is
checked instead.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

UVDPA = sys.argv[1]
failures = []


def expect(what, is_so, seen=""):
    if not is_so:
        failures.append("%s %s" % (what, seen))


def run(*words):
    return subprocess.run([UVDPA] + list(words), capture_output=True, text=True, timeout=60)


def one_line(done, code, says):
    what = "uvdpa " + " ".join(done.args[1:])
    expect(what, done.returncode == code, "exits with %d: %s" % (done.returncode, done.stderr))
    expect(what, len(done.stderr.splitlines()) == 1 and says in done.stderr,
           "says %r, not %r" % (done.stderr, says))


def start(d):
    """Starts a server and waits until it says that it is ready. None: it ended; see its stderr."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(d + ".notify")
    notify.settimeout(0.1)
    log = open(d + ".log", "w+")
    server = subprocess.Popen([UVDPA, "serve", "--dir", d, "--device", "blk,name=disk0,memory=1M",
                               "--device", "net,name=card0,loopback=on,announce=on", "--device",
                               "blk,name=quiet,memory=1M,trace=off"],
                              stderr=log, env=dict(os.environ, NOTIFY_SOCKET=d + ".notify"))
    try:
        while server.poll() is None:
            try:
                if b"READY=1" in notify.recv(4096):
                    return server, log
            except socket.timeout:
                pass
        return None, log
    finally:
        notify.close()
        os.unlink(d + ".notify")


def operators(d):
    """The operators' verbs against a live server."""
    done = run("status", "--dir", d)
    expect("status", done.returncode == 0 and "disk0" in done.stdout, done.stdout + done.stderr)
    one_line(run("status", "disk1", "--dir", d), 1, "did you mean 'disk0'?")
    expect("suspend", run("suspend", "disk0", "--dir", d).returncode == 0)
    expect("held", "operator" in run("status", "--dir", d).stdout)
    expect("resume", run("resume", "disk0", "--dir", d).returncode == 0)
    expect("resize", run("resize", "disk0", "2M", "--dir", d).returncode == 0)
    expect("resized", "2M" in run("status", "--dir", d).stdout)
    expect("link down", run("link", "card0", "down", "--dir", d).returncode == 0)
    expect("is down", "link       down" in run("status", "card0", "--dir", d).stdout)
    expect("link up", run("link", "card0", "up", "--dir", d).returncode == 0)
    expect("is up", "link       up" in run("status", "card0", "--dir", d).stdout)
    shown = run("status", "--dir", d).stdout
    expect("backends", "memory=on" in shown and "loopback=on" in shown, shown)
    card = json.loads(run("status", "card0", "--json", "--dir", d).stdout)["devices"][0]
    mac = ":".join([r"[0-9a-f]{2}"] * 6)
    expect("mac", re.fullmatch(mac, card["card"]["mac"]), card)
    expect("mac", "mac        " + card["card"]["mac"] in run("status", "card0", "--dir", d).stdout)
    one_line(run("link", "disk0", "down", "--dir", d), 1, "a blk device has no link")
    one_line(run("announce", "disk0", "--dir", d), 1, "nothing to announce")
    one_line(run("announce", "card0", "--dir", d), 1, "has not negotiated GUEST_ANNOUNCE")
    one_line(run("resize", "card0", "1M", "--dir", d), 1, "has no size")
    traced(d)
    done = run("status", "--json", "--dir", d)
    expect("status --json", done.stdout.startswith("{"), done.stdout)


def traced(d):
    """What was done to the disk is in its trace, and the trace can be drawn."""
    done = run("trace", "disk0", "--output", d + ".json", "--dir", d)
    expect("trace", done.returncode == 0 and "events" in done.stdout, done.stderr)
    with open(d + ".json") as f:
        trace = json.load(f)
    seen = [event["event"] for event in trace["events"]]
    expect("trace", seen[:2] == ["suspend", "resume"], seen)
    expect("trace", trace["format"] == "uvdpa-trace" and trace["unit"] == "requests", trace)
    done = run("trace", "disk0", "--dir", d)
    expect("trace", json.loads(done.stdout)["events"] == trace["events"], done.stdout)
    done = run("plot", d + ".json", "--output", d + ".svg")
    with open(d + ".svg") as f:
        expect("plot", f.read().endswith("</svg>\n"), done.stderr)
    one_line(run("trace", "disk1", "--dir", d), 1, "did you mean 'disk0'?")
    one_line(run("trace", "quiet", "--dir", d), 1, "trace=off")


def tidy(d):
    """Takes away what a failed case left mounted, so that the folder can go."""
    for command in (["umount", "-l", d + "/vdpa"], ["fusermount3", "-uzq", d + "/vdpa"]):
        with open("/proc/mounts") as mounts:
            if d + "/vdpa " not in mounts.read():
                return
        subprocess.run(command, stderr=subprocess.DEVNULL)


def main():
    with tempfile.TemporaryDirectory() as t:
        try:
            return try_servers(t + "/s")
        finally:
            tidy(t + "/s")


def try_servers(d):
    one_line(run("status", "--dir", d), 2, "no server at")
    server, log = start(d)
    if not server:
        log.seek(0)
        text = log.read()
        expect("without /dev/fuse", len(text.splitlines()) == 1 and "fuse" in text, text)
        print("no usable /dev/fuse: " + text.strip())
        return 77 if not failures else 1
    operators(d)
    one_line(run("serve", "--dir", d, "--device", "blk,name=a,memory=1M"), 1,
             "is served by process %d" % server.pid)
    # killed: its mount and its socket stay behind, and the next one takes over
    server.kill()
    server.wait()
    one_line(run("status", "--dir", d), 2, "no server at")
    server, log = start(d)
    expect("a second server", server is not None, open(d + ".log").read())
    if server:
        operators(d)
        server.send_signal(signal.SIGTERM)
        expect("SIGTERM", server.wait(timeout=30) == 0, "exit code %d" % server.returncode)
        expect("the socket", not os.path.exists(d + "/control"), "stays")
        expect("the mount", not os.path.ismount(d + "/vdpa"), "stays")
    return 1 if failures else 0


code = main()
for line in failures:
    print(line)
sys.exit(code)
