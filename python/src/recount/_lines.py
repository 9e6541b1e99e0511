"""Folds over NDJSON: a line an event, a line an answer."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, Callable, Iterator, Mapping, Sequence

from . import _folds
from ._answer import Refused, frame_rows, why, write_all
from ._folds import Effect, Fold, Key, listed
from ._replay import now
from ._values import Spelling, from_json


def key_of(values: Mapping[str, Any], kinds: Mapping[str, str]) -> Key:
    key = Key()
    for name, value in values.items():
        convert = from_json(kinds[name])
        key[name] = value if value is None or convert is None else convert(value)
    return key


def gathered(fold: Fold) -> Fold:
    """A fold of pandas as one from event to event, which keeps all events of a key."""
    import pandas

    def show(events: list[Any], key: Key) -> Any:
        assert fold.whole is not None
        return frame_rows(fold.whole(key, pandas.DataFrame(events, columns=fold.reads)))

    return Fold(fold.columns, fold.reads, start=lambda key: [], step=lambda events, event: events.append(event), show=show)


def _lines_of(source: int, flush: Callable[[], None]) -> Iterator[bytes]:
    rest = b""
    while True:
        chunk = os.read(source, 1 << 18)
        if not chunk:
            flush()
            return
        parts = (rest + chunk).split(b"\n")
        rest = parts.pop()
        yield from parts
        flush()


class Lines:
    """Folds over NDJSON."""

    def __init__(self, fold: Fold, hello: Mapping[str, Any], reads: Sequence[str], kinds: Mapping[str, str]) -> None:
        if fold.style == "pandas":
            fold.reads = list(fold.reads or [r for r in reads])
            fold = gathered(fold)
        self.fold, self.kinds = fold, kinds
        self.out: list[str] = []
        self.spelling = Spelling(fold.columns)
        self.keeps = bool(hello.get("state"))
        self.converts = [(name, c) for name in reads for c in [from_json(kinds[name])] if c is not None]
        if "time" not in (fold.reads or ["time"]):
            self.converts = [(n, c) for n, c in self.converts if n != "time"]
        self.state: Any = None
        self.key = Key()
        now.times, now.seqs = [None], [0]

    def begin(self, m: Mapping[str, Any]) -> None:
        self.key = key = key_of(m["key"], self.kinds)
        if "bucket" in m:
            key.bucket = from_json("timestamp")(m["bucket"])  # type: ignore[misc]
        now.at = -1
        assert self.fold.start is not None
        if "state" in m:
            if self.fold.load is None:
                raise Refused("the fold cannot go on from a state")
            self.state = self.fold.load(key, m["state"])
        else:
            self.state = self.fold.start(key)

    def event(self, event: dict[str, Any], seq: int) -> None:
        now.at, now.times[0], now.seqs[0] = 0, event.get("time"), seq
        for name, convert in self.converts:
            value = event[name]
            if value is not None:
                event[name] = convert(value)
        fold = self.fold
        assert fold.step is not None
        if fold.takes is None:
            new = fold.step(self.state, event)
        else:
            new = fold.step(self.state, *[event[name] for name in fold.takes])
        if fold.returns and new is not None:
            self.state = new
        if _folds._said:
            self.effects(_folds._said, seq)

    def effects(self, said: list[Effect], seq: int) -> None:
        for e in said:
            text = self.spelling.value({"kind": e.kind, "key": e.key, "payload": e.payload})
            self.out.append(f'{{"effect":{text},"seq":{seq}}}\n')
        said.clear()

    def show(self) -> None:
        assert self.fold.show is not None
        for row in listed(self.fold.show(self.state, self.key)):
            self.out.append(f'{{"row":{self.spelling.row(row)}}}\n')
        if self.keeps and self.fold.save is not None:
            self.out.append(f'{{"state":{self.spelling.value(self.fold.save(self.state))}}}\n')


def run_lines(fold: Fold, hello: Mapping[str, Any], reads: Sequence[str], kinds: Mapping[str, str], source: int, sink: int) -> None:
    """Fold events over NDJSON until the input ends."""
    lines = Lines(fold, hello, reads, kinds)
    out, loads = lines.out, json.loads

    def flush() -> None:
        if out:
            write_all(sink, "".join(out).encode("utf-8", "surrogatepass"))
            out.clear()

    group, seq = -1, 0
    try:
        for line in _lines_of(source, flush):
            m = loads(line)
            if "event" in m:
                seq = m["seq"]
                lines.event(m["event"], seq)
            elif "begin" in m:
                group, seq = m["begin"], 0
                lines.begin(m)
            elif "end" in m:
                lines.show()
                out.append(f'{{"done":{m["end"]}}}\n')
            elif "show" in m:
                lines.show()
                out.append(f'{{"shown":{m["show"]}}}\n')
    except (Refused, TypeError, ValueError) as error:
        if isinstance(error, Refused) or _in_package(error):
            traceback.print_exc()
            out.append(json.dumps({"refused": str(error)}) + "\n")
            flush()
            sys.exit(1)
        _fail(out, flush, group, seq, error)
    except Exception as error:
        _fail(out, flush, group, seq, error)


def _in_package(error: BaseException) -> bool:
    """Whether an error comes from spelling what the fold returned, not from the fold."""
    frames = traceback.extract_tb(error.__traceback__)
    here = os.path.dirname(os.path.abspath(__file__))
    return any(f.name in ("row", "value") and os.path.dirname(os.path.abspath(f.filename)) == here for f in frames)


def _fail(out: list[str], flush: Callable[[], None], group: int, seq: int, error: Exception) -> None:
    traceback.print_exc()
    out.append(json.dumps({"failed": group, "seq": seq, "why": why(error)}) + "\n")
    flush()
    sys.exit(1)
