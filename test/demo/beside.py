#!/usr/bin/env python3
"""beside.py: tools/bench makes its tables, with figures in them; no figure is judged.

    beside.py TOOLS UVDPA RING_FLOOR

What becomes of the figures (medians, ratios, verdicts, the places in the document) is tried by
itself; then one cell is measured, once, against QEMU's storage daemon.
"""
import argparse
import os
import re
import shutil
import sys
import tempfile
import unittest

TOOLS, UVDPA, RING_FLOOR = sys.argv[1:4]
sys.path.insert(0, TOOLS)
sys.dont_write_bytecode = True

from benchmark import machine, peers, report, sections, stats, still  # noqa: E402
from usable import usable  # noqa: E402


class Figures(unittest.TestCase):
    def test_median(self):
        self.assertEqual(stats.median([3, 1, 2]), 2)
        self.assertEqual(stats.median([4, 1, 2, 3]), 2.5)
        self.assertEqual(stats.median([5, None, 7, None]), 6)
        self.assertIsNone(stats.median([None]))

    def test_ratio_is_made_round_by_round(self):
        # the second round was disturbed, for both: the ratio is the same
        self.assertEqual(stats.ratio([10, 1, 30], [5, 0.5, 15]), (2, 2, 2))
        self.assertEqual(stats.ratio([1, 2, 9], [1, 1, 1]), (2, 1, 9))

    def test_ratio_leaves_out_what_is_missing(self):
        self.assertEqual(stats.ratio([10, None, 30], [5, 1, None]), (2, 2, 2))
        self.assertIsNone(stats.ratio([None, 1], [1, 0]))

    def test_verdict(self):
        self.assertIn("met", stats.verdict(5, 5))
        self.assertIn("missed", stats.verdict(4.99, 5))
        self.assertIn("met", stats.verdict(50, 50, at_least=False))
        self.assertIn("missed", stats.verdict(51, 50, at_least=False))
        self.assertEqual((stats.verdict(None, 5), stats.verdict(5, None)), ("", ""))

    def test_rate(self):
        self.assertEqual([stats.rate(n) for n in (1.234e6, 123456, 12345, None)],
                         ["1.23 M", "123 k", "12.3 k", "-"])


class Trace(unittest.TestCase):
    def test_percentile(self):
        self.assertEqual(still.percentile(range(1, 101), 99), 99)
        self.assertEqual(still.percentile([3, 1, 2], 50), 2)
        self.assertEqual(still.percentile([7], 99), 7)

    def test_from_suspend_to_suspended(self):
        def event(at, name, **more):
            return dict(more, at_ns=at, event=name)
        events = [event(500, "state", state="SUSPENDED"),  # its beginning was overwritten
                  event(1000, "suspend", by="driver"), event(2000, "state", state="SUSPENDING"),
                  event(4000, "state", state="SUSPENDED"), event(9000, "resume", by="driver"),
                  event(10000, "suspend", by="driver"), event(11000, "state", state="SUSPENDED")]
        self.assertEqual(still.inside(events), [3.0, 1.0])


class Document(unittest.TestCase):
    TEXT = "a\n<!-- bench x: begin -->\nold\n<!-- bench x: end -->\nz\n"

    def test_only_between_the_markers(self):
        found = report.insert(self.TEXT, "x", r"new \1")
        self.assertEqual(found, self.TEXT.replace("old", r"new \1"))
        self.assertEqual(report.insert(found, "x", "old"), self.TEXT)

    def test_no_place(self):
        self.assertRaises(ValueError, report.insert, self.TEXT, "y", "new")

    def test_every_section_has_a_place(self):
        with open(os.path.join(TOOLS, "..", "docs", "performance.md")) as f:
            text = f.read()
        for section in sections.ALL:
            report.insert(text, section, "new")


class Rounds(unittest.TestCase):
    """The order of measurements, and what a failed one leaves."""

    def setUp(self):
        self.asked = []

    def peer(self, name, rate):
        def measure(words, cell):
            self.asked.append(name)
            if rate is None:
                raise peers.Failed(name + " is not installed")
            return {"rate": rate, "p50": 8.0}
        return measure

    def test_peers_take_turns(self):
        words = argparse.Namespace(rounds=2)
        whom = {"a": self.peer("a", 30), "b": self.peer("b", 10)}
        cell = {"label": "one", "aim": 2, "of": "rate"}
        text = sections.compared(words, [cell], whom)
        self.assertEqual(self.asked, ["a", "b", "b", "a"])
        self.assertIn("| one | 0.0 k | 0.0 k | 3.00 (3.00 to 3.00) | 8.0 / 8.0 |", text)
        self.assertIn("≥ 2: met", text)

    def test_a_missing_peer_is_named(self):
        words = argparse.Namespace(rounds=2)
        whom = {"a": self.peer("a", 30), "b": self.peer("b", None)}
        text = sections.compared(words, [{"label": "one", "aim": 2, "of": "rate"}], whom)
        self.assertIn("| one | 0.0 k | - | - |", text)
        self.assertEqual(text.count("Not measured: b is not installed."), 1)


@unittest.skipUnless(shutil.which("qemu-storage-daemon"), "there is no qemu-storage-daemon")
@unittest.skipUnless(usable(), "no device files here")
class Measured(unittest.TestCase):
    def words(self, **more):
        return argparse.Namespace(uvdpa=UVDPA, ring_floor=RING_FLOOR, keys="", realtime=False,
                                  server_core=min(os.sched_getaffinity(0)),
                                  driver_core=max(os.sched_getaffinity(0)), rounds=1, seconds=1,
                                  **more)

    def test_one_cell(self):
        cell = {"label": "depth 4", "depth": 4, "queues": 1, "aim": 5, "of": "rate"}
        text = sections.compared(self.words(), [cell], {
            "uvdpa": peers.ours, "qsd": peers.qsd, "ring only": peers.floor})
        self.assertNotIn("Not measured", text)
        row = text.splitlines()[2]
        self.assertRegex(row, r"^\| depth 4 \| ([\d.]+ [kM] \| ){3}[\d.]+ \(")
        self.assertRegex(row, r"≥ 5: (met|\*\*missed\*\*)")
        self.assertTrue(re.match(r"\d+ ", machine.facts(self.words(), "null", 0, 0)))

    @unittest.skipUnless(shutil.which("fio"), "there is no fio")
    def test_raw(self):
        with tempfile.TemporaryDirectory(prefix="uvdpa-test-") as folder:
            with sections.image(folder, 4 << 20) as path:
                found = peers.fio(self.words(), {"file": path, "depth": 2, "queues": 1})
            self.assertEqual(os.listdir(folder), [])
        self.assertGreater(found["rate"], 0)


if __name__ == "__main__":
    done = unittest.main(argv=sys.argv[:1], exit=False).result
    if not done.wasSuccessful():
        sys.exit(1)
    for _, reason in done.skipped:
        print(reason)
    sys.exit(77 if done.skipped else 0)
