"""Tests of the package: python3 -m unittest discover -s tests, with src in PYTHONPATH."""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
from decimal import Decimal

import recount
from recount._values import Spelling, micros_of, pack, parse_time, unpack

SRC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")
HELLO = {
    "recount": 1, "formats": ["ndjson"], "stream": "orders", "by": ["user"], "seed": "7", "state": False, "effects": True,
    "fields": [
        {"name": "user", "type": "string"}, {"name": "value", "type": "decimal(18,2)"}, {"name": "n", "type": "int64"},
        {"name": "at", "type": "timestamp"}, {"name": "day", "type": "date"}, {"name": "j", "type": "json"}, {"name": "x", "type": "double"},
    ],
}


def talk(worker, *lines, hello=HELLO, code=0):
    """Run a worker on lines and return what it says, and what it prints to standard error."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "worker.py")
        with open(path, "w", encoding="utf-8") as f:
            f.write(textwrap.dedent(worker))
        said = subprocess.run(
            [sys.executable, path], input="".join(json.dumps(x) + "\n" for x in (hello, *lines)), text=True, encoding="utf-8",
            capture_output=True, env={"PYTHONPATH": SRC, "TZ": "UTC", "RECOUNT_SEED": "7"}, timeout=300, check=False,
        )
    if said.returncode != code:
        raise AssertionError(f"exit code {said.returncode}, want {code}: {said.stderr}")
    return [json.loads(line) for line in said.stdout.splitlines()], said.stderr


def event(seq, when="2024-06-10T12:00:00Z", **fields):
    return {"event": {"user": "a", "value": None, "n": None, "at": None, "day": None, "j": None, "x": None, "id": str(seq), "time": when, **fields}, "seq": seq}


class Values(unittest.TestCase):
    def test_times(self):
        for text in ("2024-06-10T12:00:00Z", "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.5Z"):
            at = parse_time(text)
            self.assertEqual(at.tzinfo, datetime.timezone.utc)
            self.assertEqual(parse_time(at.isoformat().replace("+00:00", "Z")), at)
        self.assertEqual(micros_of(parse_time("1970-01-01T00:00:00.000001Z")), 1)

    def test_a_state_goes_out_and_comes_back(self):
        state = {
            "d": Decimal("1.20"), "t": parse_time("2024-06-10T12:00:00.5Z"), "day": datetime.date(2024, 6, 10), "s": {3, 1, 2}, "p": (1, ("x", None)),
            "b": b"\x00\xff", "l": [1, 2.5, True, {"x": {}}], (1, 2): {"$decimal": "no"}, "inf": float("inf"), "big": 2**70, "none": None,
        }
        back = unpack(json.loads(json.dumps(pack(state))))
        self.assertEqual(back, state)
        self.assertEqual(str(back["d"]), "1.20")
        self.assertIsInstance(back["p"][1], tuple)

    def test_a_set_is_packed_alike_whatever_its_order(self):
        self.assertEqual(json.dumps(pack({"b", "a", "c"})), json.dumps(pack({"c", "b", "a"})))

    def test_rows(self):
        s = Spelling({"n": "int64", "d": "decimal(18,2)", "x": "double", "t": "timestamp"})
        row = s.row({"n": 2**53, "d": Decimal("1.10"), "x": float("nan"), "t": parse_time("2024-06-10T12:00:00Z")})
        self.assertEqual(json.loads(row), {"n": "9007199254740992", "d": "1.10", "x": "NaN", "t": "2024-06-10T12:00:00Z"})
        with self.assertRaises(ValueError):
            s.row({"n": 1, "d": 1, "x": 1.0, "t": datetime.datetime(2024, 6, 10)})


class Folds(unittest.TestCase):
    def test_fold_events(self):
        @recount.fold(columns={"total": "decimal(18,2)"})
        def totals(state, value):
            state["total"] = state.get("total", 0) + value

        @totals.rows
        def _(state):
            return state

        self.assertEqual(totals.reads, ["value"])
        self.assertEqual(recount.fold_events(totals, [{"value": 1}, {"value": 2}]), [{"total": 3}])

    def test_what_is_no_fold_is_refused(self):
        with self.assertRaises(TypeError):
            recount.fold(columns={})(type("Empty", (), {}))
        with self.assertRaises(RuntimeError):
            recount.effect("mail", "a")

    def test_a_conversation(self):
        worker = """
        import recount
        print("hello")
        @recount.fold(columns={"user": "string", "total": "decimal(18,2)", "kinds": "json"}, effects=True)
        class Totals:
            def __init__(self, key):
                self.user, self.total, self.kinds = key["user"], 0, []
            def step(self, event):
                print("stepping")
                self.total += event["value"]
                self.kinds = [type(event[k]).__name__ for k in ("value", "n", "at", "day", "j", "x")]
                if self.total > 1:
                    recount.effect("mail", self.user, {"total": self.total})
            def rows(self):
                return {"user": self.user, "total": self.total, "kinds": self.kinds}
        recount.run(Totals)
        """
        full = event(4, value="1.50", n="9007199254740993", at="2024-06-10T12:00:00Z", day="2024-06-10", j={"a": [1]}, x=1.5)
        said, errors = talk(worker, {"begin": 3, "key": {"user": "a"}}, full, {"show": 3}, {"end": 3}, {"begin": 4, "key": {"user": "b"}}, {"end": 4})
        self.assertEqual(said[0]["format"], "ndjson")
        self.assertEqual(said[0]["effects"], True)
        row = {"row": {"user": "a", "total": "1.50", "kinds": ["Decimal", "int", "datetime", "date", "dict", "float"]}}
        self.assertEqual(said[1:], [
            {"effect": {"kind": "mail", "key": "a", "payload": {"total": "1.50"}}, "seq": 4}, row, {"shown": 3}, row, {"done": 3},
            {"row": {"user": "b", "total": 0, "kinds": []}}, {"done": 4},
        ])
        self.assertIn("hello\nstepping", errors)

    def test_states(self):
        worker = """
        import recount
        @recount.fold(columns={"n": "int64"})
        def count(state, event):
            state["n"] = state.get("n", 0) + 1
        @count.rows
        def rows(state):
            return state
        recount.run(count)
        """
        hello = {**HELLO, "state": True}
        said, _ = talk(worker, {"begin": 0, "key": {"user": "a"}, "state": {"n": 5}}, event(1), {"end": 0}, hello=hello)
        self.assertEqual(said[1:], [{"row": {"n": 6}}, {"state": {"n": 6}}, {"done": 0}])

    def test_an_exception_names_its_event(self):
        worker = """
        import recount
        @recount.fold(columns={"n": "int64"}, reads=["value"])
        def count(state, event):
            state["n"] = 1 / 0
        @count.rows
        def rows(state):
            return state
        recount.run(count)
        """
        said, errors = talk(worker, {"begin": 9, "key": {"user": "a"}}, event(77), {"end": 9}, code=1)
        self.assertEqual(said[-1]["failed"], 9)
        self.assertEqual(said[-1]["seq"], 77)
        self.assertIn("ZeroDivisionError: division by zero (worker.py line 5)", said[-1]["why"])
        self.assertIn("Traceback", errors)

    def test_clock_and_chance_are_the_events(self):
        worker = """
        import datetime, os, random, time, uuid
        from datetime import date, datetime as dt
        from random import randint
        from time import time as seconds
        import recount
        random.seed(5)
        @recount.fold(columns={"v": "json"})
        class Odd:
            def step(self, event):
                import time as late
                assert isinstance(event["time"], dt) and isinstance(event["time"], datetime.datetime)
                time.sleep(3600)
                self.v = [seconds(), time.time_ns(), late.time(), str(dt.now()), str(datetime.datetime.now(datetime.timezone.utc)), str(date.today()),
                          time.strftime("%Y"), random.random(), randint(1, 10**9), str(uuid.uuid4()), os.urandom(4).hex(), random.choice("abcdef")]
            def rows(self):
                return {"v": self.v}
        recount.run(Odd)
        """

        def run(seed, *events):
            said, _ = talk(worker, {"begin": 0, "key": {"user": "a"}}, *events, {"end": 0}, hello={**HELLO, "seed": seed})
            return said[1]["row"]["v"]

        at = "2024-06-10T12:00:00.25Z"
        one = run("7", event(1), event(2, at))
        self.assertEqual(one[:7], [
            1718020800.25, 1718020800250000000, 1718020800.25, "2024-06-10 12:00:00.250000", "2024-06-10 12:00:00.250000+00:00", "2024-06-10", "2024",
        ])
        self.assertEqual(run("7", event(2, at)), one, "an event has the same chance wherever a run begins")
        self.assertNotEqual(run("8", event(2, at))[7:], one[7:])

    def test_a_vectorised_fold_needs_arrow(self):
        worker = """
        import recount
        @recount.vectorised(columns={"n": "int64"})
        def count(groups):
            return {"n": groups.counts()}
        recount.run(count)
        """
        said, _ = talk(worker, code=1)
        self.assertIn("needs pyarrow", said[0]["failed"])


if __name__ == "__main__":
    unittest.main()
