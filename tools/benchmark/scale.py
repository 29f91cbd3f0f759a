"""Many devices in one process: their rate in sum, memory, idle CPU time, and a stop of them all."""
import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

from benchmark import peers, report, stats

# How many devices, and whether they share one worker (worker=).
Case = collections.namedtuple("Case", "count shared")
CASES = [Case(count, shared) for count in (1, 4, 16, 64, 256) for shared in (False, True)
         if count > 1 or not shared]
ALONE = Case(1, False)
DEPTH = 32


class Control:
    """The server's control socket: one JSON object a line, there and back."""

    def __init__(self, top):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(peers.PATIENCE)
        self.socket.connect(top + "/control")
        self.lines = self.socket.makefile("r")

    def ask(self, command, **arguments):
        line = json.dumps({"id": 1, "command": command, "arguments": arguments}) + "\n"
        self.socket.sendall(line.encode())
        answer = json.loads(self.lines.readline() or "{}")
        if "error" in answer or not answer:
            raise peers.Failed("%s: %s" % (command, answer.get("error", {}).get("message")))
        return answer["return"]

    def requests(self):
        """Of each device, as the server counts them."""
        return [sum(queue["requests"] for queue in device["queues"])
                for device in self.ask("status")["devices"]]


def memory(pid):
    """Resident memory in KiB without that of the drivers (PSS without what is shared memory)."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        sizes = {line.split()[0]: int(line.split()[1]) for line in f.readlines()[1:]}
    return sizes["Pss:"] - sizes["Pss_Shmem:"]


def cpu_ns(pid):
    total = 0
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, tid)) as f:
            total += int(f.read().split()[0])
    return total


def idle_share(pid, seconds):
    """CPU time of the whole process in per cent of a core."""
    before, begin = cpu_ns(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_ns(pid) - before) / 1e7 / (time.monotonic() - begin)


@contextlib.contextmanager
def drivers(words, top, count):
    """One `uvdpa bench` per device, until the block ends."""
    command = [words.uvdpa, "bench", "--depth", str(DEPTH), "--seconds", "1000", "--json"]
    running = []
    try:
        for i in range(count):
            running.append(subprocess.Popen(
                peers.pinned(words, words.driver_core, command + ["%s/d%d.sock" % (top, i)], False),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield running
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def wait_for_all(control):
    until = time.monotonic() + peers.PATIENCE
    while not all(control.requests()):
        if time.monotonic() > until:
            raise peers.Failed("some devices got no request")
        time.sleep(0.1)


def rate(control, seconds):
    first, begin = sum(control.requests()), time.monotonic()
    time.sleep(seconds)
    last, end = sum(control.requests()), time.monotonic()
    return (last - first) / (end - begin)


def suspend_all(control, count):
    """Seconds for all of them, one after the other over one connection, under load."""
    begin = time.monotonic()
    for i in range(count):
        control.ask("suspend", name="d%d" % i)
    taken = time.monotonic() - begin
    for i in range(count):
        control.ask("resume", name="d%d" % i)
    return taken


def under_load(words, control, top, pid, count):
    with drivers(words, top, count) as running:
        wait_for_all(control)
        found = {"rate": rate(control, 2 * words.seconds), "suspend": suspend_all(control, count)}
        for process in running:
            process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        found["attached"], found["idle"] = memory(pid), idle_share(pid, 5 * words.seconds)
    return found


def at(words, case):
    devices = ["blk,null=1T" + (",worker=w" if case.shared else "")] * case.count
    with peers.uvdpa(words, devices, realtime=False) as (top, pid):
        control = Control(top)
        time.sleep(0.5)
        unused = memory(pid)
        return dict(under_load(words, control, top, pid, case.count), unused=unused)


def each(found, key, case):
    """KiB of each further device."""
    if case not in found or ALONE not in found or case == ALONE:
        return "-"
    return "%.0f" % ((found[case][key] - found[ALONE][key]) / (case.count - 1))


def row(found, case):
    one = found.get(case, {})
    return [str(case.count), "all together" if case.shared else "each",
            stats.rate(one.get("rate")), each(found, "unused", case),
            each(found, "attached", case),
            stats.number(one.get("idle"), digits=3) + " %",
            stats.number(one.get("suspend"), 1e-3, 1),
            stats.number(one.get("suspend"), case.count / 1e6, 0)]


def aims(found):
    """The aims for 256 idle devices, in words."""
    most = Case(256, False)
    if most not in found or ALONE not in found:
        return ""
    share = stats.verdict(found[most]["idle"], 1, at_least=False)
    grown = (found[most]["attached"] - found[ALONE]["attached"]) / (most.count - 1)
    size = stats.verdict(grown, 256, at_least=False)
    return "\n256 idle devices: per cent of a core %s; KiB each %s.\n" % (share, size)


def scale(words):
    found, failures = {}, []
    for case in CASES:
        try:
            found[case] = at(words, case)
        except (peers.Failed, OSError) as failed:
            failures.append("%d devices: %s" % (case.count, failed))
    head = ["devices", "a worker for", "requests per second in sum",
            "memory each without driver, KiB", "with driver, KiB", "idle CPU of all",
            "suspend all, ms", "of which each, us"]
    return report.table(head, [row(found, case) for case in CASES]) + "\n" + aims(found) + \
        report.missing(failures)
