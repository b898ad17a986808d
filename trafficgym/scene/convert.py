"""Converting source files into a scene store, in parallel, with the same bytes whatever the number of workers.

The sorted source files are cut into units, each of which becomes one shard: a large file alone, or a group of small
ones. Workers do units in any order; this process merges them in theirs, where it drops scenes whose id came before and
stops at the wanted number. What is finished is in the journal, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from trafficgym.errors import ConfigError
from trafficgym.scene.journal import Journal, Part, finished_store, save_part
from trafficgym.scene.manifest import Counts, Manifest, Shard, shard_file
from trafficgym.scene.readers import Skipped, find_sources, read
from trafficgym.scene.scene import Scene
from trafficgym.scene.shard import READ_OPTIONS, from_batch
from trafficgym.scene.workers import Tick, in_order
from trafficgym.scene.writer import ShardWriter

_MOST_FILES = 256  # in a unit
_UNIT_BYTES = (4 << 20, 64 << 20)  # of source files: no less, for small units waste shards; no more, to keep all busy
_WANTED_UNITS = 64


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """How to convert; `workers` never changes what comes out."""

    max_scenes: int | None = None  # convert the first so many in the order of the sorted files
    workers: int = 1  # processes
    tensorflow: bool = False  # read TFRecords through TensorFlow (compressed ones, gs://)
    overwrite: bool = False  # delete the store that is there first

    def __post_init__(self) -> None:
        if self.max_scenes is not None and self.max_scenes < 1:
            raise ConfigError(f"max_scenes must be at least 1, got {self.max_scenes}")
        if self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a conversion is."""

    files: int  # source files that are finished
    num_files: int
    scenes: int  # written so far, those in unfinished shards included


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The work for one shard."""

    number: int
    files: tuple[Path, ...]
    store: Path
    max_scenes: int | None
    tensorflow: bool

    @property
    def shard(self) -> Path:
        return self.store / shard_file(self.number)


def convert(
    sources: Sequence[str | Path],
    store: Path,
    options: ConvertOptions,
    on_progress: OnProgress = lambda progress: None,
) -> tuple[Manifest, bool]:
    """Convert the scenes of `sources` into a store, or finish what an earlier run began.

    Args:
        sources: Files and folders in any format that the readers know.
        store: A new or empty folder, or one that the same sources and options are in.
        on_progress: Called now and then, in this process.

    Returns:
        The manifest of the store, and whether there was anything to do (False: it was complete already).

    Raises:
        SceneError: `sources` holds no file that could be read.
        StoreError: `store` holds something else, or the disk is full; finished shards are kept.
    """
    files = find_sources(sources)
    recipe = _recipe(sources, files, options)
    if not options.overwrite and (finished := finished_store(store, recipe)):
        return finished, False
    journal = Journal(store, recipe, overwrite=options.overwrite)
    try:
        return journal.finish(_convert_all(files, journal, options, on_progress)), True
    finally:
        journal.close()


def convert_unit(unit: Unit, tick: Tick) -> Part:
    """Write the shard of one unit, and say in the journal that it is finished; calls `tick` after each scene."""
    files: list[str] = []
    skipped: list[tuple[int, Skipped]] = []
    with ShardWriter(unit.shard) as shard:
        for file, item in _read_all(unit):
            if isinstance(item, Scene):
                shard.add(item)
                files.append(str(file))
                tick()
            else:
                skipped.append((len(files), item))
            if len(files) == unit.max_scenes:
                break
        part = Part(shard=shard.finish(), files=tuple(files), skipped=tuple(skipped))
    save_part(unit.store, unit.number, part)
    return part


def _convert_all(
    files: Sequence[Path], journal: Journal, options: ConvertOptions, on_progress: OnProgress
) -> list[Part]:
    units = list(_units(files, journal.store, options))
    merger = _Merger(journal, options.max_scenes)
    kept = {unit.number: part for unit in units if (part := journal.load(unit.number))}
    num_kept, num_new, num_files = sum(len(part.ids) for part in kept.values()), 0, 0

    def report(new_scenes: int) -> None:
        nonlocal num_new
        num_new = new_scenes
        on_progress(Progress(files=num_files, num_files=len(files), scenes=num_kept + num_new))

    todo = [unit for unit in units if unit.number not in kept]
    with closing(in_order(convert_unit, todo, options.workers, report)) as converted:
        for unit in units:
            merger.merge(unit, kept[unit.number] if unit.number in kept else next(converted))
            num_files += len(unit.files)
            report(num_new)
            if merger.is_full:
                break
    return merger.parts


class _Merger:
    """Takes the parts in their order: drops scenes whose id came before, and ends at the wanted number of scenes."""

    def __init__(self, journal: Journal, max_scenes: int | None) -> None:
        self.parts: list[Part] = []
        self._journal = journal
        self._most = math.inf if max_scenes is None else max_scenes
        self._files: dict[str, str] = {}  # where each scene id came from

    @property
    def is_full(self) -> bool:
        return len(self._files) >= self._most

    def merge(self, unit: Unit, part: Part) -> None:
        """Add a part; where scenes of it are dropped, its shard is written anew."""
        rows, skipped = self._choose(part)
        if len(rows) < len(part.ids):
            shard = _rewrite(unit.shard, rows)
            part = Part(shard=shard, files=tuple(part.files[row] for row in rows), skipped=tuple(skipped))
            save_part(unit.store, unit.number, part)
        elif self.is_full:
            part = replace(part, skipped=tuple(skipped))
        self.parts.append(part)

    def _choose(self, part: Part) -> tuple[list[int], list[tuple[int, Skipped]]]:
        """The rows to keep, and what is skipped up to the last of them."""
        rows: list[int] = []
        skipped: list[tuple[int, Skipped]] = []
        for row, (id, file) in enumerate(zip(part.ids, part.files, strict=True)):
            skipped += [(len(rows), entry) for before, entry in part.skipped if before == row]
            if id in self._files:
                skipped.append((len(rows), _duplicate(id, file, self._files[id])))
                continue
            self._files[id] = file
            rows.append(row)
            if self.is_full:
                return rows, skipped
        skipped += [(len(rows), entry) for before, entry in part.skipped if before == len(part.ids)]
        return rows, skipped


def _duplicate(id: str, file: str, first: str) -> Skipped:
    where = f"{Path(file).name}: scene {id!r}"
    return Skipped(where=where, reason=f"came before, from {Path(first).name}; ids are unique in a store")


def _rewrite(path: Path, rows: Sequence[int]) -> Shard | None:
    """Write a shard again with only some of its rows, in its place."""
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file, options=READ_OPTIONS)
        batches = [reader.get_batch(row) for row in rows]
    with ShardWriter(path) as shard:
        for batch in batches:
            scene = from_batch(batch)
            shard.add_batch(batch, scene.id, Counts.of(scene))
        finished = shard.finish()
    if finished is None:
        path.unlink()
    return finished


def _read_all(unit: Unit) -> Iterator[tuple[Path, Scene | Skipped]]:
    for file in unit.files:
        for item in read(file, tensorflow=unit.tensorflow):
            yield file, item


def _units(files: Sequence[Path], store: Path, options: ConvertOptions) -> Iterator[Unit]:
    for number, group in enumerate(_groups(files)):
        yield Unit(
            number=number, files=group, store=store, max_scenes=options.max_scenes, tensorflow=options.tensorflow
        )


def _groups(files: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Cut the files, in their order, into groups of about equal bytes; what comes out depends on nothing else."""
    sizes = [_size(file) for file in files]
    known = sum(size for size in sizes if size < math.inf)
    most_bytes = min(max(known / _WANTED_UNITS, _UNIT_BYTES[0]), _UNIT_BYTES[1])
    group: list[Path] = []
    group_bytes = 0.0
    for file, size in zip(files, sizes, strict=True):
        if group and (group_bytes + size > most_bytes or len(group) == _MOST_FILES):
            yield tuple(group)
            group, group_bytes = [], 0.0
        group.append(file)
        group_bytes += size
    yield tuple(group)


def _size(file: Path) -> float:
    """Bytes of a file; infinite where it is not on this machine (gs://), so that it is a unit of its own."""
    try:
        return file.stat().st_size
    except OSError:
        return math.inf


def _recipe(sources: Sequence[str | Path], files: Sequence[Path], options: ConvertOptions) -> dict[str, Any]:
    """What the store depends on. The files, of which there may be a million, are summed up by a hash."""
    listing = hashlib.sha256()
    for file in files:
        stat = file.stat() if file.exists() else None
        entry = [str(file), stat.st_size, stat.st_mtime_ns] if stat else [str(file)]
        listing.update(json.dumps(entry).encode() + b"\n")
    return {
        "sources": [str(source) for source in sources],
        "files": len(files),
        "files_sha256": listing.hexdigest(),
        "max_scenes": options.max_scenes,
        "tensorflow": options.tensorflow,
    }
