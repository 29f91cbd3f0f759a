#!/usr/bin/env python3
"""The shared library exports exactly what the public headers declare, under one version node.

usage: driver_symbols.py LIBRARY MAP HEADER...
"""
import re
import subprocess
import sys


def declared(paths):
    names = set()
    for path in paths:
        with open(path) as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        names |= set(re.findall(r"\b(uvdpa_\w+)\s*\(", text))
    return names


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    symbols = [line.split()[-1] for line in out.splitlines()]
    names = {s.split("@")[0] for s in symbols if s != "UVDPA_DRIVER_0@@UVDPA_DRIVER_0"}
    stray = [s for s in symbols if not s.endswith("@@UVDPA_DRIVER_0")]
    return names - {"UVDPA_DRIVER_0"}, stray


def mapped(path):
    with open(path) as f:
        return set(re.findall(r"^\t(uvdpa_\w+);$", f.read(), flags=re.M))


def main():
    library, version_map, headers = sys.argv[1], sys.argv[2], sys.argv[3:]
    want, (have, stray), listed = declared(headers), exported(library), mapped(version_map)
    bad = False
    for title, names in (("declared, not exported", want - have),
                         ("exported, not declared", have - want),
                         ("in the map, not declared", listed - want),
                         ("without the version", [s for s in stray if "UVDPA_DRIVER_0" != s])):
        for name in sorted(names):
            print(f"{name}: {title}")
            bad = True
    print(f"{len(want)} functions declared, {len(have)} exported")
    return 1 if bad or not want else 0


sys.exit(main())
