"""The clock and the randomness of a replay.

They are those of the event: the clock stands at its time, and random numbers
begin anew with it, so that an event is folded alike wherever a run begins.
"""

from __future__ import annotations

import builtins
import datetime as _datetime
import hashlib
import os
import random
import sys
import sysconfig
import time
import types
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
        self.times: Any = []  # lists or arrays: microseconds, or the protocol's text
        self.seqs: Any = []
        self.seed = "0"
        self.fixed = STOPPED  # where no event is at hand

    def micros(self) -> int:
        """The event's time in microseconds since 1970."""
        if self.at < 0 or self.at >= len(self.times):
            return self.fixed
        t = self.times[self.at]
        t = t.as_py() if hasattr(t, "as_py") else t
        if t is None:
            return self.fixed
        return micros_of(parse_time(t)) if isinstance(t, str) else int(t)

    def source(self) -> str:
        """What the event's random numbers begin from."""
        event = self.seqs[self.at] if 0 <= self.at < len(self.seqs) else 0
        event = event.as_py() if hasattr(event, "as_py") else event
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
    return _real_strftime(form, time.localtime(_seconds()) if at is None else at)


_real_strftime = time.strftime


def _sleep(seconds: float) -> None:
    """Nothing waits in a replay."""
    del seconds


def take_over(seed: str) -> None:
    """Put the replay's clock and randomness in the place of the machine's.

    Random numbers are replaced for everybody. The modules time and datetime stay
    as they are for libraries, whose compiled parts need the real ones: the
    worker's own modules see others.
    """
    now.seed = seed
    _take_random()
    swaps: list[tuple[Any, Any]] = [(_datetime.datetime, _Datetime), (_datetime.date, _Date)]
    clock: dict[str, Any] = {"strftime": _strftime, "sleep": _sleep}
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        clock[name], clock[name + "_ns"] = _seconds, _nanoseconds
    for name in ("gmtime", "localtime", "ctime"):
        clock[name] = _at(getattr(time, name))
    clock = {name: value for name, value in clock.items() if hasattr(time, name)}
    swaps += [(getattr(time, name), value) for name, value in clock.items()]
    modules = {"time": _copy_of(time, clock), "datetime": _copy_of(_datetime, {"datetime": _Datetime, "date": _Date})}
    swaps += [(time, modules["time"]), (_datetime, modules["datetime"])]
    for module in list(sys.modules.values()):
        if _is_own(getattr(module, "__name__", ""), getattr(module, "__file__", None)):
            _swap(module, swaps)
    real = builtins.__import__

    def import_(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        got = real(name, globals, locals, fromlist, level)
        if level == 0 and name in modules and globals is not None and _is_own(globals.get("__name__", ""), globals.get("__file__")):
            return modules[name]
        return got

    builtins.__import__ = import_


def _take_random() -> None:
    os.urandom = random._urandom = _urandom  # type: ignore[attr-defined]
    real = {name: getattr(random, name, None) for name in dir(random._inst) if not name.startswith("_")}
    swaps = [(value, getattr(_instance, name)) for name, value in real.items() if getattr(value, "__self__", None) is random._inst]
    swaps += [(uuid.uuid4, _uuid4), (uuid.uuid1, _uuid1)]
    _swap(random, swaps)
    _swap(uuid, swaps)
    for module in list(sys.modules.values()):
        if _is_own(getattr(module, "__name__", ""), getattr(module, "__file__", None)):
            _swap(module, swaps)
    random._inst = _instance


def _copy_of(module: Any, changes: dict[str, Any]) -> types.ModuleType:
    copy = types.ModuleType(module.__name__, module.__doc__)
    vars(copy).update(vars(module))
    vars(copy).update(changes)
    return copy


_LIBRARY = tuple(p + os.sep for p in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} if p)
_COMPILED = ("recount", "pyarrow", "numpy", "pandas", "pytz", "dateutil")


def _is_own(name: str, file: str | None) -> bool:
    """Whether a module is the worker's own, or one of a library that is written in Python."""
    if name == "__main__":
        return True
    if file is None or name.split(".")[0] in _COMPILED:
        return False
    return "site-packages" in file or "dist-packages" in file or not file.startswith(_LIBRARY)


def _swap(module: Any, swaps: list[tuple[Any, Any]]) -> None:
    for key, value in list(vars(module).items()):
        if key.startswith("__"):
            continue
        for old, new in swaps:
            # A method of an object is another object each time that it is asked for.
            if value is old or getattr(old, "__self__", None) is not None and type(value) is type(old) and value == old:
                setattr(module, key, new)
                break
