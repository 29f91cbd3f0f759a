#!/usr/bin/env python3
"""connect_qemu.py UVDPA: client mode against QEMU, which listens; each side is killed and comes back.

No guest system: the disk's first sector is the program. By way of the firmware's own virtio-blk
driver it reads a sector, looks whether that is what it wrote last, counts it up, writes it, and sends
a dot over the serial port ('!' if it was something else, or an error). So the dots after a kill say
that whole requests went through the new connection. Exit code 77, with the reason, without QEMU.
"""
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = 240  # seconds, for anything that has to happen
BOOTS, KILLS, DOTS = 3, 3, 20
SECTOR = 8


def program():
    """The first sector, for a processor in real mode; int 13h is the firmware's disk service."""
    code, labels, jumps = bytearray(), {}, []

    def emit(text):
        code.extend(bytes.fromhex(text))

    def label(name):
        labels[name] = len(code)

    def jump(opcode, name):
        emit(opcode)
        jumps.append((len(code), name))
        code.append(0)

    emit("31c0 8ed8 8ed0 bc007c")    # ax = ds = ss = 0, sp = 0x7c00
    emit("31db")                      # bx = 0: nothing was written yet
    label("again")
    emit("be807c b442 b280 cd13")    # extended read of disk 0x80, packet at 0x7c80
    jump("72", "bad")                 # carry: an error
    emit("85db")                      # bx = 0?
    jump("74", "fits")
    emit("391e0080")                  # is what was read what was written?
    jump("75", "bad")
    label("fits")
    emit("ff060080 8b1e0080 85db")   # count it up; bx = what is written now
    jump("74", "fits")                # never 0
    emit("be807c b80043 b280 cd13")  # extended write
    jump("72", "bad")
    emit("b02e")                      # al = '.'
    label("say")
    emit("baf803 ee")                 # out 0x3f8, al
    jump("eb", "again")
    label("bad")
    emit("b021 31db")                 # al = '!', bx = 0
    jump("eb", "say")
    for at, name in jumps:
        code[at] = (labels[name] - at - 1) & 0xff
    code.extend(bytes(0x80 - len(code)))
    # the packet: its size, one sector, to 0000:8000, from SECTOR on
    code.extend(bytes([16, 0, 1, 0, 0, 0x80, 0, 0, SECTOR, 0, 0, 0, 0, 0, 0, 0]))
    return bytes(code) + bytes(510 - len(code)) + b"\x55\xaa"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    def __init__(self, uvdpa, top):
        self.uvdpa, self.dir = uvdpa, top + "/d"
        self.words = [uvdpa, "serve", "-v", "--dir", top + "/d", "--device",
                      "blk,name=a,file=%s/image,connect=%s/front,reconnect=50" % (top, top)]
        self.log, self.mount = top + "/log", top + "/d/vdpa"
        self.process = None

    def start(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.words, stderr=log, preexec_fn=die_with_parent)
        end = time.monotonic() + PATIENCE
        while " serving " not in self.said():
            if self.process.poll() is not None:
                if "fuse" in self.said():
                    print("skipped: " + self.said().splitlines()[-1])
                    sys.exit(77)
                sys.exit("uvdpa serve: " + self.said())
            if time.monotonic() > end:
                sys.exit("uvdpa serve does not serve")
            time.sleep(0.02)

    def said(self):
        with open(self.log) as log:
            return log.read()

    def resize(self, size):
        """QEMU is told, and looks at the config space again, for the guest to see."""
        seen = self.said().count("vhost-user GET_CONFIG\n")
        subprocess.run([self.uvdpa, "resize", "a", size, "--dir", self.dir], check=True,
                       timeout=PATIENCE, stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while self.said().count("vhost-user GET_CONFIG\n") == seen:
            if time.monotonic() > end:
                sys.exit("QEMU does not look at a changed config space")
            time.sleep(0.02)

    def end(self, sign):
        self.process.send_signal(sign)
        return self.process.wait(PATIENCE)

    def bury(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if os.path.ismount(self.mount):
            away = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
            subprocess.call(away + [self.mount])


class Machine:
    def __init__(self, qemu, top):
        self.complaints = top + "/qemu"
        self.process = subprocess.Popen(
            [qemu, "-M", "q35,memory-backend=ram", "-m", "64M",
             "-object", "memory-backend-memfd,id=ram,size=64M,share=on",
             "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none",
             "-serial", "stdio",
             "-chardev", "socket,id=disk0,server=on,wait=off,path=%s/front" % top,
             "-device", "vhost-user-blk-pci,chardev=disk0,bootindex=0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(top + "/qemu", "w"),
            preexec_fn=die_with_parent)
        self.dots, self.text = 0, b""

    def take(self, wait):
        """What the serial port had to say since. The dots that were there count, too."""
        if not select.select([self.process.stdout], [], [], wait)[0]:
            return False
        got = os.read(self.process.stdout.fileno(), 65536)
        self.text += got.replace(b".", b"")
        self.dots += got.count(b".")
        return bool(got)

    def expect(self, dots, what):
        while self.take(0):
            pass
        wanted, end = self.dots + dots, time.monotonic() + PATIENCE
        while self.dots < wanted:
            if not self.take(1) and (self.process.poll() is not None or time.monotonic() > end):
                with open(self.complaints) as said:
                    sys.exit("no requests %s: %r; QEMU: %s" % (what, self.text, said.read()))

    def end(self):
        self.process.kill()
        while self.take(PATIENCE):
            pass
        self.process.wait()


def life(server, qemu, top):
    machines = []
    server.start()
    for boot in range(BOOTS):
        machine = Machine(qemu, top)
        machines.append(machine)
        try:
            machine.expect(DOTS, "at boot %d" % boot)
            server.resize("%dM" % (boot + 2))
            machine.expect(DOTS, "after a new size")
            for kill in range(KILLS):
                server.end(signal.SIGKILL)
                server.start()
                machine.expect(DOTS, "after kill %d of the server" % kill)
            if server.end(signal.SIGTERM) != 0:
                sys.exit("uvdpa serve did not end well: " + server.said())
            server.start()
            machine.expect(DOTS, "after an orderly end of the server")
        finally:
            machine.end()
    if server.end(signal.SIGTERM) != 0:
        sys.exit("uvdpa serve did not end well: " + server.said())
    return machines


def main():
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        print("skipped: no qemu-system-x86_64; run tools/deps guest")
        return 77
    with tempfile.TemporaryDirectory(prefix="uvdpa-connect-") as top:
        with open(top + "/image", "wb") as image:
            image.write(program())
            image.truncate(1 << 20)
        server = Server(os.path.abspath(sys.argv[1]), top)
        try:
            machines = life(server, qemu, top)
        finally:
            server.bury()
        with open(top + "/image", "rb") as image:
            image.seek(SECTOR * 512)
            written = int.from_bytes(image.read(2), "little")
    dots = sum(machine.dots for machine in machines)
    wrong = sum(machine.text.count(b"!") for machine in machines)
    print("connect: boots=%d kills=%d writes=%d wrong=%d on_disk=%d" %
          (BOOTS, BOOTS * KILLS, dots, wrong, written))
    # a write whose dot the killed QEMU still had is on the disk, too
    return 0 if not wrong and dots and (written - dots) % 65536 < 60000 else 1


if __name__ == "__main__":
    sys.exit(main())
