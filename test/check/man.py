#!/usr/bin/env python3
"""man: the table of cases in uvdpa-check(1) is what `uvdpa-check --list` says.

    man.py CHECKER MANPAGE [--write]

A packed twin (an id with a p at the end) is told with the case that it repeats.

Also: ids are unique, every clause S1 to S14 has a case, and a case's id that names a clause is
listed with it. With --write the table is written anew; otherwise any difference fails.
"""
import collections
import json
import re
import subprocess
import sys

BEGIN, END = '.\\" cases: test/check/man.py --write', '.\\" end of cases'
BASES = ("virtio", "vhost-user", "contract", "linux", "robustness")
CLASS = {"M": "", "K": "Linux", "D": "device"}


def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def table(cases):
    lines, group = [BEGIN], None
    ids = {case["id"] for case in cases}
    for case in cases:
        if case["id"][-1] == "p" and case["id"][:-1] in ids:
            continue
        if case["group"] != group:
            group = case["group"]
            lines.append(".SS " + group)
        traits = [case["clause"]] + [w for w in (
            CLASS[case["class"]],
            case["user"] != case["clause"] and "on a socket: " + case["user"],
            case["user_basis"] == "linux" and "not on sockets",
            case["needs"] and "needs " + case["needs"],
            case["id"] + "p" in ids and "packed: " + case["id"] + "p") if w]
        lines += [".TP", ".B " + escape(case["id"]),
                  escape("%s. [%s]" % (case["what"][0].upper() + case["what"][1:],
                                       "; ".join(traits)))]
    return "\n".join(lines + [END])


def by_group(cases):
    """In the order in which groups first come up; within a group in the order of running."""
    groups = collections.OrderedDict()
    for case in cases:
        groups.setdefault(case["group"], []).append(case)
    return [case for group in groups.values() for case in group]


def check_cases(cases):
    wrong = []
    ids = [c["id"] for c in cases]
    wrong += ["%s: twice" % i for i in set(ids) if ids.count(i) > 1]
    clauses = {word for c in cases for word in c["clause"].split()}
    wrong += ["S%d: no case" % n for n in range(1, 15) if "S%d" % n not in clauses]
    for case in cases:
        for sentence, basis in (("clause", "basis"), ("user", "user_basis")):
            if case[basis] not in BASES:
                wrong.append("%s: %s is of no known basis" % (case["id"], case[sentence]))
            if not case[sentence + "_words"]:
                wrong.append("%s: nobody says what '%s' demands" % (case["id"], case[sentence]))
        named = re.match(r"(S\d+)-", case["id"])
        if named and named.group(1) not in case["clause"].split():
            wrong.append("%s: is listed with %s" % (case["id"], case["clause"]))
    return wrong


def main():
    checker, page = sys.argv[1], sys.argv[2]
    done = subprocess.run([checker, "--list", "--format", "json"], capture_output=True, check=True)
    cases = by_group(json.loads(done.stdout))
    wrong = check_cases(cases)
    with open(page) as f:
        text = f.read()
    before, rest = text.split(BEGIN, 1)
    fresh = before + table(cases) + rest.split(END, 1)[1]
    if "--write" in sys.argv:
        with open(page, "w") as f:
            f.write(fresh)
    elif fresh != text:
        wrong.append("%s: not what --list says: run test/check/man.py with --write" % page)
    ids = {c["id"] for c in cases}
    single = [c for c in cases if not (c["id"][-1] == "p" and c["id"][:-1] in ids)]
    print("%d cases, %d packed twins; %s" % (len(single), len(cases) - len(single), ", ".join(
        "S%d %d" % (n, sum("S%d" % n in c["clause"].split() for c in single))
        for n in range(1, 15))))
    for line in wrong:
        print("FAILED " + line)
    return 1 if wrong else 0


sys.exit(main())
