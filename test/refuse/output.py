#!/usr/bin/env python3
"""output: whatever a verb prints, a standard output that is full or closed is an error.

    output.py UVDPA

Words that ask for help or the version, and the suggestions of `uvdpa check`, are tried here, too.
Needs a usable /dev/fuse only for the operators' verbs.
"""
import subprocess
import sys
import tempfile
import time

UVDPA = sys.argv[1]
PATIENCE = 60
failures = []


def expect(what, holds, *seen):
    if not holds:
        failures.append("%s: %s" % (what, seen))


def run(words, **how):
    how = dict({"stdout": subprocess.PIPE}, **how)
    return subprocess.run([UVDPA] + words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, timeout=PATIENCE, **how)


def full(words, code=1):
    """The same words print something, and to a full device they fail with one line."""
    with open("/dev/full", "w") as out:
        done = run(words, stdout=out)
    what = "uvdpa " + " ".join(words)
    expect(what, done.returncode == code, done.returncode, done.stderr)
    expect(what, len(done.stderr.splitlines()) == 1 and "output could" in done.stderr, done.stderr)


def alone():
    """What needs no server."""
    verbs = [line.split()[0] for line in run(["--help"]).stdout.splitlines()
             if line.startswith("  ") and not line.startswith("  uvdpa")]
    expect("verbs", len(verbs) > 10, verbs)
    for verb in verbs:
        one, other = run(["help", verb]), run([verb, "--help"])
        expect("help " + verb, one.returncode == 0 and one.stdout == other.stdout != "", one)
        full(["help", verb])
        full([verb, "--help"])
    for words in ["--help"], ["-h"], ["help"], ["--version"], ["-V"], ["version"]:
        done = run(words)
        expect(words, done.returncode == 0 and done.stdout, done)
        full(words)
    expect("-V", run(["-V"]).stdout == run(["--version"]).stdout)
    expect("help elephant", "unknown verb 'elephant'" in run(["help", "elephant"]).stderr)
    full(["check", "--list"], 2)
    full(["bench", "blk,name=a,null=1M", "--seconds", "1"])
    full(["bench", "blk,name=a,null=1M", "--seconds", "1", "--json"])
    full(["demo", "--moves", "1", "--door", "inprocess"])


def check_words():
    for words, says in ((["--only", "rign", "x"], "did you mean 'ring'?"),
                        (["--only", "no such thing", "x"], "--list shows them"),
                        (["--ony", "x"], "no such option as --ony; did you mean --only?"),
                        (["--elephant"], "no such option as --elephant; see"),
                        (["-q"], "no such option as -q; see"),
                        (["--only"], "--only needs a value")):
        done = run(["check"] + words)
        expect("check %s" % words, done.returncode == 2 and says in done.stderr and
               len(done.stderr.splitlines()) == 1, done.returncode, done.stderr)


def operators(d):
    """Every verb that asks a server prints what came of it, or that it could not."""
    full(["status", "--dir", d])
    full(["status", "disk0", "--dir", d])
    full(["status", "--json", "--dir", d])
    full(["trace", "disk0", "--dir", d])
    full(["trace", "disk0", "--output", d + ".json", "--dir", d])
    full(["suspend", "disk0", "--dir", d])
    full(["suspend", "disk0", "--json", "--dir", d])
    hint = run(["suspend", "disk0", "--dir", d]).stdout
    expect("hint", "'uvdpa resume disk0 --dir %s'" % d in hint, hint)
    full(["resume", "disk0", "--dir", d])
    full(["resize", "disk0", "2M", "--dir", d])
    full(["link", "net0", "down", "--dir", d])
    full(["reset", "disk0", "--dir", d])
    done = run(["trace", "disk0", "--output", "/dev/full", "--dir", d])
    expect("trace to /dev/full", done.returncode == 1 and "No space left" in done.stderr, done)


def serve(t):
    """A server, ready; None: it ended."""
    log = open(t + "/log", "w+")
    server = subprocess.Popen([UVDPA, "serve", "--dir", t + "/s", "--device",
                               "blk,name=disk0,memory=1M", "--device", "net,name=net0,loopback=on"],
                              stderr=log)
    while server.poll() is None:
        log.seek(0)
        if "serving" in log.read():
            return server
        time.sleep(0.01)
    return None


def main():
    with tempfile.TemporaryDirectory() as t:
        alone()
        check_words()
        server = serve(t)
        if server:
            try:
                operators(t + "/s")
            finally:
                server.terminate()
                server.wait(timeout=PATIENCE)
    for line in failures:
        print(line)
    if not failures and not server:
        print("no usable /dev/fuse for the operators' verbs")
        return 77
    return 1 if failures else 0


sys.exit(main())
