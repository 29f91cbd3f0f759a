#!/usr/bin/env python3
"""checked.py UVDPA: `uvdpa check` on a vhost-user socket, alone and beside a vhost-vdpa file.

Exit code 77, with the reason, where `uvdpa serve` cannot serve (no usable /dev/fuse).
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = 240
# Wrap counters, and what most depends on them, over both exports.
PACKED = "P01,P02,P03,P04,P05,S2-1p,S6-1p,S12-1p,R06p,R07p"
uvdpa = os.path.abspath(sys.argv[1])


def serve(folder, log):
    """Its log goes to a file: a pipe that nobody reads would stop it in the end."""
    server = subprocess.Popen([uvdpa, "serve", "--dir", folder,
                               "--device", "blk,name=a,memory=64M",
                               "--device", "blk,name=b,memory=64M",
                               "--device", "blk,name=p,memory=64M,packed=on"],
                              stderr=open(log, "w"))
    while True:
        with open(log) as f:
            said = f.read()
        if " serving " in said:
            return server
        if server.poll() is not None:
            if "fuse" in said:
                print("skipped: " + said.splitlines()[-1])
                sys.exit(77)
            sys.exit("uvdpa serve: " + said)
        time.sleep(0.02)


def check(*words):
    done = subprocess.run([uvdpa, "check", "--format", "tap", *words], capture_output=True,
                          text=True, timeout=PATIENCE)
    print(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
    if done.returncode != 0:
        print(done.stdout)
        return False
    return True


with tempfile.TemporaryDirectory(prefix="uvdpa-vu-check-") as top:
    folder = os.path.join(top, "d")
    server = serve(folder, os.path.join(top, "log"))
    try:
        good = check(folder + "/a.sock", "--scratch", "--control", folder)
        good = check(folder + "/a.sock", folder + "/vdpa/b", "--only", "restore") and good
        for end in ("/p.sock", "/vdpa/p"):
            good = check(folder + end, "--only", PACKED, "--rounds", "5") and good
        good = check(folder + "/vdpa/b", folder + "/a.sock", "--only", "restore") and good
    finally:
        server.send_signal(signal.SIGTERM)
        if server.wait(30) != 0:
            good = False
sys.exit(0 if good else 1)
