"""Whether device files can be served on this machine."""
import os
import re


def usable():
    """Prints why not, if not."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        print("/dev/fuse cannot be used: %s" % error.strerror)
        return False
    with open("/proc/self/status") as f:
        capabilities = int(re.search(r"CapEff:\s*([0-9a-f]+)", f.read()).group(1), 16)
    if os.geteuid() == 0 and not capabilities >> 21 & 1:
        print("root may not mount here (no CAP_SYS_ADMIN)")
        return False
    return True
