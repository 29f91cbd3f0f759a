#!/usr/bin/env python3
"""state_qemu.py UVDPA: device states by way of QEMU, whose vhost-user network card carries them.

Of QEMU 10's vhost-user devices two ask their back end for its state when they are migrated
(DEVICE_STATE): virtio-fs, and virtio-net with a netdev of type vhost-user. Here a machine with such a
card, without a guest, goes there and back between two servers; each move has to fetch the state from
the one and give it to the other, and both have to say that it is sound. Exit code 77, with the
reason, without QEMU 10 or where nothing can be served.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 240  # seconds, for anything that has to happen
MOVES = 4
WORDS = ("SET_DEVICE_STATE_FD", "CHECK_DEVICE_STATE")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def wait_for(what, look):
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            sys.exit("no " + what)
        time.sleep(0.02)


class Server:
    def __init__(self, uvdpa, top, name):
        self.dir, self.log = os.path.join(top, name), os.path.join(top, name + ".log")
        self.process = subprocess.Popen(
            [uvdpa, "serve", "--dir", self.dir, "--device", "net,name=card,loopback=on", "-v"],
            stderr=open(self.log, "w"), preexec_fn=die_with_parent)
        wait_for("server", lambda: " serving " in self.said() or self.process.poll() is not None)
        if self.process.poll() is not None:
            if "fuse" in self.said():
                print("skipped: " + self.said().splitlines()[-1])
                sys.exit(77)
            sys.exit("uvdpa serve: " + self.said())

    def said(self):
        with open(self.log) as log:
            return log.read()

    def transfers(self):
        return tuple(self.said().count("vhost-user %s\n" % word) for word in WORDS)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Machine:
    """A QEMU that stands at its firmware, or waits to be migrated to."""

    def __init__(self, qemu, top, number, server, incoming):
        path = os.path.join(top, "qmp%d" % number)
        self.complaints = open(os.path.join(top, "qemu%d" % number), "w+")
        self.process = subprocess.Popen(
            [qemu, "-M", "q35,memory-backend=ram", "-m", "64M",
             "-object", "memory-backend-memfd,id=ram,size=64M,share=on", "-accel", "tcg",
             "-nodefaults", "-no-user-config", "-display", "none",
             "-qmp", "unix:%s,server=on,wait=off" % path,
             "-chardev", "socket,id=card,path=%s/card.sock" % server.dir,
             "-netdev", "vhost-user,id=net,chardev=card",
             "-device", "virtio-net-pci,netdev=net,romfile="] +
            (["-incoming", incoming] if incoming else []),
            stdin=subprocess.DEVNULL, stderr=self.complaints, preexec_fn=die_with_parent)
        self.socket = socket.socket(socket.AF_UNIX)
        wait_for("QEMU: " + self.why(), lambda: self.process.poll() is not None or self.reach(path))
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def reach(self, path):
        return self.socket.connect_ex(path) == 0

    def why(self):
        self.complaints.seek(0)
        return self.complaints.read()

    def ask(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        for line in self.file:
            answer = json.loads(line)
            if "error" in answer:
                sys.exit("QEMU refuses %s: %s" % (name, answer["error"]["desc"]))
            if "return" in answer:
                return answer["return"]
        sys.exit("QEMU is gone, at %s: %s" % (name, self.why()))

    def migrate(self, uri):
        self.ask("migrate", uri=uri)
        over = ("completed", "failed", "cancelled")
        wait_for("end of a migration",
                 lambda: self.ask("query-migrate").get("status") in over)
        state = self.ask("query-migrate")
        if state["status"] != "completed":
            sys.exit("the migration %s: %s" % (state["status"], state.get("error-desc")))

    def close(self):
        self.process.kill()
        self.process.wait()


def life(qemu, top, servers):
    machine = Machine(qemu, top, 0, servers[0], None)
    for move in range(MOVES):
        source, target = servers[move & 1], servers[~move & 1]
        before = [server.transfers() for server in (source, target)]
        uri = "unix:" + os.path.join(top, "incoming%d" % move)
        other = Machine(qemu, top, move + 1, target, uri)
        machine.migrate(uri)
        wait_for("machine that goes on", lambda: other.ask("query-status")["running"])
        machine.close()
        machine = other
        for server, had in zip((source, target), before):
            wanted = tuple(count + 1 for count in had)
            if server.transfers() != wanted:
                sys.exit("move %d: %s were to be %s" % (move, server.transfers(), wanted))
    machine.close()


def main():
    qemu = shutil.which("qemu-system-x86_64")
    said = subprocess.run([qemu, "--version"], stdout=subprocess.PIPE, text=True).stdout if qemu else ""
    version = re.search(r"version (\d+)", said)
    if not version or int(version.group(1)) < 10:
        print("skipped: no QEMU of version 10; run tools/deps guest")
        return 77
    with tempfile.TemporaryDirectory(prefix="uvdpa-state-") as top:
        servers = []
        try:
            for name in ("here", "there"):
                servers.append(Server(os.path.abspath(sys.argv[1]), top, name))
            life(qemu, top, servers)
        finally:
            codes = [server.close() for server in servers]
        wrong = [line for server in servers for line in server.said().splitlines()
                 if "warning:" in line or "error:" in line]
    print("state: moves=%d, each saved and loaded; codes=%s warnings=%s" % (MOVES, codes, wrong))
    return 1 if wrong or any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
