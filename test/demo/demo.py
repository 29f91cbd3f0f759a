#!/usr/bin/env python3
"""demo.py: `uvdpa demo` in short: it passes, it can fail, and it leaves nothing behind.

    demo.py UVDPA files|inprocess
"""
import os
import re
import signal
import subprocess
import sys
import tempfile

from usable import usable

UVDPA, DOOR = sys.argv[1:3]
VERDICT = re.compile(r"demo: (PASS|FAIL) moves=(\d+) requests=(\d+) lost=(\d+) duplicated=(\d+) "
                     r"corrupt=(\d+) blackout_us_p50=(\d+) p99=(\d+) max=(\d+)$")
PATIENCE = 150  # seconds; under a sanitizer on a busy machine
wrong = []


def complain(what, output):
    wrong.append(what)
    print("--- %s\n%s" % (what, output))


def verdict(name, output):
    """The fields of the last line, which is the only verdict; None if there is no such line."""
    lines = output.rstrip("\n").split("\n")
    found = VERDICT.match(lines[-1])
    if not found or sum(bool(VERDICT.match(line)) for line in lines) != 1:
        complain("%s: no single verdict at the end" % name, output)
        return None
    return [found.group(1)] + [int(field) for field in found.groups()[1:]]


def nothing_left(name, folder):
    left = os.listdir(folder)
    with open("/proc/self/mountinfo") as f:
        left += [line for line in f if folder in line]
    if left:
        complain("%s: left behind" % name, "\n".join(left))


def play(name, *words, after=None):
    """One demonstration; returns exit code and output. `after` gets the running process."""
    with tempfile.TemporaryDirectory(prefix="uvdpa-test-") as folder:
        command = [UVDPA, "demo", "--door", DOOR] + list(words)
        process = subprocess.Popen(command, env=dict(os.environ, TMPDIR=folder), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = process.stdout.readline()
        if after:
            after(process)
        output, errors = process.communicate(timeout=PATIENCE)
        nothing_left(name, folder)
    return process.returncode, first + output, errors


def passes(*words):
    name = " ".join(("ten moves",) + words)
    code, output, errors = play(name, "--moves", "10", *words)
    fields = verdict(name, output)
    if not fields:
        return
    if code != 0 or errors or fields[:2] != ["PASS", 10] or fields[3:6] != [0, 0, 0]:
        complain("%s: exit code %d" % (name, code), output + errors)
    # ten times as many as have to be done between two moves, then every block once
    if fields[2] < 10 * 2000 + 65536:
        complain("%s: only %d requests" % (name, fields[2]), output)
    if not 0 < fields[6] <= fields[7] <= fields[8]:
        complain("%s: a strange blackout" % name, output)


def fails():
    """Requests that fail are seen, and so is what they did to the disk."""
    code, output, errors = play("torn writes", "--moves", "3", "--keys", "fault.tear-every=500")
    fields = verdict("torn writes", output)
    if code != 1 or not fields or fields[0] != "FAIL" or "status" not in errors:
        complain("torn writes: exit code %d" % code, output + errors)


def stops():
    for sign in (signal.SIGINT, signal.SIGTERM):
        code, output, errors = play("interrupted", "--moves", "100000",
                                    after=lambda process, sign=sign: process.send_signal(sign))
        fields = verdict("interrupted", output)
        if code != 1 or not fields or fields[0] != "FAIL" or "interrupted" not in errors:
            complain("interrupted: exit code %d" % code, output + errors)


def servers_of(process):
    path = "/proc/%d/task/%d/children" % (process.pid, process.pid)
    with open(path) as f:
        return [int(pid) for pid in f.read().split()]


def kill_a_server(process):
    line = process.stdout.readline()  # the first progress: both are at work
    if not line.startswith("  move"):
        complain("a server dies: no progress", line)
    os.kill(servers_of(process)[0], signal.SIGKILL)


def survives_a_dead_server():
    """It is a failure, and neither a hang nor a mount that stays."""
    code, output, errors = play("a server dies", "--moves", "100000", after=kill_a_server)
    fields = verdict("a server dies", output)
    if code != 1 or not fields or fields[0] != "FAIL" or not errors:
        complain("a server dies: exit code %d" % code, output + errors)


if DOOR == "files" and not usable():
    sys.exit(77)
passes()
passes("--packed")
fails()
stops()
if DOOR == "files":
    survives_a_dead_server()
for line in wrong:
    print(line)
sys.exit(1 if wrong else 0)
