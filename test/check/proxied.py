#!/usr/bin/env python3
"""proxied: `uvdpa check` on vhost-user back ends that are ours but for one thing (proxy.py).

    proxied.py UVDPA SCHEMA

A back end that offers little is not called broken; one that gets something wrong gets one finding,
which names it, in every format; one that ends takes no other case with it. Skipped, with the
reason, where `uvdpa serve` cannot serve.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

UVDPA, SCHEMA = sys.argv[1:3]
PROXY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")
PATIENCE = 300
failures = []
ONCE = "status,ring,restore,user"  # a life of the proxy for each of these takes its time


def expect(what, is_so, seen=""):
    print("%s %s%s" % ("ok" if is_so else "FAILED", what, "" if is_so else ": %s" % (seen,)),
          flush=True)
    if not is_so:
        failures.append(what)


def wait_for(ready, process, why):
    until = time.monotonic() + PATIENCE
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    if not ready():
        sys.exit(why())


def serve(folder):
    log = folder + "/log"
    with open(log, "w") as to:
        server = subprocess.Popen(
            [UVDPA, "serve", "--dir", folder + "/d", "--device", "blk,name=disk,memory=4M",
             "--device", "blk,name=packed,memory=4M,packed=on",
             "--device", "blk,name=slow,memory=4M,fault.delay-us=50000",
             "--device", "net,name=card,loopback=on"], stderr=to)

    def said():
        with open(log) as f:
            return f.read()
    until = time.monotonic() + PATIENCE
    while " serving " not in said() and server.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    if " serving " not in said():
        print("skipped: cannot serve here: " + said())
        sys.exit(77)
    return server


def check(folder, fault, device, *words, restart=False, form="json"):
    """The report of a run on the device behind a proxy with this fault, and the exit status."""
    path, flag = folder + "/p.sock", folder + "/flag"
    command = [sys.executable, PROXY, path, "%s/d/%s.sock" % (folder, device), fault, flag]
    for name in (path, flag):
        if os.path.exists(name):
            os.unlink(name)
    proxy = None
    if restart:
        words += ("--restart", " ".join("'%s'" % word for word in command))
    else:
        proxy = subprocess.Popen(command)
        wait_for(lambda: os.path.exists(path), proxy, lambda: "the proxy does not listen")
    done = subprocess.run([UVDPA, "check", path, "--rounds", "3", "--seconds", "1", "--format", form,
                           *words], capture_output=True, text=True, timeout=PATIENCE)
    if proxy:
        proxy.kill()
        proxy.wait()
    if form != "json":
        return done.stdout, done.returncode
    try:
        return json.loads(done.stdout), done.returncode
    except ValueError:
        sys.exit("%s: no report: %r %r" % (fault, done.stdout[-300:], done.stderr))


def ids(report, *results):
    return [c["id"] for c in report["cases"] if c["result"] in results]


def conforms(value, schema, at="report"):
    """What is wrong with it, by as much of JSON Schema as ours uses."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return ["%s is no %s" % (at, schema["type"])]
    wrong = []
    if "const" in schema and value != schema["const"]:
        wrong.append("%s is %r" % (at, value))
    if "enum" in schema and value not in schema["enum"]:
        wrong.append("%s is %r" % (at, value))
    if isinstance(value, dict):
        wrong += ["%s has no %s" % (at, k) for k in schema.get("required", []) if k not in value]
        known = schema.get("properties", {})
        for key, member in value.items():
            if key in known:
                wrong += conforms(member, known[key], "%s.%s" % (at, key))
            elif isinstance(schema.get("additionalProperties"), dict):
                wrong += conforms(member, schema["additionalProperties"], "%s.%s" % (at, key))
            elif schema.get("additionalProperties") is False:
                wrong.append("%s has %s, of which the schema knows nothing" % (at, key))
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            wrong += conforms(item, schema["items"], "%s[%d]" % (at, i))
    return wrong


def keeps(folder, fault, device, least, *words, **more):
    report, code = check(folder, fault, device, *words, **more)
    wrong = ["%s: %s: %s" % (c["id"], c["expected"], c["seen"]) for c in report["cases"]
             if c["result"] in ("broken", "differs")]
    expect("%s, %s: nothing is broken" % (fault, device), code == 0 and not wrong, (code, wrong))
    expect("%s, %s: %d and more are kept" % (fault, device, least), report["kept"] >= least,
           report["kept"])
    return report


