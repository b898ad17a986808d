"""A random sample of a stream whose length nobody knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_FACTOR = 0x9E3779B97F4A7C15  # odd and irregular, as in SplitMix64


class StreamSample:
    """At most `most` rows of all that were added, each as likely as any other, in the order in which they came.

    Every row gets a random number, and those with the smallest stay.

    Args:
        most: How many rows are kept.
        rng: Draws the numbers.
        same: Rows that are equal after rounding to multiples of it are one row; None keeps all.
    """

    def __init__(self, most: int, rng: np.random.Generator, *, same: float | None = None) -> None:
        self._most, self._rng, self._same = most, rng, same
        self._rows: list[Float] = []
        self._keys: list[Float] = []
        self._held = 0

    def add(self, rows: Float) -> None:
        """Add rows ``[N, ...]``."""
        if not len(rows):
            return
        self._rows.append(rows)
        self._keys.append(self._rng.random(len(rows)))
        self._held += len(rows)
        if self._held > 2 * self._most:
            self._shrink()

    @property
    def rows(self) -> Float:
        """The sample, ``[n, ...]`` with n no larger than `most`; ``[0]`` where nothing was added."""
        if not self._rows:
            return np.zeros(0)
        self._shrink()
        return self._rows[0]

    def _shrink(self) -> None:
        rows, keys = np.concatenate(self._rows), np.concatenate(self._keys)
        if self._same is not None:
            first = np.sort(np.unique(_hashes(rows, self._same), return_index=True)[1])
            rows, keys = rows[first], keys[first]
        if len(rows) > self._most:
            kept = np.sort(np.argpartition(keys, self._most)[: self._most])
            rows, keys = rows[kept], keys[kept]
        self._rows, self._keys, self._held = [rows], [keys], len(rows)


def _hashes(rows: Float, same: float) -> NDArray[np.uint64]:
    """A number for each row that is the same where the rounded rows are; sorting the rows themselves takes long."""
    numbers = np.round(rows.reshape(len(rows), -1) / same).astype(np.int64).astype(np.uint64)
    factors = np.cumprod(np.full(numbers.shape[1], _FACTOR, np.uint64))
    return (numbers * factors).sum(1, dtype=np.uint64)
