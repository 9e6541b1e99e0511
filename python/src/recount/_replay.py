"""The clock and the randomness of a replay.

They are those of the event: the clock stands at its time, and random numbers
begin anew with it, so that an event is folded alike wherever a run begins.
"""

from __future__ import annotations

import datetime as _datetime
import hashlib
import os
import random
import sys
import sysconfig
import time
import uuid
from typing import Any, Callable

from ._values import EPOCH, UTC, micros_of, parse_time
from ._values import date as _date
from ._values import datetime as _real

# Where no event is folded, the clock stands here.
STOPPED = micros_of(_real(2000, 1, 1, tzinfo=UTC))


class Now:
    """The event that is folded now."""

    __slots__ = ("at", "times", "seqs", "seed", "fixed")

    def __init__(self) -> None:
        self.at = -1  # its place in the lists; below 0: none
        self.times: list[Any] = []  # microseconds, or the protocol's text
        self.seqs: list[int] = []
        self.seed = "0"
        self.fixed = STOPPED  # where no event is at hand

    def micros(self) -> int:
        """The event's time in microseconds since 1970."""
        if self.at < 0 or self.at >= len(self.times):
            return self.fixed
        t = self.times[self.at]
        if t is None:
            return self.fixed
        return micros_of(parse_time(t)) if isinstance(t, str) else int(t)

    def source(self) -> str:
        """What the event's random numbers begin from."""
        event = self.seqs[self.at] if 0 <= self.at < len(self.seqs) else 0
        return f"{self.seed} {event}"


now = Now()


class _Random(random.Random):
    """Random numbers that begin anew with each event that asks for some."""

    _began = ""

    def _begin(self) -> None:
        source = now.source()
        if source != self._began:
            self._began = source
            super().seed(int.from_bytes(hashlib.sha256(source.encode()).digest()[:16], "big"))

    def random(self) -> float:
        self._begin()
        return super().random()

    def getrandbits(self, k: int) -> int:
        self._begin()
        return super().getrandbits(k)

    def seed(self, *args: Any, **kwargs: Any) -> None:
        """A seed that a worker sets holds until the next event."""
        self._began = now.source()
        super().seed(*args, **kwargs)


_instance = _Random()


def _urandom(n: int) -> bytes:
    return _instance.getrandbits(8 * n).to_bytes(n, "big") if n > 0 else b""


def _uuid4() -> uuid.UUID:
    return uuid.UUID(bytes=_urandom(16), version=4)


def _uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
    """As uuid.uuid1, out of the event's time and randomness."""
    del node, clock_seq
    return uuid.UUID(bytes=_urandom(16), version=1)


class _Meta(type(_real)):  # type: ignore[misc]
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _real)

    def __subclasscheck__(cls, sub: type) -> bool:
        return issubclass(sub, _real)


class _Datetime(_real, metaclass=_Meta):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        at = EPOCH + _datetime.timedelta(microseconds=now.micros())
        if tz is None:
            return _real.fromtimestamp(now.micros() // 1_000_000).replace(microsecond=at.microsecond)
        return at.astimezone(tz)

    @classmethod
    def today(cls) -> Any:
        return cls.now()

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(UTC).replace(tzinfo=None)


class _DateMeta(type(_date)):  # type: ignore[misc]
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _date)

    def __subclasscheck__(cls, sub: type) -> bool:
        return issubclass(sub, _date)


class _Date(_date, metaclass=_DateMeta):
    @classmethod
    def today(cls) -> Any:
        return _Datetime.now().date()


def _seconds() -> float:
    return now.micros() / 1_000_000


def _nanoseconds() -> int:
    return now.micros() * 1000


def _at(real: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the time module that takes seconds, the present by default."""

    def wrapped(seconds: float | None = None) -> Any:
        return real(_seconds() if seconds is None else seconds)

    return wrapped


def _strftime(form: str, at: Any = None) -> str:
    return _real_strftime(form, time.localtime() if at is None else at)


_real_strftime = time.strftime


def _sleep(seconds: float) -> None:
    """Nothing waits in a replay."""
    del seconds


def take_over(seed: str) -> None:
    """Put the replay's clock and randomness in the place of the machine's."""
    now.seed = seed
    changed: dict[int, Any] = {}

    def put(module: Any, name: str, value: Any) -> None:
        old = getattr(module, name, None)
        if old is not None and old is not value:
            changed[id(old)] = value
            kept.append(old)
            setattr(module, name, value)

    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        put(time, name, _seconds)
        put(time, name + "_ns", _nanoseconds)
    for name in ("gmtime", "localtime", "ctime"):
        put(time, name, _at(getattr(time, name)))
    put(time, "strftime", _strftime)
    put(time, "sleep", _sleep)
    put(_datetime, "datetime", _Datetime)
    put(_datetime, "date", _Date)
    put(os, "urandom", _urandom)
    put(random, "_urandom", _urandom)
    put(uuid, "uuid4", _uuid4)
    put(uuid, "uuid1", _uuid1)
    for name in dir(random._inst):  # type: ignore[attr-defined]
        if not name.startswith("_") and callable(getattr(random, name, None)):
            put(random, name, getattr(_instance, name))
    put(random, "_inst", _instance)
    _replace(changed)


kept: list[Any] = []  # what was replaced: its identity must stay its own


def _replace(changed: dict[int, Any]) -> None:
    """Put the replay's in modules that imported the machine's by name before."""
    library = tuple(p + os.sep for p in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} if p)
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        file = getattr(module, "__file__", None)
        if file is None and name != "__main__" or name.split(".")[0] in ("recount", "pyarrow", "numpy", "pandas"):
            continue
        if file and file.startswith(library) and "site-packages" not in file and "dist-packages" not in file:
            continue
        for key, value in list(vars(module).items()):
            if id(value) in changed and not key.startswith("__"):
                setattr(module, key, changed[id(value)])
            elif getattr(value, "__self__", None) is _old_random and getattr(value, "__name__", None):
                setattr(module, key, getattr(_instance, value.__name__))


_old_random = random._inst  # type: ignore[attr-defined]
