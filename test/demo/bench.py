#!/usr/bin/env python3
"""bench.py: `uvdpa bench` runs, and its numbers add up with what the server counted.

    bench.py UVDPA files|inprocess|others
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from usable import usable

UVDPA, DOOR = sys.argv[1:3]
PATIENCE = 100
wrong = []


def demand(what, holds, *details):
    if not holds:
        wrong.append(what)
        print("--- %s: %s" % (what, details))


def bench(*words):
    done = subprocess.run([UVDPA, "bench"] + list(words) + ["--json"], capture_output=True,
                          text=True, timeout=PATIENCE)
    if done.returncode != 0:
        sys.exit("bench %s: exit code %d: %s" % (words, done.returncode, done.stderr))
    return json.loads(done.stdout)


def adds_up(name, found):
    """What holds of every measurement, however fast or slow the machine is."""
    near = found["requests"] / found["seconds"]
    demand(name + ": rate", abs(found["iops"] - near) <= near / 100, found)
    demand(name + ": errors", found["errors"] == 0 and found["requests"] > 0, found)
    for key, times in list(found.items()) + list(found.get("moves_us", {}).items()):
        if isinstance(times, dict) and "p50" in times:
            rising = [times[k] for k in ("p50", "p90", "p99", "p99_9", "max")]
            demand("%s: %s rises" % (name, key), rising == sorted(rising), rising)
    demand(name + ": a latency for each", found["request_us"]["count"] == found["requests"], found)


def plain(target, name, counted):
    found = bench(target, "--seconds", "1", "--depth", "16", "--rw", "mix")
    adds_up(name, found)
    demand(name + ": time", found["seconds"] >= 1, found)
    demand(name + ": words", (found["rw"], found["depth"], found["block_size"]) ==
           ("mix", 16, 4096), found)
    demand(name + ": CPU", found["driver_cpu_us"] > 0, found)
    if counted:
        disk = counted("a")
        demand(name + ": the server counts", disk["reads"] + disk["writes"] == found["requests"],
               disk, found)
        demand(name + ": reads and writes", disk["reads"] > 0 and disk["writes"] > 0, disk)
        demand(name + ": the server's CPU", found["server_cpu_us"] > 0, found)


def suspends(target, name):
    found = bench(target, "--suspends", "20", "--every", "2")
    adds_up(name, found)
    demand(name + ": count", found["suspend_us"]["count"] == 20 and
           found["resume_us"]["count"] == 20, found)


def suspends_now_and_then(target, name, *words):
    found = bench(target, "--seconds", "1", "--suspend-every", "20", "--queues", "2", *words)
    adds_up(name, found)
    demand(name + ": count", found["suspend_us"]["count"] == found["resume_us"]["count"] > 0, found)
    demand(name + ": time", found["seconds"] >= 1 and found["queues"] == 2, found)


def interrupt(words, pause):
    """Runs until a Ctrl-C after so many seconds: exit code, stdout, stderr."""
    process = subprocess.Popen([UVDPA, "bench"] + words + ["--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def interrupted(target, other, name):
    """Ctrl-C: the figures so far, whatever it was at."""
    for words in (["--seconds", "1000"], ["--seconds", "1000", "--suspend-every", "20"],
                  ["--suspends", "1000000"], ["--handover", other, "--moves", "1000000"]):
        what, found = "%s: interrupted, %s" % (name, words), {}
        for pause in 0.5, 2, 8, 30:  # until it has begun
            code, out, err = interrupt([target] + words, pause)
            found = json.loads(out) if out else {}
            if found.get("requests"):
                break
        demand(what, code == 1 and "interrupted: the figures are of" in err, code, err)
        adds_up(what, found)


def moves(first, second, name):
    found = bench(first, "--handover", second, "--moves", "7", "--every", "2", "--queues", "2")
    adds_up(name, found)
    steps = found["moves_us"]
    demand(name + ": count", all(step["count"] == 7 for step in steps.values()), steps)
    parts = [steps[k]["max"] for k in steps if k not in ("handover", "blackout")]
    demand(name + ": steps", len(parts) == 6 and sum(parts) >= steps["handover"]["max"] * 0.999,
           steps)


def cards():
    found = bench("net,name=a,null=on,queues=2", "--seconds", "1", "--queues", "2")
    adds_up("a card", found)
    demand("a card: words", (found["rw"], found["block_size"], found["queues"]) == ("tx", 64, 2),
           found)
    demand("a card sends", found["tx_mpps"] > 0 and found["rx_mpps"] == 0, found)
    for words in (["--poll"], ["--packed", "--bs", "1500", "--handover",
                               "net,name=b,loopback=on,packed=on", "--moves", "5"]):
        found = bench("net,name=a,loopback=on,packed=on", "--seconds", "1", "--rw", "txrx", *words)
        demand("frames come back", 0 < found["rx_mpps"] <= found["tx_mpps"] and
               found["errors"] == 0, found)


def waiting():
    """Whether, and how long, the driver looks before it sleeps."""
    for words, poll, poll_us in (([], False, 64), (["--poll-us", "0"], False, 0),
                                 (["--poll-us", "9"], False, 9), (["--poll"], True, None)):
        found = bench("blk,name=a,null=1G", "--seconds", "1", "--depth", "1", *words)
        adds_up("waiting", found)
        demand("how it waits", (found["poll"], found["poll_us"]) == (poll, poll_us), found)


def refused(words, says):
    done = subprocess.run([UVDPA, "bench"] + words, capture_output=True, text=True,
                          timeout=PATIENCE)
    # besides the device's own warnings, which come first
    lines = [line for line in done.stderr.splitlines() if ": warning: " not in line]
    demand("refuses %s" % words, done.returncode == 1 and len(lines) == 1 and says in lines[0],
           done.returncode, done.stderr)


def refusals():
    for words, says in ((["blk,name=x,null=1M", "--rw", "up"], "--rw up"),
                        (["blk,name=x,null=1M", "--bs", "100"], "--bs 100"),
                        (["blk,name=x,null=1M", "--moves", "3"], "--handover"),
                        (["blk,name=x,null=1M", "--depth", "0"], "--depth 0"),
                        (["blk,name=x,null=1M,queue-size=256", "--depth", "1000"], "256"),
                        (["blk,name=x,null=1M,queues=1", "--queues", "2"], "1 queue, not 2"),
                        (["blk,name=x,null=1M", "--packed"], "packed=on"),
                        (["blk,name=x,null=1M", "--memory", "shared"], "mapped or copied"),
                        (["blk,name=x,null=1M", "--poll", "--poll-us", "9"], "--poll-us"),
                        (["blk,name=x,null=1M", "--poll-us", "1s"], "--poll-us 1s"),
                        (["blk,name=x,null=1M", "--rw", "rx"], "for network cards"),
                        (["net,name=x,null=on", "--rw", "mix"], "for disks"),
                        (["net,name=x,null=on", "--bs", "59"], "60 to 9014"),
                        (["net,name=x,null=on", "--queues", "2"], "1 queue pair, not 2"),
                        (["net,name=x,null=on", "--handover", "blk,name=y,null=1M"],
                         "what runs on a network card"),
                        (["blk,name=x,null=1M", "--suspends", "1", "--suspend-every", "1"],
                         "--suspend-every"),
                        (["blk,name=x,null=1M,readonly=on", "--rw", "write"], "read-only"),
                        (["blk,name=x,null=512"], "only 512 bytes"),
                        (["blk,name=x,null=1M,suspend=off", "--suspends", "1"], "SUSPEND"),
                        (["blk,name=x,null=1M,fault.fail-every=2", "--seconds", "1"], "failed"),
                        (["/nonexistent/device"], "No such file"), ([], "TARGET")):
        refused(words, says)


def with_files():
    with tempfile.TemporaryDirectory(prefix="uvdpa-test-") as folder:
        command = [UVDPA, "serve", "--dir", folder, "--device", "blk,name=a,null=1G,queues=2",
                   "--device", "blk,name=b,null=1G,queues=2"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE
        while not os.path.exists(folder + "/control") and server.poll() is None \
                and time.monotonic() < end:
            time.sleep(0.02)

        def counted(name):
            asked = subprocess.run([UVDPA, "status", "--dir", folder, "--json", name],
                                   capture_output=True, text=True, timeout=PATIENCE)
            return json.loads(asked.stdout)["devices"][0]["disk"]
        try:
            plain(folder + "/vdpa/a", "files", counted)
            suspends(folder + "/vdpa/a", "suspends of files")
            suspends_now_and_then(folder + "/a.sock", "suspends of sockets")
            demand("the socket tells the process", bench(
                folder + "/a.sock", "--seconds", "1", "--poll")["server_cpu_us"] > 0)
            moves(folder + "/vdpa/a", folder + "/vdpa/b", "moves of files")
            interrupted(folder + "/vdpa/a", folder + "/vdpa/b", "files")
            found = bench(folder + "/vdpa/a", "--seconds", "1", "--memory", "copied")
            demand("copied memory", (found["memory"], found["errors"]) == ("copied", 0) and
                   found["requests"] > 0, found)
            refused([folder + "/a.sock", "--memory", "copied"], "is a socket")
        finally:
            server.terminate()
            said = server.communicate(timeout=PATIENCE)[1]
        demand("the server ends well", server.returncode == 0, said)


def with_others():
    """QEMU's storage daemon: a back end without STATUS, whose queues are counted by MQ."""
    with tempfile.TemporaryDirectory(prefix="uvdpa-test-") as folder:
        path = folder + "/q.sock"
        server = subprocess.Popen([
            OTHER, "--blockdev", "null-co,node-name=n,size=%d,read-zeroes=off" % 2**40, "--export",
            "vhost-user-blk,id=e,node-name=n,addr.type=unix,addr.path=%s,num-queues=2" % path])
        end = time.monotonic() + PATIENCE
        while not os.path.exists(path) and server.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        try:
            for words in ([], ["--queues", "2"]):
                found = bench(path, "--seconds", "1", "--depth", "16", *words)
                adds_up("storage daemon", found)
                demand("storage daemon: CPU", found["server_cpu_us"] > 0, found)
        finally:
            server.terminate()
            server.wait(timeout=PATIENCE)


OTHER = shutil.which("qemu-storage-daemon")
if DOOR == "others" and not OTHER:
    print("there is no qemu-storage-daemon here")
    sys.exit(77)
if DOOR == "others":
    with_others()
    sys.exit(1 if wrong else 0)
if DOOR == "files" and not usable():
    sys.exit(77)
if DOOR == "files":
    with_files()
else:
    plain("blk,name=a,null=1G", "in-process", None)
    suspends("blk,name=a,null=1G", "suspends in-process")
    suspends_now_and_then("blk,name=a,null=1G,queues=2", "suspends in-process, two queues")
    suspends_now_and_then("blk,name=a,null=1G,queues=2,packed=on", "packed", "--packed")
    moves("blk,name=a,null=1G,queues=2", "blk,name=b,null=1G,queues=2", "moves in-process")
    interrupted("blk,name=a,null=1G,queues=2", "blk,name=b,null=1G,queues=2", "in-process")
    waiting()
    cards()
    refusals()
sys.exit(1 if wrong else 0)
