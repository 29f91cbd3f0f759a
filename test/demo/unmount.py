#!/usr/bin/env python3
"""A server's mount that cannot be taken away, as an ordinary user may find it, becomes part of the
guest test's verdict, and does not end it with a traceback: no program to unmount with, one that
refuses, one that does it.

    unmount.py RUN_GUEST
"""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import types

loader = importlib.machinery.SourceFileLoader("guest", sys.argv[1])
guest = importlib.util.module_from_spec(importlib.util.spec_from_loader("guest", loader))
sys.dont_write_bytecode = True
loader.exec_module(guest)


def close(folder, program):
    """What is wrong after a server is gone whose mount only `program` would take away."""
    mounted = os.path.join(folder, "mounted")
    open(mounted, "w").close()
    for name in ("umount", "fusermount3"):
        path = os.path.join(folder, name)
        if program is None:
            if os.path.exists(path):
                os.remove(path)
            continue
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + program.replace("MOUNTED", mounted) + "\n")
        os.chmod(path, 0o755)
    disk = guest.ServedDisk.__new__(guest.ServedDisk)
    disk.run = types.SimpleNamespace(wrong=[])
    disk.path = os.path.join(folder, "vdpa", "disk0")
    disk.server = guest.start(["/bin/true"])
    disk.server.wait()
    disk.is_mounted = lambda: os.path.exists(mounted)
    disk.close()
    return disk.run.wrong


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PATH"] = folder
        for program, wanted in ((None, "the server's mount stays: "),
                                ("echo busy; exit 1", "the server's mount stays: busy"),
                                ("/bin/rm MOUNTED", None)):
            wrong = close(folder, program)
            if (not wrong) != (wanted is None) or (wanted and not wrong[0].startswith(wanted)):
                print("unmount: %r: %r, not %r" % (program, wrong, wanted))
                return 1
    print("unmount: all verdicts are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
