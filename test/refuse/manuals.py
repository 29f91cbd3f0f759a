#!/usr/bin/env python3
"""manuals: what the program says of itself, the man pages and the completion agree.

    manuals.py UVDPA SOURCE-TREE
"""
import re
import subprocess
import sys

UVDPA, TOP = sys.argv[1:3]
wrong = []


def help_of(*words):
    done = subprocess.run([UVDPA] + list(words) + ["--help"], capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        wrong.append("%s --help: exit code %d %s" % (words, done.returncode, done.stderr))
    return done.stdout


def page(name):
    with open("%s/man/%s" % (TOP, name)) as f:
        return f.read().replace("\\-", "-")


def demand(where, text, words):
    for word in words:
        if not re.search(r"(?<![\w-])" + re.escape(word) + r"(?![\w-])", text):
            wrong.append("%s does not mention '%s'" % (where, word))


verbs = [v for v in re.findall(r"^  ([a-z]+) +\S", help_of(), re.M) if v != "uvdpa"]
keys = re.findall(r"^  ([a-z][a-z.-]*)=", help_of("serve"), re.M)
if len(verbs) < 6 or len(keys) < 20:
    wrong.append("the help lists only %s, %s" % (verbs, keys))
demand("uvdpa.1", page("uvdpa.1"), verbs)
demand("uvdpa-serve.1", page("uvdpa-serve.1"), keys)
with open(TOP + "/data/uvdpa.bash-completion") as f:
    completion = f.read()
demand("uvdpa.bash-completion", completion, verbs + keys)
for verb in verbs:
    options = set(re.findall(r"--[a-z][a-z-]*[a-z]", help_of(verb)))
    demand("uvdpa.bash-completion", completion, sorted(options))
for line in wrong:
    print(line)
sys.exit(1 if wrong else 0)
