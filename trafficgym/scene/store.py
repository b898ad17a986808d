"""Scenes on disk, memory-mapped: any one of them is there at once, by number or by id."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import overload

import pyarrow as pa

from trafficgym.errors import StoreError
from trafficgym.scene.journal import UNFINISHED
from trafficgym.scene.manifest import MANIFEST, Manifest, Shard
from trafficgym.scene.readers import Skipped
from trafficgym.scene.scene import Scene
from trafficgym.scene.shard import READ_OPTIONS, SCHEMA, from_batch
from trafficgym.scene.writer import SceneWriter

_MAX_OPEN_SHARDS = 64  # each holds a file descriptor, of which a process has about a thousand


class SceneStore(Sequence[Scene]):
    """A folder of scenes that `trafficgym convert` or a `SceneWriter` made.

    Opening reads the manifest and looks at the sizes of the files; a scene is read when it is asked for, in constant
    time, and its arrays are its own. A store can be pickled, and then opens itself again in the other process.

    Example:
        store = SceneStore("val/")
        len(store), store[12], store["637f20cafde22ff8"]

    Raises:
        StoreError: there is no store at `path`, it is not finished, damaged, or of another version; the message says
            which and what to do. Reading a scene raises it too, and where no scene has the id.
        IndexError: no scene has the number.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = _load_manifest(self.path)
        for shard in self.manifest.shards:
            _check_size(self.path / shard.file, shard)
        self._ends = list(accumulate(len(shard.ids) for shard in self.manifest.shards))
        self._open: OrderedDict[int, pa.ipc.RecordBatchFileReader] = OrderedDict()

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Scene ids in the order of the store."""
        return tuple(id for shard in self.manifest.shards for id in shard.ids)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was left out when the store was made, and why."""
        return self.manifest.skipped

    def verify(self) -> None:
        """Read every byte and compare with the hashes in the manifest.

        Raises:
            StoreError: a shard is not as it was written.
        """
        for shard in self.manifest.shards:
            path = self.path / shard.file
            _check_size(path, shard)
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256:
                    raise StoreError(f"{path}: its bytes have changed since it was written; {_AGAIN}")

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, key: int | str) -> Scene: ...

    @overload
    def __getitem__(self, key: slice) -> list[Scene]: ...

    def __getitem__(self, key: int | str | slice) -> Scene | list[Scene]:
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        number = self._number_of(key) if isinstance(key, str) else range(len(self))[key]
        shard = bisect_right(self._ends, number)
        return self._read(shard, number - (self._ends[shard - 1] if shard else 0))

    def __iter__(self) -> Iterator[Scene]:
        for i in range(len(self)):
            yield self[i]

    def __contains__(self, key: object) -> bool:
        return (key.id if isinstance(key, Scene) else key) in self._numbers

    def __repr__(self) -> str:
        return f"SceneStore({str(self.path)!r}, {len(self)} scenes)"

    def __reduce__(self) -> tuple[type[SceneStore], tuple[Path]]:
        return SceneStore, (self.path,)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {id: number for number, id in enumerate(self.ids)}

    def _number_of(self, id: str) -> int:
        if id not in self._numbers:
            example = f", such as {self.ids[0]!r}" if self.ids else ""
            raise StoreError(f"{self.path}: has no scene {id!r}; `trafficgym info` shows what it has{example}")
        return self._numbers[id]

    def _read(self, number: int, row: int) -> Scene:
        shard = self.manifest.shards[number]
        try:
            scene = from_batch(self._reader(number).get_batch(row))
        except (ValueError, LookupError, pa.ArrowException, OSError) as error:
            raise StoreError(
                f"{self.path / shard.file}: scene {shard.ids[row]!r} is damaged: {error}; {_AGAIN}"
            ) from error
        if scene.id != shard.ids[row]:
            raise StoreError(
                f"{self.path / shard.file}: holds {scene.id!r} where the manifest says {shard.ids[row]!r}; {_AGAIN}"
            )
        return scene

    def _reader(self, number: int) -> pa.ipc.RecordBatchFileReader:
        if number not in self._open:
            source = pa.memory_map(str(self.path / self.manifest.shards[number].file))
            reader = pa.ipc.open_file(source, options=READ_OPTIONS)
            if not reader.schema.equals(SCHEMA):
                raise ValueError("its columns are not those of a scene")
            self._open[number] = reader
            if len(self._open) > _MAX_OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]


_AGAIN = "convert the scenes again (trafficgym convert --overwrite)"


def _load_manifest(path: Path) -> Manifest:
    if not path.exists():
        raise StoreError(f"{path}: there is no such folder; make a store with: trafficgym convert SOURCE {path}")
    if (path / MANIFEST).is_file():
        return Manifest.load(path / MANIFEST)
    if (path / UNFINISHED).is_dir():
        raise StoreError(f"{path}: the store is not finished; run the command that was making it again, and it goes on")
    raise StoreError(
        f"{path}: is not a scene store, since it has no {MANIFEST}; make one with: trafficgym convert {path} STORE"
    )


def _check_size(path: Path, shard: Shard) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}; {_AGAIN}") from error
    if size != shard.bytes:
        raise StoreError(
            f"{path}: has {size} bytes where the manifest says {shard.bytes}; it was cut off or changed; {_AGAIN}"
        )


__all__ = ["SceneStore", "SceneWriter"]
