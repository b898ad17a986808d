"""Opening a pickle that holds containers, numbers, text and NumPy arrays, and nothing else.

Even the few names that arrays need are not given to the pickle: NumPy's own functions for rebuilding dtypes and
arrays trust their input and crash on damage. What stands in for them here checks sizes and dtypes first.
"""

from __future__ import annotations

import collections
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trafficgym.errors import SceneError

# Booleans, integers, floats and text; objects would be a way around the list of names.
_PLAIN_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})")


def load_pickle(stream: BinaryIO) -> Any:
    """Return the pickled object; arrays in it are things that `numpy.asarray`, ``len`` and ``iter`` understand.

    Raises:
        SceneError: the pickle is damaged, or asks for a name that is not admitted, which is not imported.
    """
    try:
        return _RestrictedUnpickler(stream).load()
    except SceneError:
        raise
    except Exception as error:  # damaged pickles fail in every way that there is
        raise SceneError(f"is a damaged pickle ({error}); download the file again") from None


class _DType:
    """Stands in for a pickled numpy.dtype: a code, and a byte order that comes after it."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not _PLAIN_DTYPE.fullmatch(code):
            raise SceneError(f"holds an array of {code!r}; a scene needs numbers and text only")
        self._dtype = np.dtype(code)

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] in ("<", ">"):
            self._dtype = self._dtype.newbyteorder(state[1])

    def from_bytes(self, raw: bytes) -> NDArray[Any]:
        return np.frombuffer(raw, self._dtype)


class _Array:
    """Stands in for a pickled numpy.ndarray, which is made first and filled afterwards."""

    _values: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: Sequence[Any]) -> None:
        shape, dtype, is_fortran, raw = state[-4:]
        self._values = dtype.from_bytes(raw).reshape(shape, order="F" if is_fortran else "C")

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._values, dtype) if copy else np.asarray(self._values, dtype)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: _DType, raw: bytes) -> Any:
    return dtype.from_bytes(raw)[0]


def _frombuffer(raw: bytes, dtype: _DType, shape: Sequence[int], order: Any) -> NDArray[Any]:
    return dtype.from_bytes(raw).reshape(shape, order=order)


# NumPy 2 moved numpy.core to numpy._core; pickles of either kind are read.
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    **{("builtins", kind.__name__): kind for kind in (bool, dict, float, int, list, set, str, tuple)},
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise SceneError(
                f"asks for {module}.{name}, which a scene has no use for, and nothing was run; "
                "do not open this file with plain pickle, and take it from a source that you trust"
            )
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise SceneError(f"refers to an object outside the file ({pid!r}); it is no ScenarioNet scene")
