"""Writing scenes: one shard, and whole stores of scenes that come one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from trafficgym.errors import StoreError
from trafficgym.scene.atomic import AtomicFile
from trafficgym.scene.journal import Journal, Part, finished_store, save_part
from trafficgym.scene.manifest import Counts, Shard, shard_file
from trafficgym.scene.readers import Skipped
from trafficgym.scene.scene import Scene
from trafficgym.scene.shard import SCHEMA, WRITE_OPTIONS, to_batch


class ShardWriter:
    """Streams scenes into one shard, which appears at `path` when it is finished.

    Raises:
        StoreError: from any method, where the disk is full; nothing is left of the shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: list[str] = []
        self._counts = Counts()
        self._file: _HashedFile | None = None

    def add(self, scene: Scene) -> None:
        """Write one scene."""
        self.add_batch(to_batch(scene), scene.id, Counts.of(scene))

    def add_batch(self, batch: pa.RecordBatch, id: str, counts: Counts) -> None:
        """Write one scene that is laid out already."""
        if self._file is None:
            self._file = _HashedFile(self.path)
            self._arrow = pa.ipc.new_file(self._file, SCHEMA, options=WRITE_OPTIONS)
        self._arrow.write_batch(batch)
        self.ids.append(id)
        self._counts.update(counts)

    def finish(self) -> Shard | None:
        """Put the shard in its place; None where no scene was added, and no file is made."""
        if self._file is None:
            return None
        self._arrow.close()
        self._file.commit()
        return Shard(
            file=self.path.name,
            bytes=self._file.size,
            sha256=self._file.digest.hexdigest(),
            ids=tuple(self.ids),
            counts=self._counts,
        )

    def __enter__(self) -> Self:
        return self

    def discard(self) -> None:
        """Leave nothing behind, unless the shard is finished; leaving the `with` block does it."""
        if self._file is not None:
            self._file.discard()

    def __exit__(self, *_: object) -> None:
        self.discard()


class _HashedFile(AtomicFile):
    """What Arrow needs of a Python file to write to; hashes on the way."""

    closed = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return super().write(data)

    def flush(self) -> None:
        """Arrow asks for it when it closes; `commit` does it."""


class SceneWriter:
    """Writes scenes that come one by one, generated ones for example, into a store.

    Every `scenes_per_shard` scenes a shard is finished for good. Where the process dies, the same program run again
    resumes: `add` passes over the scenes of finished shards, and the store becomes the one that it would have been.

    Example:
        with SceneWriter(Path("generated"), recipe={"family": "cut-in", "seed": 7}) as writer:
            for scene in scenes:
                writer.add(scene)

    Args:
        path: A new or empty folder, or one in which the same recipe was left unfinished.
        recipe: Says what is written, so that nothing else is taken for the same; JSON.
        scenes_per_shard: How many scenes go into one file.
        overwrite: Delete the store that is there first.

    Raises:
        StoreError: the folder holds something else, or a finished store; a scene id comes twice; the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        recipe: Mapping[str, Any] | None = None,
        scenes_per_shard: int = 256,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        recipe = {"recipe": dict(recipe or {}), "scenes_per_shard": scenes_per_shard}
        if not overwrite and finished_store(self.path, recipe) is not None:
            raise StoreError(f"{self.path}: holds a finished store; choose another folder, or pass overwrite=True")
        self._scenes_per_shard = scenes_per_shard
        self._journal = Journal(self.path, recipe, overwrite=overwrite)
        self._parts = self._load_parts()
        self._finished = {id for part in self._parts for id in part.ids}
        self._ids: set[str] = set()
        self._begin_part()

    def add(self, scene: Scene) -> None:
        """Write one scene, or pass over it where an earlier run has finished its shard."""
        if scene.id in self._ids:
            raise StoreError(f"{self.path}: scene {scene.id!r} was added twice; ids must be unique in a store")
        self._ids.add(scene.id)
        if scene.id in self._finished:
            return
        self._shard.add(scene)
        if len(self._shard.ids) == self._scenes_per_shard:
            self._finish_part()

    def skip(self, where: str, reason: str) -> None:
        """Record that a scene was left out and why, for the table of `trafficgym info`."""
        skipped = Skipped(where=where, reason=reason)
        if all(skipped != entry for part in self._parts for _, entry in part.skipped):
            self._skipped.append((len(self._shard.ids), skipped))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                if self._shard.ids or self._skipped:
                    self._finish_part()
                self._journal.finish(self._parts)
        finally:
            self._shard.discard()
            self._journal.close()

    def _load_parts(self) -> list[Part]:
        parts: list[Part] = []
        while (part := self._journal.load(len(parts))) is not None:
            parts.append(part)
        return parts

    def _begin_part(self) -> None:
        self._shard = ShardWriter(self.path / shard_file(len(self._parts)))
        self._skipped: list[tuple[int, Skipped]] = []

    def _finish_part(self) -> None:
        part = Part(shard=self._shard.finish(), skipped=tuple(self._skipped))
        save_part(self.path, len(self._parts), part)
        self._parts.append(part)
        self._begin_part()
