#!/usr/bin/env python3
"""Runs a static program inside a real Linux, if the environment says where such a thing is.

usage: in_kernel.py VERSION PROGRAM [ARGUMENT...]

ORACLE names a program that boots kernel ORACLE_KERNEL with the vDPA simulators, runs PROGRAM inside as root and
returns its exit code. Without it, or without what it needs, the test is skipped (77) with the reason.
"""
import os
import shutil
import subprocess
import sys


def skip(reason):
    print("skipped: " + reason, flush=True)
    sys.exit(77)


def main():
    version, program, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    oracle = os.environ.get("ORACLE", "")
    if not oracle:
        skip("ORACLE is not set: it names the program that boots a kernel to test against")
    if not os.access(oracle, os.X_OK):
        skip(f"ORACLE names {oracle}, which is not a program")
    if not shutil.which("qemu-system-x86_64"):
        skip("there is no qemu-system-x86_64")
    env = dict(os.environ, ORACLE_KERNEL=version)
    env.setdefault("ORACLE_TIMEOUT", "240")
    command = [os.path.abspath(oracle), program] + (["--"] + arguments if arguments else [])
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL).returncode


sys.exit(main())
