"""Whom we measure: each server as a context that gives its target, each measurement as a dict.

A server runs on one core and the driver on another, for every peer the same. Everything that is
started is ended by its process id, also when something goes wrong in between.
"""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

PATIENCE = 120
DISK = 1 << 40 # of null devices: large enough that no address repeats soon


class Failed(Exception):
    """A measurement that did not come off, and why: the cell stays empty."""


def pinned(words, core, command, realtime=None):
    front = ["taskset", "-c", str(core)]
    if words.realtime if realtime is None else realtime:
        front += ["chrt", "--rr", "10"]
    return front + command


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def is_listening(path):
    """Whether somebody accepts connections there, as the kernel knows it: nobody is disturbed."""
    with open("/proc/net/unix") as f:
        return any(line.split()[3] == "00010000" and line.split()[-1] == path
                   for line in f.readlines()[1:])


def end(process):
    process.terminate()
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(command, ready):
    """Runs a server until the block ends; ready() says when it serves."""
    with tempfile.TemporaryFile("w+") as log:
        # testpmd ends when its standard input does
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            until = time.monotonic() + PATIENCE
            while not ready() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            if not ready():
                log.seek(0)
                raise Failed("%s: %s" % (command[-1], last_line(log.read())))
            yield process.pid
        finally:
            end(process)


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="uvdpa-bench-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def keys(parts):
    return ",".join("%s=%s" % item for item in parts.items())


@contextlib.contextmanager
def uvdpa(words, devices, realtime=None, pin=True):
    """Serves devices (their keys, without the name), named d0, d1, ...; gives folder and pid."""
    with folder() as top:
        command = [words.uvdpa, "serve", "--dir", top]
        for i, device in enumerate(devices):
            command += ["--device", device + ",name=d%d" % i]
        if pin:
            command = pinned(words, words.server_core, command, realtime)
        with running(command, lambda: os.path.exists(top + "/control")) as pid:
            yield top, pid


def blockdev(cell):
    """The disk of a cell as QEMU wants it."""
    if not cell.get("file"):
        return "driver=null-co,node-name=n,read-zeroes=off,size=%d" % DISK
    return "driver=file,node-name=n,filename=%s,aio=io_uring,cache.direct=%s" % (
        cell["file"], "on" if cell.get("direct") else "off")


@contextlib.contextmanager
def storage_daemon(words, cell):
    with folder() as top:
        path = top + "/socket"
        command = ["qemu-storage-daemon", "--blockdev", blockdev(cell), "--object",
                   "iothread,id=t", "--export", "type=vhost-user-blk,id=e,node-name=n,writable=on,"
                   "addr.type=unix,addr.path=%s,num-queues=%d,iothread=t" % (path, cell["queues"])]
        with running(pinned(words, words.server_core, command), lambda: is_listening(path)):
            yield path


@contextlib.contextmanager
def disk(words, cell):
    """Our disk of the same kind, at its vhost-user socket."""
    backend = "null=1T"
    if cell.get("file"):
        backend = "file=%s,direct=%s" % (cell["file"], "on" if cell.get("direct") else "off")
    device = "blk,%s,queues=%d%s%s" % (backend, cell["queues"],
                                       ",packed=on" if cell.get("packed") else "",
                                       words.keys and "," + words.keys)
    with uvdpa(words, [device]) as (top, _):
        yield top + "/d0.sock"


