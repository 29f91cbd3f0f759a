"""The machine that the figures hold for: facts without names, and what programs there are."""
import os
import re
import shutil
import subprocess


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def processor():
    found = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.M)
    return found.group(1).strip() if found else os.uname().machine


def is_virtual():
    return " hypervisor" in read("/proc/cpuinfo")


def version(command, pattern):
    """What a program calls its version, or None where it is not installed."""
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(pattern, done.stdout)
    return found.group(1) if found else "unknown version"


def peers():
    """The programs that we are compared with, by name; None: not installed."""
    return {
        "qemu-storage-daemon": version(["qemu-storage-daemon", "--version"], r"version ([\d.]+)"),
        "fio": version(["fio", "--version"], r"fio-([\d.]+)"),
        "dpdk-testpmd": version(["dpkg-query", "-W", "dpdk-dev"], r"\s([\d.]+)")
        if shutil.which("dpdk-testpmd") else None,
    }


def load():
    return os.getloadavg()[0]


def how(words, section):
    """How the figures of a section were taken."""
    priorities = "real-time priorities (SCHED_RR) for both" if words.realtime \
        else "ordinary priorities"
    cores = "server on core %d, driver on core %d" % (words.server_core, words.driver_core)
    if section == "scale":
        return "One round; %s, ordinary priorities" % cores
    if section == "still":
        return "%d rounds; on any core, %s" % (words.rounds, priorities)
    return "%d rounds of %d s, peers alternating; %s, %s" % (
        words.rounds, words.seconds, cores, priorities)


def facts(words, section, load_before, load_after):
    """One paragraph: what was measured where and how."""
    versions = ", ".join("%s %s" % (name, v) for name, v in peers().items() if v)
    return ("%d %s of an %s, Linux %s. Load average before and after: %.1f, %.1f. %s. "
            "Compared with: %s." % (
                os.cpu_count(), "virtual cores" if is_virtual() else "cores", processor(),
                os.uname().release.split("-")[0], load_before, load_after, how(words, section),
                versions or "nothing, no peer is installed"))
