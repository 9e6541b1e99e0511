"""run(): from the first line to the last, over NDJSON or Arrow."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any, Mapping

from . import _folds
from ._answer import write_all
from ._folds import Fold
from ._lines import run_lines
from ._replay import now, take_over
from ._values import ENVELOPE

PROTOCOL = 1


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
    write_all(sink, json.dumps(reply).encode() + b"\n")
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