def right_ones(folder):
    whole = keeps(folder, "none", "disk", 100)
    expect("messages are counted", whole["messages"].get("GET_VRING_BASE", 0) > 50,
           whole["messages"])
    expect("features are told as offered", int(whole["offered"], 16) >> 30 & 1, whole["offered"])
    answered = [c for c in whole["cases"] if c.get("reason", "").startswith("nothing of it goes")]
    expect("what the library answers is not kept", answered, ids(whole, "kept"))
    expect("what only Linux does is not tried", "KC08" in ids(whole, "skipped"))
    poor = keeps(folder, "poor", "disk", 90)
    expect("without STATUS no status is judged", "KF03" in ids(poor, "skipped"))
    keeps(folder, "bare", "card", 60)
    keeps(folder, "once", "disk", 20, "--only", ONCE, restart=True)
    keeps(folder, "none", "slow", 15, "--only", "ring")
    refuses = keeps(folder, "refuses", "disk", 1, "--only", "C06")
    expect("to hang up is a refusal", "hanging up" in refuses["cases"][0].get("notes", ""), refuses)


def one_root(folder):
    """One fault, many cases: one finding."""
    report, code = check(folder, "half", "packed", "--packed")
    expect("half: broken", code == 1 and report["broken"] >= 4, (code, report["broken"]))
    expect("half: one finding", len(report["findings"]) == 1, report["findings"])
    expect("half: it is named", "16 bits" in report["findings"][0]["root"], report["findings"])
    with open(SCHEMA) as f:
        wrong = conforms(report, json.load(f))
    expect("half: the report conforms to the schema", not wrong, wrong[:5])
    first = [c for c in report["cases"] if c["result"] == "broken"][0]
    expect("half: the messages are told", any("GET_VRING_BASE" in m for m in first["messages"]),
           first)
    expect("half: the rings are told", "packed, " in first["rings"], first)
    expect("half: its line has all options", "--seconds 1" in first["reproduce"], first)


def single_cases(folder):
    report, code = check(folder, "whole", "disk", "--only", "C01,C02,R01")
    expect("whole: C02 names it", code == 1 and ids(report, "broken") == ["C02"], report)
    report, code = check(folder, "takes", "disk", "--only", "C06,R01")
    expect("takes: C06 names it", code == 1 and ids(report, "broken") == ["C06"], report)
    report, code = check(folder, "jealous", "disk", "--only", "U03,R01")
    expect("jealous: it differs, and breaks nothing", code == 3 and
           ids(report, "differs") == ["U03"] and report["broken"] == 0, report)
    expect("jealous: how grave it is", report["findings"][0]["severity"] == "robustness", report)


def ends(folder):
    report, code = check(folder, "ends", "disk")
    broken = [c for c in report["cases"] if c["result"] == "broken"]
    after = [c for c in report["cases"] if "since case" in c.get("reason", "")]
    expect("ends: one case is named", code == 1 and len(broken) == 1, [c["id"] for c in broken])
    expect("ends: the rest is skipped", len(after) > 50, len(after))
    expect("ends: its last messages are told", "GET_VRING_BASE" in str(broken[0]["messages"]),
           broken[0])
    report, code = check(folder, "dies", "disk", "--only", ONCE, restart=True)
    broken = [c for c in report["cases"] if c["result"] == "broken"]
    expect("dies: one case is named", code == 1 and len(broken) == 1, [c["id"] for c in broken])
    expect("dies: by which signal", "signal 11" in broken[0]["seen"], broken[0])
    expect("dies: the others go on", report["kept"] >= 20, report["kept"])


def formats(folder):
    words = ("--only", "C02,R01,KC08")
    text, code = check(folder, "whole", "disk", *words, form="junit")
    suite = xml.etree.ElementTree.fromstring(text)
    expect("junit: three cases, a failure, a skip", code == 1 and
           [suite.get(k) for k in ("tests", "failures", "skipped")] == ["3", "1", "1"] and
           suite.find("testcase/failure").get("type") == "vhost-user GET_CONFIG", text)
    text, code = check(folder, "whole", "disk", *words, form="markdown")
    expect("markdown: a section for the finding", code == 1 and text.count("\n## ") == 1 and
           "vhost-user GET_CONFIG" in text and "    -> GET_CONFIG" in text, text)
    text, code = check(folder, "whole", "disk", *words, form="tap")
    expect("tap: requirement and messages", code == 1 and "    requirement: '" in text and
           "    messages: |" in text, text)
    text, code = check(folder, "jealous", "disk", "--only", "U03", form="tap")
    expect("tap: a difference does not count", "# TO" "DO" in text and code == 3, text)
    text, code = check(folder, "whole", "disk", *words, form="table")
    expect("table: requirement and messages", "by: vhost-user GET_CONFIG: " in text and
           "messages:" in text, text)


with tempfile.TemporaryDirectory(prefix="uvdpa-proxied-") as top:
    backend = serve(top)
    try:
        right_ones(top)
        one_root(top)
        single_cases(top)
        ends(top)
        formats(top)
    finally:
        backend.send_signal(signal.SIGTERM)
        expect("the server behind has lived through it", backend.wait(60) == 0)
sys.exit(1 if failures else 0)
