"""How long a disk stands still: suspended, and handed over from one device to another."""
import os

from benchmark import peers, report, stats

# The threads that answer calls come before the workers, else they wait for them to be done.
READERS, WORKERS = 30, 10
COLUMNS = ("p50", "p99", "max")
SECOND = "blk,null=1T,name=d1"
FIRST = "blk,null=1T,name=d0"


def prefer_readers(pid):
    """A device's workers are named INDEX/DEVICE; all other threads answer calls."""
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, tid)) as f:
            level = WORKERS if "/" in f.read() else READERS
        os.sched_setscheduler(int(tid), os.SCHED_RR, os.sched_param(level))


def bench(words, *more):
    """Without a core of its own: who stops a queue must not wait for the thread that fills it."""
    front = ["chrt", "--rr", str(WORKERS)] if words.realtime else []
    return peers.run_bench(front, words, *more)


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
        ("SUSPEND, device in the driver's process", suspends, (FIRST, None), 50),
        ("SUSPEND through the file door", suspends, (files % 0, None), 200),
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
