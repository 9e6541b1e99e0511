"""What a worker's author writes: folds in their styles."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Sequence

from ._values import pack, unpack


class Key(dict):  # type: ignore[type-arg]
    """The fields of a key, by name; where the calculation has a bucket, its start."""

    bucket: Any = None


@dataclass
class Effect:
    """What the worker would have sent."""

    kind: str
    key: str
    payload: Any
    at: int  # the place of its event


_said: list[Effect] = []
_may_say: list[bool] = [False]
_place: Callable[[], int] = lambda: -1


def effect(kind: str, key: str, payload: Any = None) -> None:
    """Say what would be sent now: a mail, an invoice, a call. Nothing is sent.

    The fold must be declared with effects=True.
    """
    if not _may_say[0]:
        raise RuntimeError("the fold has effects: declare it with effects=True")
    if not kind or not isinstance(kind, str) or not isinstance(key, str):
        raise ValueError("an effect has a kind and a key, both of them texts")
    _said.append(Effect(kind, key, payload, _place()))


Rows = Any  # one row, an iterable of rows, or None


def listed(rows: Rows) -> Iterable[Mapping[str, Any]]:
    """The rows that a fold returned."""
    if rows is None:
        return ()
    if isinstance(rows, Mapping):
        return (rows,)
    return rows  # type: ignore[no-any-return]


@dataclass
class Fold:
    """A declared fold, which run() runs."""

    columns: dict[str, str]
    reads: list[str] | None = None
    effects: bool = False
    style: str = "fold"  # fold | vectorised | pandas
    # The parts of a fold that goes from event to event.
    start: Callable[[Key], Any] | None = None
    step: Callable[..., Any] | None = None
    show: Callable[..., Rows] | None = None  # (state, key) -> rows
    save: Callable[[Any], Any] | None = None
    load: Callable[[Key, Any], Any] | None = None
    # The columns that step takes one by one; None: it takes the event.
    takes: list[str] | None = None
    # step returns the state that follows; a class changes itself.
    returns: bool = False
    whole: Callable[..., Any] | None = None  # of vectorised and pandas
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def rows(self, function: Callable[..., Rows]) -> Callable[..., Rows]:
        """Declare how rows are made of a state: function(state), or (state, key)."""
        self.show = _with_key(function)
        return function

    def starts(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Declare with which state a key begins: function(), or (key)."""
        takes_key = len(inspect.signature(function).parameters) > 0
        self.start = function if takes_key else lambda key: function()
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what was declared, as if it were not."""
        target = self.options.get("target")
        if target is None:
            raise TypeError("this fold cannot be called")
        return target(*args, **kwargs)


def _with_key(function: Callable[..., Rows]) -> Callable[..., Rows]:
    if len(inspect.signature(function).parameters) < 2:
        return lambda state, key: function(state)
    return function


def _columns_of(step: Callable[..., Any]) -> list[str] | None:
    """The columns that step takes one by one; None where it takes the event."""
    parameters = list(inspect.signature(step).parameters.values())[1:]
    for p in parameters:
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY):
            raise TypeError(f"step takes {p}: it takes an event, or columns by their names")
    names = [p.name for p in parameters]
    if not names:
        raise TypeError("step takes no event: it takes (state, event), or (state, COLUMN, …)")
    return None if names == ["event"] else names


def _of_class(cls: Any, fold_: Fold) -> Fold:
    if not callable(getattr(cls, "step", None)) or not callable(getattr(cls, "rows", None)):
        raise TypeError(f"{cls.__name__} needs the methods step(self, event) and rows(self)")
    takes_key = len(inspect.signature(cls).parameters) > 0
    fold_.start = cls if takes_key else lambda key: cls()
    fold_.step, fold_.takes = cls.step, _columns_of(cls.step)
    fold_.show = lambda state, key: state.rows()
    if callable(getattr(cls, "state", None)) and callable(getattr(cls, "restore", None)):
        fold_.save, fold_.load = lambda state: pack(state.state()), lambda key, value: cls.restore(key, unpack(value))
        return fold_

    def save(state: Any) -> Any:
        return pack(vars(state))

    def load(key: Key, value: Any) -> Any:
        state = cls.__new__(cls)
        vars(state).update(unpack(value))
        return state

    if not any("__slots__" in vars(c) for c in cls.__mro__[:-1]):
        fold_.save, fold_.load = save, load
    return fold_


def _of_function(step: Callable[..., Any], fold_: Fold) -> Fold:
    fold_.start, fold_.step, fold_.takes, fold_.returns = lambda key: {}, step, _columns_of(step), True
    fold_.save, fold_.load = pack, lambda key, value: unpack(value)
    return fold_


def fold(
    *, columns: Mapping[str, str], reads: Sequence[str] | None = None, effects: bool = False
) -> Callable[[Any], Fold]:
    """Declare a fold from event to event.

    columns are the columns of its rows with their types, such as decimal(18,2);
    reads the columns of an event that it looks at (all fields, id and time, if it
    does not say). A class has __init__(self, key), step(self, event) and
    rows(self). A function step(state, event) begins with the state {}, changes it
    or returns another, and has its rows declared by `@NAME.rows`. Where step takes
    other names than `event`, these are the columns that it reads.
    """

    def declare(target: Any) -> Fold:
        made = Fold(dict(columns), None if reads is None else list(reads), effects, name=getattr(target, "__name__", ""))
        made.options["target"] = target
        made = _of_class(target, made) if inspect.isclass(target) else _of_function(target, made)
        if made.takes is not None and made.reads is None:
            made.reads = list(made.takes)
        return made

    return declare


def vectorised(
    *, columns: Mapping[str, str], reads: Sequence[str] | None = None
) -> Callable[[Callable[..., Any]], Fold]:
    """Declare a function over the events of many keys at once, as Arrow and numpy have them.

    function(groups) returns a mapping from column to an array with one value a
    key, in the order of groups; with `group` among them, an array of numbers of
    keys, it may return any number of rows.
    """

    def declare(target: Callable[..., Any]) -> Fold:
        return Fold(
            dict(columns), None if reads is None else list(reads), style="vectorised", whole=target,
            name=getattr(target, "__name__", ""), options={"target": target},
        )

    return declare


def pandas(
    *, columns: Mapping[str, str], reads: Sequence[str] | None = None
) -> Callable[[Callable[..., Any]], Fold]:
    """Declare a function over all events of a key, as a frame of pandas.

    function(key, frame) returns a row, rows, or a frame.
    """

    def declare(target: Callable[..., Any]) -> Fold:
        return Fold(
            dict(columns), None if reads is None else list(reads), style="pandas", whole=target,
            name=getattr(target, "__name__", ""), options={"target": target},
        )

    return declare


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
