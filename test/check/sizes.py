#!/usr/bin/env python3
"""sizes: correct devices of ours with queues of every size are never called broken.

    sizes.py UVDPA

Disks and cards, on split and on packed rings, over files and over sockets; `uvdpa check` skips
what a queue cannot hold. Skipped, with the reason, where files cannot be served.
"""
import concurrent.futures
import json
import signal
import subprocess
import sys
import tempfile
import time

UVDPA = sys.argv[1]
SIZES = [2 << n for n in range(10)]
KINDS = {
    "disk": ("blk,name=%s,memory=4M,queue-size=%d", []),
    "pdisk": ("blk,name=%s,memory=4M,packed=on,queue-size=%d", ["--packed"]),
    "card": ("net,name=%s,loopback=on,queue-size=%d", []),
    "pcard": ("net,name=%s,loopback=on,packed=on,queue-size=%d", ["--packed"]),
}
PATIENCE = 300
failures = []


def serve(folder):
    words = [UVDPA, "serve", "--dir", folder + "/d"]
    for kind, (device, _) in KINDS.items():
        for size in SIZES:
            words += ["--device", device % (kind + str(size), size)]
    with open(folder + "/log", "w") as log:
        server = subprocess.Popen(words, stderr=log)
    while server.poll() is None:
        with open(folder + "/log") as log:
            if " serving " in log.read():
                return server
        time.sleep(0.02)
    with open(folder + "/log") as log:
        print("skipped: files cannot be served here: " + log.read().strip())
    sys.exit(77)


def check(name, path, words):
    done = subprocess.run([UVDPA, "check", path, "--scratch", "--format", "json", "--rounds", "1",
                           "--seconds", "1", "--lossless"] + words, capture_output=True, text=True,
                          timeout=PATIENCE)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        return ["%s: no report: %r %r" % (name, done.stdout[-300:], done.stderr)]
    wrong = ["%s: %s: expected %s, seen %s" % (name, c["id"], c["expected"], c["seen"])
             for c in result["cases"] if c["result"] not in ("kept", "skipped")]
    # packed rings of two entries hold no request of a disk, and that is all of --packed
    nothing = name.startswith("pdisk2 ") and result["kept"] == 0
    if done.returncode != (2 if nothing else 0) or (result["kept"] == 0 and not nothing):
        wrong.append("%s: exit %d, %d kept" % (name, done.returncode, result["kept"]))
    print("%s: %d kept, %d broken, %d skipped" % (name, result["kept"], result["broken"],
                                                  result["skipped"]), flush=True)
    return wrong


def both_doors(folder, kind, size):
    name = kind + str(size)
    return (check(name + " over a file", "%s/d/vdpa/%s" % (folder, name), KINDS[kind][1]) +
            check(name + " over a socket", "%s/d/%s.sock" % (folder, name), KINDS[kind][1]))


with tempfile.TemporaryDirectory() as folder:
    server = serve(folder)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(both_doors, folder, kind, size) for kind in KINDS for size in SIZES]
            for job in jobs:
                failures += job.result()
    finally:
        server.send_signal(signal.SIGTERM)
        if server.wait(60) != 0:
            failures.append("the server ended with %d" % server.returncode)
for line in failures:
    print("FAILED " + line)
sys.exit(1 if failures else 0)
