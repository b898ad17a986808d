"""Reading a checkpoint of PyTorch without trusting it: nothing in the file is imported or run.

`torch.load(weights_only=True)` refuses Lightning checkpoints of CAT-K, because their hyper-parameters are objects of
omegaconf, and ``weights_only=False`` runs whatever the file says. Here tensors are read from the archive as NumPy
arrays, and objects of omegaconf become dicts and lists.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from trafficgym.errors import ConfigError

_MOST_PICKLE = 64 << 20  # bytes; that of the largest preset, with its optimiser, has half a megabyte
_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}


class Tensor:
    """A tensor of known `shape` whose values are still in the file."""

    def __init__(self, storage: _Storage, offset: int, shape: Sequence[int], stride: Sequence[int], *_: Any) -> None:
        numbers = (offset, *shape, *stride)
        if len(shape) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise ConfigError(f"holds a tensor of shape {shape} and strides {stride}; the file is damaged")
        self.shape, self._storage, self._offset, self._stride = tuple(shape), storage, offset, tuple(stride)

    def numpy(self) -> NDArray[Any]:
        """Read the values.

        Raises:
            ConfigError: they are not numbers that NumPy has, or not all there.
        """
        values = self._storage.read()
        last = self._offset + sum((n - 1) * s for n, s in zip(self.shape, self._stride, strict=True))
        if 0 in self.shape:
            return np.zeros(self.shape, values.dtype)
        if last >= len(values):
            raise ConfigError(f"holds a tensor of shape {self.shape} in {len(values)} numbers; the file is damaged")
        steps = [s * values.itemsize for s in self._stride]
        return np.ascontiguousarray(as_strided(values[self._offset :], self.shape, steps))


class TorchArchive:
    """A file of `torch.save`, open while its tensors are read.

    ```python
    with TorchArchive("epoch_31.ckpt") as archive:
        weights = archive.content["state_dict"]["encoder.map_encoder.type_pt_emb.weight"].numpy()
    ```

    Attributes:
        content: What `torch.save` was given: dicts, lists, numbers and texts, with a `Tensor` for each tensor. Objects
            of omegaconf are dicts, lists and values; what else is neither plain nor a tensor is None.

    Raises:
        ConfigError: there is no such file, it is no archive of PyTorch, it is damaged, or it asks for a name that a
            checkpoint has no use for, which is not imported.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        if not path.is_file():
            raise ConfigError(f"{path}: there is no checkpoint")
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ConfigError(f"{path}: is no archive of PyTorch 1.6 or newer, or is damaged ({error})") from None
        try:
            self.content = _plain(_Unpickler(self).load())
        except ConfigError as error:
            self._zip.close()
            raise ConfigError(f"{path}: {error}") from None
        except Exception as error:  # damaged pickles fail in every way that there is
            self._zip.close()
            raise ConfigError(f"{path}: is damaged ({type(error).__name__}: {error}); copy it again") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def pickle(self) -> bytes:
        """The part of the file that is a pickle."""
        found = [entry for entry in self._zip.infolist() if entry.filename.endswith("/data.pkl")]
        if len(found) != 1:
            raise ConfigError(f"is no archive of PyTorch: it holds {len(found)} files data.pkl, and must hold one")
        if found[0].file_size > _MOST_PICKLE:
            raise ConfigError(f"its data.pkl has {found[0].file_size} bytes, and at most {_MOST_PICKLE} are read")
        self._folder = found[0].filename.removesuffix("data.pkl")
        order = self._folder + "byteorder"
        if order in self._zip.namelist() and self._zip.read(order).strip() != b"little":
            raise ConfigError("was written on a big-endian machine; save it again on another")
        return self._zip.read(found[0])

    def storage(self, key: str, size: int) -> bytes:
        """The bytes of a storage, of which there must be `size`."""
        entry = self._zip.getinfo(f"{self._folder}data/{key}")
        if entry.file_size != size:
            raise ConfigError(f"storage {key} has {entry.file_size} bytes instead of {size}; the file is damaged")
        return self._zip.read(entry)


class _Storage:
    """Numbers that tensors share."""

    def __init__(self, archive: TorchArchive, kind: Any, key: str, size: int) -> None:
        self._archive, self._kind, self._key, self._size = archive, kind, key, size

    def read(self) -> NDArray[Any]:
        code = _DTYPES.get(self._kind)
        if code is None:
            raise ConfigError(f"holds a tensor of {self._kind}; only {', '.join(_DTYPES)} are read")
        dtype = np.dtype(code)
        try:
            return np.frombuffer(self._archive.storage(self._key, self._size * dtype.itemsize), dtype)
        except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(f"storage {self._key} cannot be read ({error}); the file is damaged") from None


class _Inert:
    """Stands in for an object whose class is not wanted; keeps its state."""

    state: Any = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


_BUILTINS = {"dict": dict, "list": list, "tuple": tuple, "set": set, "str": str, "int": int, "long": int}
_BUILTINS |= {"float": float, "bool": bool}
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    **{(module, name): kind for module in ("builtins", "__builtin__") for name, kind in _BUILTINS.items()},
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("torch._utils", "_rebuild_tensor_v2"): Tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{(f"numpy.{core}.multiarray", "scalar"): _Inert for core in ("core", "_core")},
    **{("pathlib", f"{kind}Path"): _Inert for kind in ("Posix", "Windows", "PurePosix", "PureWindows")},
    ("numpy", "dtype"): _Inert,
    ("torch", "device"): _Inert,
    ("torch", "Size"): _Inert,
    ("typing", "Any"): _Inert,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: TorchArchive) -> None:
        super().__init__(io.BytesIO(archive.pickle()))
        self._archive = archive

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        if module.split(".", maxsplit=1)[0] == "omegaconf":
            return _Inert
        if module == "torch" and name.endswith("Storage"):
            return name  # it is only ever handed to `persistent_load`
        raise ConfigError(
            f"asks for {module}.{name}, which a checkpoint of SMART has no use for, and nothing was run; do not open "
            "this file with torch.load, and take it from a source that you trust"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, size = pid
        if not isinstance(key, str) or not isinstance(size, int) or size < 0:
            raise ConfigError(f"refers to a storage {pid!r}; the file is damaged")
        return _Storage(self._archive, kind, key, size)


def _plain(value: Any) -> Any:
    if isinstance(value, _Inert):
        state = value.state if isinstance(value.state, dict) else {}
        return _plain(state.get("_content", state.get("_val")))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if isinstance(key, str | int)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, Tensor | str | int | float | bool) else None
