"""timeline: one migration as the cards saw it, from the traces of both ('uvdpa trace').

Both traces have times of CLOCK_MONOTONIC of one machine, in nanoseconds, which time.monotonic_ns()
has, too. What is returned is in milliseconds; times are since the source was asked to suspend.
"""


def ms(ns):
    return round(ns / 1e6, 3)


class Events:
    """The events of a trace from a time on."""

    def __init__(self, trace, begin_ns):
        self.all = trace["events"]
        self.events = [e for e in self.all if e["at_ns"] >= begin_ns]

    def pick(self, name, state=None, after=0, before=None):
        return [e for e in self.events if e["event"] == name and e["at_ns"] >= after and
                (before is None or e["at_ns"] <= before) and
                (state is None or e["state"] == state)]

    def answered(self, at_ns):
        """(calls, time spent on them) of the client that were answered at the last event before."""
        before = [e for e in self.all if e["at_ns"] <= at_ns]
        return (before[-1]["calls"], before[-1]["call_ns"]) if before else (0, 0)


def times(events, zero):
    return [ms(e["at_ns"] - zero) for e in events]


def timeline(source_trace, target_trace, begin_ns):
    """The steps of a migration that began at a time, or a text that says what is missing."""
    source, target = Events(source_trace, begin_ns), Events(target_trace, begin_ns)
    starts = target.pick("driver_ok")
    firsts = target.pick("first_in") + target.pick("first_out")
    if not starts or not firsts:
        return "the target did not run"
    first = min(e["at_ns"] for e in firsts)
    stops = source.pick("state", "SUSPENDED", before=first)
    if not stops:
        return "the source was not suspended"
    suspended = stops[-1]["at_ns"]
    asked = source.pick("suspend", before=suspended)[-1]["at_ns"]
    lasts = source.pick("last_in", before=suspended) + source.pick("last_out", before=suspended)
    if not lasts:
        return "the source did nothing before"
    last = max(e["at_ns"] for e in lasts)
    start = [e for e in starts if e["at_ns"] <= first][-1]["at_ns"]
    running = target.pick("state", "RUNNING", after=start)[0]["at_ns"]
    chain = target.pick("first_chain", after=start)[0]["at_ns"]
    resets = source.pick("state", "RESET", after=suspended)
    calls = spent = 0
    over = resets[0]["at_ns"] if resets else suspended
    for events, begin, end in ((source, asked, over), (target, asked, first)):
        (a, x), (b, y) = events.answered(begin), events.answered(end)
        calls, spent = calls + b - a, spent + y - x
    return {
        "blackout_ms": ms(first - last),
        "suspend_ms": ms(suspended - asked),
        "start_ms": ms(running - start),
        "own_ms": ms(suspended - asked + running - start),
        "calls": calls,
        "calls_ms": ms(spent),
        "at": {
            "last_packet": ms(last - asked),
            "suspended": ms(suspended - asked),
            "bases_read": times(source.pick("base_read", after=suspended), asked),
            "source_reset": times(resets[:1], asked),
            "bases_set": times(target.pick("base_set", before=start), asked),
            "driver_ok": ms(start - asked),
            "running": ms(running - asked),
            "first_descriptor": ms(chain - asked),
            "first_received": times(target.pick("first_in"), asked),
            "first_sent": times(target.pick("first_out"), asked),
        },
    }
