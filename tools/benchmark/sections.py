"""The sections of the document: which cells, which peers, in rounds."""
import contextlib
import itertools
import os
import sys

from benchmark import peers, report, scale, still

BLOCK = 1 << 20


def measure(name, words, cell, failures):
    try:
        return name(words, cell)
    except peers.Failed as failed:
        failures.append(str(failed))
        return None


def rounds(words, cells, whom):
    """{label: {peer: [figures]}}; every other round goes through the peers the other way round."""
    results = {cell["label"]: {name: [] for name in whom} for cell in cells}
    failures = []
    for n in range(words.rounds):
        for cell in cells:
            order = list(whom) if n % 2 == 0 else list(whom)[::-1]
            for name in order:
                results[cell["label"]][name].append(
                    measure(whom[name], words, cell, failures))
        print("bench: round %d of %d" % (n + 1, words.rounds), file=sys.stderr, flush=True)
    return results, failures


def compared(words, cells, whom):
    results, failures = rounds(words, cells, whom)
    return report.comparison(cells, results, list(whom)) + "\n" + report.missing(failures)


def cells(words, aims, **more):
    """For each depth one and two queues, with the library's driver, which looks a while before it
    sleeps, and with one that never sleeps.

    `aims`: what ours by theirs ought to be, for one queue: {depth: (bound, of what)}. The short form
    has less of what is not an aim. Two threads that poll on one core would only wait for each other.
    """
    made = []
    for queues, poll, depth in itertools.product((1, 2), (False, True), (1, 32, 128)):
        if queues == 2 and (poll or depth != 32 and not words.full):
            continue
        if poll and more.get("file") and not words.full:
            continue
        label = "depth %d%s%s" % (depth, ", 2 queues" if queues == 2 else "",
                                  ", driver polls" if poll else "")
        aim, of = aims[depth] if queues == 1 else (None, None)
        made.append(dict(more, label=label, depth=depth, queues=queues, poll=poll, aim=aim, of=of))
    return made


def split_only(name):
    """A peer that has no packed rings: those cells of its stay empty."""
    return lambda words, cell: None if cell.get("packed") else name(words, cell)


def null(words):
    aims = {1: (1, "p50"), 32: (5, "rate"), 128: (5, "rate")}
    made = cells(words, aims)
    made += [{"label": "depth %d, packed, driver polls" % depth, "depth": depth, "queues": 1,
              "poll": True, "packed": True} for depth in (32, 128)]
    return compared(words, made, {"uvdpa": peers.ours, "qsd": split_only(peers.qsd),
                                  "ring only": split_only(peers.floor)})


@contextlib.contextmanager
def image(folder, size):
    """A file that is really there, of bytes that do not compress."""
    path = os.path.join(folder, "uvdpa-bench-%d.img" % os.getpid())
    try:
        with open(path, "wb") as f:
            block = os.urandom(BLOCK)
            for _ in range(size // BLOCK):
                f.write(block)
            f.flush()
            os.fsync(f.fileno())
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def file(words):
    aims = {1: (1, "p50"), 32: (2, "rate"), 128: (2, "rate")}
    with image(words.memory, 256 << 20) as path:
        return compared(words, cells(words, aims, file=path),
                        {"uvdpa": peers.ours, "qsd": peers.qsd, "fio": peers.fio})


def disk(words):
    aims = dict.fromkeys((1, 32, 128), (0.95, "rate"))
    with image(words.disk, 1 << 30) as path:
        return compared(words, cells(words, aims, file=path, direct=True),
                        {"uvdpa": peers.ours, "fio": peers.fio, "qsd": peers.qsd})


def net(words):
    made = []
    for loop, packed, size in itertools.product((False, True), (False, True), (64, 1500)):
        label = "%s, %s, %d B" % ("there and back" if loop else "sent",
                                  "packed" if packed else "split", size)
        made.append({"label": label, "loop": loop, "packed": packed, "size": size, "aim": 1,
                     "of": "rate"})
    results, failures = rounds(words, made, {"uvdpa": peers.our_card, "DPDK": peers.dpdk})
    return report.frames(made, results, ["uvdpa", "DPDK"]) + "\n" + report.missing(failures)


ALL = {"null": null, "file": file, "disk": disk, "net": net, "scale": scale.scale, "still": still.still}
