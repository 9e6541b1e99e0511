"""Values: how types, JSON and Python's own values become each other."""

from __future__ import annotations

import base64
import datetime as _datetime
import json
import math
from decimal import Decimal
from typing import Any, Callable, Mapping

# The real classes: the clock of a replay puts others in their place.
datetime = _datetime.datetime
date = _datetime.date
UTC = _datetime.timezone.utc

Converter = Callable[[Any], Any]

# The columns of the envelope, by their types.
ENVELOPE: dict[str, str] = {
    "id": "string", "stream": "string", "type": "string", "partition": "string", "position": "string",
    "time": "timestamp", "ingest_time": "timestamp", "key": "bytes", "data": "bytes", "headers": "headers", "hit": "bool",
}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def scale_of(kind: str) -> int:
    """The digits after the point of decimal(p,s)."""
    return int(kind.rstrip(") ").split(",")[1])


def parse_time(text: str) -> _datetime.datetime:
    """Read a time of the protocol: RFC 3339 in UTC, microseconds at most."""
    if text.endswith("Z"):
        text = text[:-1]
    whole, _, fraction = text.partition(".")
    at = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return at.replace(microsecond=int(fraction.ljust(6, "0"))) if fraction else at


def micros_of(at: _datetime.datetime) -> int:
    """Microseconds since 1970."""
    return (at - EPOCH) // _datetime.timedelta(microseconds=1)


def _headers(value: list[dict[str, Any]]) -> list[tuple[str, bytes | None]]:
    return [(h["name"], None if h["value"] is None else base64.b64decode(h["value"])) for h in value]


def from_json(kind: str) -> Converter | None:
    """What makes Python's value of one that JSON holds; None: it is that already."""
    if kind.startswith("decimal"):
        return Decimal
    by_kind: dict[str, Converter] = {
        "timestamp": parse_time, "date": date.fromisoformat, "int64": int, "double": float,
        "bytes": base64.b64decode, "headers": _headers,
    }
    return by_kind.get(kind)


def to_json(value: Any) -> Any:
    """What json.dumps makes of a value that it does not know."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone: use an aware datetime")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    item = getattr(value, "item", None)  # a number of numpy
    if callable(item):
        return item()
    raise TypeError(f"a value of type {type(value).__name__} cannot be given to Recount")


_SAFE = 2**53


class Spelling:
    """Spells rows as JSON under the declared columns."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = columns
        self._big = [name for name, kind in columns.items() if kind == "int64"]
        self._doubles = [name for name, kind in columns.items() if kind == "double"]
        self._dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=to_json, allow_nan=False).encode

    def row(self, row: Mapping[str, Any]) -> str:
        """The JSON of a row: numbers that a reader might round are texts."""
        for name in self._big:
            n = row.get(name)
            if isinstance(n, int) and not -_SAFE < n < _SAFE:
                row = {**row, name: str(n)}
        for name in self._doubles:
            f = row.get(name)
            if isinstance(f, float) and not math.isfinite(f):
                row = {**row, name: "NaN" if f != f else "Infinity" if f > 0 else "-Infinity"}
        return self._dumps(row)

    def value(self, value: Any) -> str:
        """The JSON of any other value."""
        return self._dumps(value)


# A state is JSON; values that JSON has not stand in objects with one member.
_TAGS: dict[str, Converter] = {
    "$decimal": Decimal,
    "$time": parse_time,
    "$date": date.fromisoformat,
    "$bytes": base64.b64decode,
    "$set": set,
    "$tuple": tuple,
    "$pairs": dict,
    "$double": float,
}


def pack(value: Any) -> Any:
    """Make JSON of a state."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$double": str(value)}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime):
        return {"$time": to_json(value)}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return {"$tuple": [pack(v) for v in value]}
    if isinstance(value, list):
        return [pack(v) for v in value]
    if isinstance(value, (set, frozenset)):
        # A set has no order of its own: one that stays the same is given to it.
        return {"$set": sorted((pack(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))}
    if isinstance(value, dict):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: pack(v) for k, v in value.items()}
        return {"$pairs": [[pack(k), pack(v)] for k, v in value.items()]}
    item = getattr(value, "item", None)
    if callable(item):
        return pack(item())
    raise TypeError(f"a state cannot hold a value of type {type(value).__name__}: give the fold a state() and a restore()")


def unpack(value: Any) -> Any:
    """Undo pack."""
    if isinstance(value, list):
        return [unpack(v) for v in value]
    if isinstance(value, dict):
        if len(value) == 1:
            (tag, inner), = value.items()
            if tag in _TAGS:
                return _TAGS[tag](unpack(inner))
        return {k: unpack(v) for k, v in value.items()}
    return value
