"""What every format says of a fold's answer: its rows, what is wrong with them, where it failed."""

from __future__ import annotations

import os
import traceback
from typing import Any

from ._folds import listed


class Refused(Exception):
    """What a fold returned cannot be given to Recount."""


def why(error: BaseException) -> str:
    """An exception in one line, with the place in the worker's own code."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if os.sep + "recount" + os.sep + "_" not in frame.filename:
            place = f" ({os.path.basename(frame.filename)} line {frame.lineno})"
    return f"{type(error).__name__}: {error}{place}"


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


def write_all(sink: int, data: bytes) -> None:
    """Write all of data to a pipe, which takes it in parts."""
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]
