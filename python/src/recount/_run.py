"""run(): from the first line to the last, over NDJSON or Arrow."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

from . import _folds
from ._folds import Effect, Fold, Key, listed
from ._replay import now, take_over
from ._values import ENVELOPE, Spelling, from_json

PROTOCOL = 1


class Refused(Exception):
    """What a fold returned cannot be given to Recount."""


def run(fold: Fold, format: str | None = None) -> None:
    """Run a fold as Recount asks for it, until standard input ends.

    format is "ndjson" or "arrow"; by itself it is arrow, where pyarrow and numpy
    are installed.
    """
    if not isinstance(fold, Fold):
        raise TypeError("run() takes what recount.fold, recount.vectorised or recount.pandas declared")
    if fold.style == "fold" and fold.show is None:
        raise TypeError(f"{fold.name} has no rows: declare them with @{fold.name}.rows")
    if sys.stdin is None or sys.stdin.isatty():
        sys.exit("Recount runs this worker: name it in recount.yaml, under `worker: {command: [python3, …]}`")
    source, sink = take_pipes()
    hello = json.loads(_first_line(source))
    if not isinstance(hello, dict) or hello.get("recount") != PROTOCOL:
        sys.exit(f"this package speaks version {PROTOCOL} of Recount's protocol")
    chosen = format or _format_of(hello, fold)
    columns = [{"name": n, "type": t} for n, t in fold.columns.items()]
    reply: dict[str, Any] = {
        "recount": PROTOCOL, "format": chosen, "columns": columns, "state": fold.save is not None, "effects": fold.effects,
    }
    reads = reads_of(fold, hello)
    reply["reads"] = reads
    if chosen == "ndjson" and fold.style == "vectorised":
        reply = {"recount": PROTOCOL, "failed": "a vectorised fold needs pyarrow and numpy, which are not installed"}
    _write_all(sink, json.dumps(reply).encode() + b"\n")
    if "failed" in reply:
        sys.exit(1)
    take_over(hello["seed"])
    kinds = {f["name"]: f["type"] for f in hello["fields"]}
    kinds.update(ENVELOPE)
    _folds._may_say[0] = fold.effects
    _folds._place = lambda: now.at
    if chosen == "arrow":
        from ._arrow import run_arrow

        run_arrow(fold, hello, reads, kinds, source, sink)
    else:
        run_lines(fold, hello, reads, kinds, source, sink)


_pipes: list[tuple[int, int]] = []


def take_pipes() -> tuple[int, int]:
    """Keep the protocol's pipes to ourselves: whatever prints, prints to standard error."""
    if _pipes:
        return _pipes[0]
    sys.stdout.flush()
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    _pipes.append((source, sink))
    return source, sink


def _first_line(source: int) -> bytes:
    # Byte by byte: what follows the line is the format's.
    line = b""
    while not line.endswith(b"\n"):
        one = os.read(source, 1)
        if not one:
            break
        line += one
    return line


def _format_of(hello: Mapping[str, Any], fold: Fold) -> str:
    there = all(importlib.util.find_spec(name) is not None for name in ("pyarrow", "numpy"))
    return "arrow" if there and "arrow" in hello["formats"] else "ndjson"


def reads_of(fold: Fold, hello: Mapping[str, Any]) -> list[str]:
    """The columns that are asked for: the clock needs the event's time."""
    reads = fold.reads if fold.reads is not None else ["id", *(f["name"] for f in hello["fields"])]
    return list(dict.fromkeys([*reads, "time"]))


def key_of(values: Mapping[str, Any], kinds: Mapping[str, str]) -> Key:
    key = Key()
    for name, value in values.items():
        convert = from_json(kinds[name])
        key[name] = value if value is None or convert is None else convert(value)
    return key


def why(error: BaseException) -> str:
    """An exception in one line, with the place in the worker's own code."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if os.sep + "recount" + os.sep + "_" not in frame.filename:
            place = f" ({os.path.basename(frame.filename)} line {frame.lineno})"
    return f"{type(error).__name__}: {error}{place}"


def gathered(fold: Fold) -> Fold:
    """A fold of pandas as one from event to event, which keeps all events of a key."""
    import pandas

    def show(events: list[Any], key: Key) -> Any:
        assert fold.whole is not None
        return frame_rows(fold.whole(key, pandas.DataFrame(events, columns=fold.reads)))

    return Fold(fold.columns, fold.reads, start=lambda key: [], step=lambda events, event: events.append(event), show=show)


def frame_rows(rows: Any) -> Any:
    """The rows that a function over a frame returned."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        names = list(rows.columns)
        return [dict(zip(names, (_plain(v) for v in row))) for row in rows.itertuples(index=False, name=None)]
    return [{k: _plain(v) for k, v in row.items()} for row in listed(rows)]


def _plain(value: Any) -> Any:
    """A value of pandas as Python's own; what is missing is None."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if value != value:
        return None if type(value).__name__ in ("NaTType", "float", "float64") else value
    to = getattr(value, "to_pydatetime", None)
    if to is not None:
        return to()
    item = getattr(value, "item", None)
    return item() if callable(item) else value


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


def _write_all(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


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
            _write_all(sink, "".join(out).encode("utf-8", "surrogatepass"))
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


def fold_events(fold: Fold, events: Iterable[Mapping[str, Any]], key: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Fold the events of one key, as a unit test does, and return its rows."""
    if fold.start is None or fold.step is None or fold.show is None:
        raise TypeError("fold_events() takes a fold from event to event")
    of = Key(key or {})
    state = fold.start(of)
    for event in events:
        new = fold.step(state, event) if fold.takes is None else fold.step(state, *[event[n] for n in fold.takes])
        if fold.returns and new is not None:
            state = new
    return [dict(row) for row in listed(fold.show(state, of))]
