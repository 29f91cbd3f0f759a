"""Tables, and where they go: between markers in docs/performance.md."""
import re

from benchmark import stats

MARK = "<!-- bench %s: %s -->"


def table(head, rows):
    lines = ["| %s |" % " | ".join(head), "|" + "---|" * len(head)]
    return "\n".join(lines + ["| %s |" % " | ".join(row) for row in rows])


def insert(text, section, body):
    """The text with what stands between a section's markers replaced."""
    begin, end = MARK % (section, "begin"), MARK % (section, "end")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    if not pattern.search(text):
        raise ValueError("no place for the figures of '%s': it is between %s and %s" % (
            section, begin, end))
    return pattern.sub(lambda _: "%s\n%s\n%s" % (begin, body.strip(), end), text)


def write(path, section, body):
    with open(path) as f:
        text = insert(f.read(), section, body)
    with open(path, "w") as f:
        f.write(text)


def missing(failures):
    """The reasons of cells that are empty, each once."""
    return "".join("\nNot measured: %s.\n" % reason for reason in sorted(set(failures)))


def compare_row(cell, found, names):
    """One cell: rates of all peers, ours by each other one's, latency and CPU time per request."""
    ours, theirs = found[names[0]], found[names[1]]
    better = stats.ratio(stats.of(ours, "rate"), stats.of(theirs, "rate"))
    row = [cell["label"]]
    row += [stats.rate(stats.median(stats.of(found[name], "rate"))) for name in names]
    row += [stats.ratio_text(better)]
    aim = cell.get("aim")
    for key, digits in (("p50", 1), ("p99", 1), ("server", 2)):
        pair = [stats.number(stats.median(stats.of(found[name], key)), digits=digits)
                for name in names[:2]]
        row.append(" / ".join(pair))
    row.append(compare_aim(cell, better, ours, theirs, aim))
    return row


def compare_aim(cell, better, ours, theirs, aim):
    """In words whether the cell's aim is reached: rates by rates, or ("p50") times by times."""
    if aim is None or better is None:
        return ""
    if cell.get("of") == "p50":
        times = stats.ratio(stats.of(ours, "p50"), stats.of(theirs, "p50"))
        return "" if times is None else "p50 " + stats.verdict(times[0], aim, at_least=False)
    return stats.verdict(better[0], aim)


def comparison(cells, results, names):
    """The table of a section: `results` is {label: {peer: [figures of a round, or None]}}."""
    head = ["4 KiB"] + names + ["%s by %s" % (names[0], names[1])]
    head += ["%s, us: %s / %s" % (what, names[0], names[1]) for what in ("p50", "p99")]
    head += ["server's CPU per request, us", "aim"]
    return table(head, [compare_row(cell, results[cell["label"]], names) for cell in cells])


def frames_row(cell, found, names):
    better = stats.ratio(stats.of(found[names[0]], "rate"), stats.of(found[names[1]], "rate"))
    rates = [stats.rate(stats.median(stats.of(found[name], "rate"))) for name in names]
    cpu = [stats.number(stats.median(stats.of(found[name], "server")), 1e-3, 0) for name in names]
    return [cell["label"]] + rates + [stats.ratio_text(better), " / ".join(cpu),
                                      compare_aim(cell, better, None, None, cell["aim"])]


def frames(cells, results, names):
    """The table of network cards: frames per second, and CPU time of the server for each."""
    head = ["frames per second"] + names + ["%s by %s" % tuple(names),
                                            "server's CPU per frame, ns", "aim"]
    return table(head, [frames_row(cell, results[cell["label"]], names) for cell in cells])
