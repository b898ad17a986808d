"""The journal of a store that is being written: what is finished stays finished, whatever happens to the process.

It is the folder `unfinished` inside the store, with the recipe (sources and options) and one file a finished part. The
manifest is written last; with it the journal goes, and the folder becomes a store.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trafficgym.errors import StoreError
from trafficgym.scene.atomic import PARTIAL, write_atomically
from trafficgym.scene.manifest import MANIFEST, Manifest, Shard, parse_skipped
from trafficgym.scene.readers import Skipped
from trafficgym.scene.shard import FORMAT_VERSION

UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one unit of work gave."""

    shard: Shard | None = None  # None where it gave no scene
    files: tuple[str, ...] = ()  # the source file of each scene, where they come from files
    skipped: tuple[tuple[int, Skipped], ...] = ()  # each with the number of the part's scenes that came before it

    @property
    def ids(self) -> tuple[str, ...]:
        return self.shard.ids if self.shard else ()

    @classmethod
    def parse(cls, data: Any) -> Part:
        """Raises ValueError, KeyError or TypeError where `data` is not what `asdict` made of a part."""
        shard = None if data["shard"] is None else Shard.parse(data["shard"])
        skipped = tuple((int(before), parse_skipped(entry)) for before, entry in data["skipped"])
        return cls(shard=shard, files=tuple(data["files"]), skipped=skipped)


def finished_store(store: Path, recipe: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of a store that is finished and was made by `recipe`; None where none is finished.

    Raises:
        StoreError: it is a store of another recipe or another version.
    """
    if not (store / MANIFEST).exists():
        return None
    manifest = Manifest.load(store / MANIFEST)
    if manifest.recipe != _as_json(recipe):
        raise StoreError(
            f"{store}: holds a finished store of other sources or options; choose another folder, or overwrite it "
            "(--overwrite)"
        )
    shutil.rmtree(store / UNFINISHED, ignore_errors=True)  # left where the process died between its last two steps
    return manifest


class Journal:
    """Opens `store` for writing, and keeps what is finished.

    Args:
        store: A folder that is new, empty, or an unfinished store of the same recipe.
        recipe: What the store is made from and how, as JSON.
        overwrite: Delete whatever store is there first.

    Raises:
        StoreError: the folder is something else, or another process is writing to it.
    """

    def __init__(self, store: Path, recipe: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.store = store
        self.recipe = _as_json(recipe)
        self._folder = store / UNFINISHED
        self._refuse_other_folders()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{store}: cannot be created: {error.strerror}; choose another folder") from error
        self._lock = _lock(self._folder)
        if overwrite:
            self._clear()
        for left in (*store.glob(f"*{PARTIAL}"), *self._folder.glob(f"*{PARTIAL}")):
            left.unlink(missing_ok=True)
        self._keep_recipe()

    def load(self, number: int) -> Part | None:
        """Return a part that an earlier run finished, or None where it must be done."""
        try:
            part = Part.parse(json.loads(_part_file(self.store, number).read_text(encoding="utf-8")))
            if part.shard and (self.store / part.shard.file).stat().st_size != part.shard.bytes:
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return part

    def finish(self, parts: Sequence[Part]) -> Manifest:
        """Make a store of `parts`, in this order, and delete the journal."""
        shards = tuple(part.shard for part in parts if part.shard)
        skipped = tuple(entry for part in parts for _, entry in part.skipped)
        manifest = Manifest(shards=shards, skipped=skipped, recipe=self.recipe)
        for stray in set(self.store.glob("shard-*.arrow")) - {self.store / shard.file for shard in shards}:
            stray.unlink()
        write_atomically(self.store / MANIFEST, manifest.to_json())
        shutil.rmtree(self._folder, ignore_errors=True)
        self.close()
        return manifest

    def close(self) -> None:
        """Let other processes write; the journal stays for the next run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _refuse_other_folders(self) -> None:
        if self.store.exists() and not self.store.is_dir():
            raise StoreError(f"{self.store}: is a file; name a folder for the store")
        is_store = (self.store / MANIFEST).exists() or self._folder.is_dir()
        if self.store.is_dir() and not is_store and any(self.store.iterdir()):
            raise StoreError(f"{self.store}: holds something that is no scene store; name a new or an empty folder")

    def _clear(self) -> None:
        for old in (self.store / MANIFEST, *self.store.glob("shard-*.arrow"), *self._folder.glob("*.json")):
            old.unlink(missing_ok=True)

    def _keep_recipe(self) -> None:
        file = self._folder / "recipe.json"
        recipe = json.dumps({"version": FORMAT_VERSION, "recipe": self.recipe})
        if not file.exists():
            write_atomically(file, recipe)
        elif file.read_text(encoding="utf-8") != recipe:
            self.close()
            raise StoreError(
                f"{self.store}: holds an unfinished store of other sources, options or version; run the same as before "
                "to finish it, choose another folder, or overwrite it (--overwrite)"
            )


def save_part(store: Path, number: int, part: Part) -> None:
    """Remember a finished part, whose shard is in its place already, in the journal of `store`.

    Raises:
        StoreError: the disk is full.
    """
    write_atomically(_part_file(store, number), json.dumps(asdict(part)))


def _part_file(store: Path, number: int) -> Path:
    return store / UNFINISHED / f"part-{number:05d}.json"


def _as_json(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as it reads back from a file, so that the two compare equal."""
    return dict(json.loads(json.dumps(recipe)))


def _lock(folder: Path) -> int | None:
    """Lock `folder` for this process, until it closes the lock or dies; without fcntl (Windows) nothing is locked."""
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{folder.parent}: another process is writing this store; wait for it to end") from error
    return descriptor
