"""How long a disk stands still: suspended, and handed over from one device to another."""
import contextlib
import json
import os
import re
import subprocess
import time

from benchmark import peers, report, stats

# The threads that make and answer calls come before those that are busy all the time, of which there
# are as many as cores: else a call waits for the end of a time slice.
CALLERS, READERS, BUSY = 20, 30, 10
COLUMNS = ("p50", "p99", "max")
SECOND = "blk,null=1T,name=d1"
FIRST = "blk,null=1T,name=d0"


def prefer_readers(pid):
    """A device's workers are named INDEX/DEVICE; all other threads answer calls."""
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, tid)) as f:
            level = BUSY if re.match(r"\d+/", f.read()) else READERS
        os.sched_setscheduler(int(tid), os.SCHED_RR, os.sched_param(level))


def prefer_caller(process):
    """The first thread makes the calls; the others, which it starts first, have the requests."""
    until = time.monotonic() + peers.PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if len(os.listdir("/proc/%d/task" % process.pid)) > 1:
            break
        time.sleep(0.01)
    time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(CALLERS))


def bench(words, *more):
    """Without a core of its own: who stops a queue must not wait for the thread that fills it."""
    command = [words.uvdpa, "bench"] + list(more) + ["--json"]
    if not words.realtime:
        return json.loads(peers.call(command))
    process = subprocess.Popen(["chrt", "--rr", str(BUSY)] + command, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        prefer_caller(process)
        said, complaint = process.communicate(timeout=peers.PATIENCE)
    except subprocess.TimeoutExpired:
        raise peers.Failed("%s takes too long" % command[2])
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise peers.Failed(peers.last_line(complaint))
    return json.loads(said)


def percentile(values, percent):
    """The smallest value that so many per cent are not above."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def inside(events):
    """us from each suspend that the device was asked for to its standing still."""
    begun, found = None, []
    for event in events:
        if event["event"] == "suspend":
            begun = event["at_ns"]
        elif event["event"] == "state" and event["state"] == "SUSPENDED" and begun:
            found.append((event["at_ns"] - begun) / 1e3)
            begun = None
    return found


def traced(words, target, top):
    """What the server's own trace says; it keeps the latest hundred or so."""
    bench(words, target, "--suspends", "100", "--every", "2")
    trace = json.loads(peers.call([words.uvdpa, "trace", "--dir", top, "d0"]))
    found = inside(trace["events"])
    return {"p50": percentile(found, 50), "p99": percentile(found, 99), "max": max(found)}


def suspends(words, target, _):
    found = bench(words, target, "--suspends", str(words.suspends), "--every", "2")
    return found["suspend_us"]


def moves(words, first, second):
    found = bench(words, first, "--handover", second, "--moves", str(words.suspends), "--every",
                  "2")
    return found["moves_us"]["blackout"]


def lines(top):
    """(label, measurement, targets, aim for the p99 in us)"""
    files, sockets = top + "/vdpa/d%d", top + "/d%d.sock"
    return [
        ("SUSPEND inside the device, by its trace", traced, (files % 0, top), 50),
        ("SUSPEND, device in the driver's process", suspends, (FIRST, None), None),
        ("SUSPEND through the vhost-vdpa file", suspends, (files % 0, None), 200),
        ("SUSPEND over vhost-user (GET_VRING_BASE)", suspends, (sockets % 0, None), None),
        ("blackout of a hand-over in one process", moves, (FIRST, SECOND), None),
        ("blackout between files", moves, (files % 0, files % 1), 500),
        ("blackout between vhost-user sockets", moves, (sockets % 0, sockets % 1), 500),
    ]


def row(label, rounds, aim):
    middle = {c: stats.median(stats.of(rounds, c)) for c in COLUMNS}
    return [label] + [stats.number(middle[c], digits=0) for c in COLUMNS] + [
        aim and "p99 " + stats.verdict(middle["p99"], aim, at_least=False) or ""]


def still(words):
    results, failures = {}, []
    with peers.uvdpa(words, ["blk,null=1T"] * 2, realtime=False, pin=False) as (top, pid):
        if words.realtime:
            prefer_readers(pid)
        for _ in range(words.rounds):
            for label, how, targets, _ in lines(top):
                try:
                    found = how(words, *targets)
                except peers.Failed as failed:
                    found = failures.append(str(failed))
                results.setdefault(label, []).append(found)
        rows = [row(label, results[label], aim) for label, _, _, aim in lines(top)]
    head = ["depth 128, 1 queue, %d each, us" % words.suspends] + list(COLUMNS) + ["aim"]
    return report.table(head, rows) + "\n" + report.missing(failures)
