"""Groups: the events of many keys at once, for vectorised folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._values import scale_of

if TYPE_CHECKING:
    import numpy
    import pyarrow


def scaled(values: Any, scale: int, precision: int = 38) -> Any:
    """A decimal array of whole numbers: scaled([123], 2) is 1.23.

    values is an array of numpy's int64; masked values are missing.
    """
    import numpy
    import pyarrow

    values = numpy.ascontiguousarray(values, dtype=numpy.int64)
    words: Any = numpy.empty((len(values), 2), dtype=numpy.int64)
    words[:, 0] = values
    numpy.right_shift(values, 63, out=words[:, 1])
    return pyarrow.Array.from_buffers(pyarrow.decimal128(precision, scale), len(values), [None, pyarrow.py_buffer(words)])


def unscaled(array: Any) -> Any:
    """The whole numbers of a decimal128 array, as numpy's int64; None where one is too large."""
    import numpy

    words = numpy.frombuffer(array.buffers()[1], dtype=numpy.int64)[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    low = words[:, 0]
    if array.null_count == 0 and not numpy.array_equal(words[:, 1], low >> 63):
        return None
    return low


class Groups:
    """The events of many keys: those of a key stand together, in their order.

    columns holds an array of pyarrow for each column that is read; starts and ends
    say where each key's events are, index which key an event belongs to. Every
    key has at least one event.
    """

    def __init__(self, batch: Any, starts: Any, ends: Any, kinds: dict[str, str]) -> None:
        self.columns: dict[str, pyarrow.Array] = {name: batch.column(name) for name in batch.schema.names if not name.startswith("recount_")}
        self.starts: numpy.ndarray[Any, Any] = starts
        self.ends: numpy.ndarray[Any, Any] = ends
        self._kinds = kinds
        self._index: Any = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def index(self) -> Any:
        """The number of each event's key, from 0."""
        import numpy

        if self._index is None:
            self._index = numpy.repeat(numpy.arange(len(self.starts)), self.ends - self.starts)
        return self._index

    def ints(self, name: str) -> Any:
        """A column as numpy's int64: a decimal as whole numbers of its last digit, a time in microseconds."""
        array = self.columns[name]
        if array.null_count:
            raise ValueError(f"column {name} lacks values")
        kind = self._kinds[name]
        if kind.startswith("decimal"):
            whole = unscaled(array)
            if whole is None:
                raise ValueError(f"column {name} has values that are too large for 64 bits")
            return whole
        if kind == "timestamp":
            return array.cast("int64").to_numpy(zero_copy_only=False)
        if kind != "int64":
            raise ValueError(f"column {name} holds no whole numbers: it is {kind}")
        return array.to_numpy(zero_copy_only=False)

    def scale(self, name: str) -> int:
        """The digits after the point of a decimal column."""
        return scale_of(self._kinds[name])

    def floats(self, name: str) -> Any:
        """A column as numpy's float64; what is missing is NaN."""
        return self.columns[name].cast("float64").to_numpy(zero_copy_only=False)

    def first(self, name: str) -> Any:
        """The value of each key's first event, as an array of pyarrow."""
        return self.columns[name].take(self._places(self.starts))

    def last(self, name: str) -> Any:
        """The value of each key's last event."""
        return self.columns[name].take(self._places(self.ends - 1))

    @staticmethod
    def _places(at: Any) -> Any:
        import pyarrow

        return pyarrow.array(at)

    def counts(self) -> Any:
        """The number of each key's events."""
        return self.ends - self.starts

    def sums(self, values: Any) -> Any:
        """The sum of values, an array of numpy with one an event, by key."""
        import numpy

        if len(self.starts) == 0:
            return values[:0]
        return numpy.add.reduceat(values, self.starts)