def call(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failed("%s takes too long" % os.path.basename(command[-1]))
    if done.returncode != 0:
        raise Failed("%s: %s" % (os.path.basename(command[-1]), last_line(done.stderr)))
    return done.stdout


def run_bench(front, words, *more):
    """`uvdpa bench`, as a dict."""
    return json.loads(call(front + [words.uvdpa, "bench"] + list(more) + ["--json"]))


def drive(words, target, cell):
    more = ["--depth", str(cell["depth"]), "--queues", str(cell["queues"]), "--seconds",
            str(words.seconds)] + (["--poll"] if cell.get("poll") else [])
    more += ["--packed"] if cell.get("packed") else []
    found = run_bench(pinned(words, words.driver_core, []), words, target, *more)
    return {"rate": found["iops"], "p50": found["request_us"]["p50"],
            "p99": found["request_us"]["p99"], "server": found["server_cpu_us"],
            "driver": found["driver_cpu_us"]}


def drive_card(words, target, cell):
    """Frames that go through the device: sent, or sent and come back."""
    more = ["--rw", "txrx" if cell["loop"] else "tx", "--bs", str(cell["size"]), "--depth", "128",
            "--poll", "--seconds", str(words.seconds)] + (["--packed"] if cell["packed"] else [])
    found = run_bench(pinned(words, words.driver_core, []), words, target, *more)
    rate = found["rx_mpps"] if cell["loop"] else found["tx_mpps"]
    return {"rate": rate * 1e6, "server": found["server_cpu_us"]}


def our_card(words, cell):
    backend = "loopback=on" if cell["loop"] else "null=on"
    device = "net,%s,packed=%s%s" % (backend, "on" if cell["packed"] else "off",
                                     words.keys and "," + words.keys)
    with uvdpa(words, [device]) as (top, _):
        return drive_card(words, top + "/d0.sock", cell)


@contextlib.contextmanager
def testpmd(words, cell):
    """DPDK's vhost port: one core forwards, the main one (the driver's) sleeps."""
    with folder() as top:
        path = top + "/socket"
        command = ["dpdk-testpmd", "--no-huge", "-m", "512", "--no-pci",
                   "--file-prefix=" + os.path.basename(top), "--lcores",
                   "0@%d,1@%d" % (words.server_core, words.driver_core), "--main-lcore", "1",
                   "--vdev", "net_vhost0,iface=%s,queues=1" % path, "--", "--auto-start",
                   "--forward-mode=" + ("io" if cell["loop"] else "rxonly"), "--nb-cores=1",
                   "--total-num-mbufs=16384"]
        front = ["chrt", "--rr", "10"] if words.realtime else []
        with running(front + command, lambda: is_listening(path)):
            yield path


def dpdk(words, cell):
    if not shutil.which("dpdk-testpmd"):
        raise Failed("dpdk-testpmd is not installed")
    with testpmd(words, cell) as target:
        return drive_card(words, target, cell)


def ours(words, cell):
    with disk(words, cell) as target:
        return drive(words, target, cell)


def qsd(words, cell):
    if not shutil.which("qemu-storage-daemon"):
        raise Failed("qemu-storage-daemon is not installed")
    with storage_daemon(words, cell) as target:
        return drive(words, target, cell)


def fio(words, cell):
    """The same requests without any device, from the server's core."""
    if not shutil.which("fio"):
        raise Failed("fio is not installed")
    command = ["fio", "--name=raw", "--filename=" + cell["file"], "--rw=randread", "--bs=4k",
               "--ioengine=io_uring", "--direct=%d" % bool(cell.get("direct")),
               "--iodepth=%d" % cell["depth"], "--numjobs=%d" % cell["queues"], "--time_based",
               "--runtime=%d" % words.seconds, "--group_reporting", "--thread", "--invalidate=0",
               "--norandommap", "--randrepeat=0", "--output-format=json"]
    said = call(pinned(words, words.server_core, command))
    read = json.loads(said[said.index("{"):])["jobs"][0]["read"]
    spread = read["clat_ns"].get("percentile", {})
    return {"rate": read["iops"], "p50": spread.get("50.000000", 0) / 1e3,
            "p99": spread.get("99.000000", 0) / 1e3}


def floor(words, cell):
    """Two threads and a split ring, without a device."""
    command = [words.ring_floor, str(words.server_core), str(words.driver_core),
               str(cell["depth"]), str(words.seconds)]
    if words.realtime:
        command = ["chrt", "--rr", "10"] + command
    found = json.loads(call(command))
    return {"rate": found["rate"], "p50": found["p50_us"]}
