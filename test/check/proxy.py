#!/usr/bin/env python3
"""proxy: a vhost-user back end that is another one's, with one thing made worse.

    proxy.py SOCKET BACKEND FAULT [FLAG]

Listens at SOCKET and passes every message, with its descriptors, on to the one at BACKEND and back.
Rings are served by BACKEND itself. FAULT is one of FAULTS; FLAG is a file that remembers, from one
life of the proxy to the next, that something has been done once.
"""
import os
import signal
import socket
import struct
import sys
import threading

GET_FEATURES, GET_VRING_BASE, GET_PROTOCOL, SET_PROTOCOL, GET_CONFIG, SET_CONFIG = 1, 11, 15, 16, 24, 25
MQ, REPLY_ACK, CONFIG, STATUS = 0, 3, 9, 16
FAULTS = {
    "none": "nothing",
    "poor": "offers REPLY_ACK and CONFIG only",
    "bare": "offers REPLY_ACK only",
    "half": "GET_VRING_BASE answers 16 bits",
    "ends": "ends at the 30th GET_VRING_BASE",
    "once": "ends with its first connection",
    "dies": "the same, but once by SIGSEGV, at a GET_VRING_BASE",
    "whole": "GET_CONFIG ignores the offset",
    "takes": "acknowledges SET_CONFIG and forgets it",
    "refuses": "hangs up at SET_CONFIG",
    "jealous": "hangs up on the first connection when a second comes",
}
path, behind, fault = sys.argv[1:4]
flag = sys.argv[4] if len(sys.argv) > 4 else None
assert fault in FAULTS
bases = 0
connections = []


def receive(sock):
    """A message and its descriptors; None at the end."""
    fds, data = [], b""
    while len(data) < 12:
        try:
            part, more, _, _ = socket.recv_fds(sock, 12 - len(data), 8)
        except OSError:
            return None
        fds += more
        if not part:
            return None
        data += part
    size = struct.unpack("<III", data)[2]
    while len(data) < 12 + size:
        part = sock.recv(min(12 + size - len(data), 65536))
        if not part:
            return None
        data += part
    return data, fds


def send(sock, data, fds):
    try:
        socket.send_fds(sock, [data], fds)
    except OSError:
        pass
    for fd in fds:
        os.close(fd)


def shut(sock):
    """A thread that waits at it goes on, which it would not if it were only closed."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def end(crash=False):
    if os.path.exists(path) and fault == "ends":
        os.unlink(path)
    if crash:
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGSEGV)
    os._exit(0)


def forward(data):
    """A message of the front end's on its way; None: it does not go on. And whether to hang up."""
    global bases
    request, flags = struct.unpack("<II", data[:8])
    if request == GET_VRING_BASE:
        bases += 1
        if (fault == "ends" and bases == 30) or (fault == "dies" and not os.path.exists(flag)):
            end(crash=fault == "dies")
    if request == GET_CONFIG and fault == "whole":
        data = data[:12] + struct.pack("<I", 0) + data[16:]
    if request == SET_CONFIG and fault == "refuses":
        return None, True
    return data, False


def backward(data, offset):
    request, flags, size = struct.unpack("<III", data[:12])
    if request == GET_PROTOCOL and fault in ("poor", "bare"):
        offered = struct.unpack("<Q", data[12:])[0]
        offered &= 1 << REPLY_ACK | (1 << CONFIG if fault == "poor" else 0)
        data = data[:12] + struct.pack("<Q", offered)
    if request == GET_VRING_BASE and size == 8 and fault == "half":
        index, base = struct.unpack("<II", data[12:])
        data = data[:12] + struct.pack("<II", index, base & 0xffff)
    if request == GET_CONFIG and size and fault == "whole":
        data = data[:12] + struct.pack("<I", offset) + data[16:]
    if request == SET_CONFIG and size == 8 and fault == "takes":
        data = data[:12] + bytes(8)
    return data


def serve(front):
    back = socket.socket(socket.AF_UNIX)
    back.connect(behind)
    asked = [0]  # the offset of the last GET_CONFIG

    def answers():
        while True:
            message = receive(back)
            if message is None:
                break
            send(front, backward(message[0], asked[0]), message[1])
        shut(front)

    threading.Thread(target=answers, daemon=True).start()
    while True:
        message = receive(front)
        if message is None:
            break
        if struct.unpack("<I", message[0][:4])[0] == GET_CONFIG:
            asked[0] = struct.unpack("<I", message[0][12:16])[0]
        data, hang_up = forward(message[0])
        if hang_up:
            break
        send(back, data, message[1])
    for sock in (back, front):
        shut(sock)
    if fault in ("once", "dies"):
        end()


listener = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
listener.bind(path)
listener.listen(8)
while True:
    front = listener.accept()[0]
    if fault == "jealous":
        for other in connections:
            shut(other)
        connections = [front]
    if fault in ("once", "dies"):
        listener.close()
        os.unlink(path)
        serve(front)
    threading.Thread(target=serve, args=(front,), daemon=True).start()
