"""Many devices in one process: their rate in sum, memory, idle CPU time, and a stop of them all."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

from benchmark import peers, report, stats

COUNTS = (1, 4, 16, 64, 256)
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


def at(words, count):
    with peers.uvdpa(words, ["blk,null=1T"] * count, realtime=False) as (top, pid):
        control = Control(top)
        time.sleep(0.5)
        unused = memory(pid)
        return dict(under_load(words, control, top, pid, count), unused=unused)


def each(found, key, count):
    """KiB of each further device."""
    if count not in found or 1 not in found or count == 1:
        return "-"
    return "%.0f" % ((found[count][key] - found[1][key]) / (count - 1))


def row(found, count):
    one = found.get(count, {})
    return [str(count), stats.rate(one.get("rate")), each(found, "unused", count),
            each(found, "attached", count),
            stats.number(one.get("idle"), digits=3) + " %",
            stats.number(one.get("suspend"), 1e-3, 1),
            stats.number(one.get("suspend"), count / 1e6, 0)]


def aims(found):
    """The aims for 256 idle devices, in words."""
    if 256 not in found:
        return ""
    share = stats.verdict(found[256]["idle"], 1, at_least=False)
    size = stats.verdict((found[256]["attached"] - found[1]["attached"]) / 255, 256, at_least=False)
    return "\n256 idle devices: per cent of a core %s; KiB each %s.\n" % (share, size)


def scale(words):
    found, failures = {}, []
    for count in COUNTS:
        try:
            found[count] = at(words, count)
        except (peers.Failed, OSError) as failed:
            failures.append("%d devices: %s" % (count, failed))
    head = ["devices", "requests per second in sum", "memory each without driver, KiB",
            "with driver, KiB", "idle CPU of all", "suspend all, ms", "of which each, us"]
    return report.table(head, [row(found, count) for count in COUNTS]) + "\n" + aims(found) + \
        report.missing(failures)
