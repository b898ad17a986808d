"""The manifest of a scene store: which shards there are, what is in them, what was skipped, and where it came from."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import StoreError
from trafficgym.scene.readers import Skipped
from trafficgym.scene.scene import AgentType, RoadType, Scene
from trafficgym.scene.shard import FORMAT_VERSION

FORMAT = "trafficgym scene store"
MANIFEST = "manifest.json"
_SHARD_FILE = re.compile(r"shard-\d{5,9}\.arrow")

_T = TypeVar("_T")


def shard_file(number: int) -> str:
    """The name of a store's shard number `number`."""
    return f"shard-{number:05d}.arrow"


@dataclass(kw_only=True)
class Counts:
    """What some scenes hold, by kind; a kind that does not occur has no entry."""

    sources: dict[str, int] = field(default_factory=dict)  # scenes by Scene.source
    steps: dict[str, int] = field(default_factory=dict)  # scenes by number of steps
    agents: dict[str, int] = field(default_factory=dict)  # tracks by AgentType name
    features: dict[str, int] = field(default_factory=dict)  # map features by RoadType name
    signals: dict[str, int] = field(default_factory=dict)  # signalled lanes by "mapped" or "unmapped"

    @classmethod
    def of(cls, scene: Scene) -> Counts:
        return cls(
            sources={scene.source: 1},
            steps={str(scene.num_steps): 1},
            agents=_by_name(scene.tracks.type, AgentType),
            features=_by_name(scene.road.type, RoadType),
            signals=_by_name(scene.signals.lane >= 0, {0: "unmapped", 1: "mapped"}),
        )

    def update(self, other: Counts) -> None:
        """Add what `other` counted."""
        for part in fields(self):
            mine: dict[str, int] = getattr(self, part.name)
            for name, count in getattr(other, part.name).items():
                mine[name] = mine.get(name, 0) + count

    @classmethod
    def parse(cls, data: Any) -> Counts:
        """Raises ValueError where `data` is not what `asdict` made of counts."""
        return cls(**{part.name: _counts(data, part.name) for part in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of a store."""

    file: str
    bytes: int
    sha256: str
    ids: tuple[str, ...]  # of its scenes, in order
    counts: Counts

    @classmethod
    def parse(cls, data: Any) -> Shard:
        """Raises ValueError where `data` is no shard, or names a file outside of the store."""
        file = _get(data, "file", str)
        if not _SHARD_FILE.fullmatch(file):
            raise ValueError(f"{file!r} is not the name of a shard")
        ids = _get(data, "ids", list)
        if not all(isinstance(id, str) for id in ids):
            raise ValueError(f"an id of {file} is not a text")
        size, digest = _get(data, "bytes", int), _get(data, "sha256", str)
        return cls(
            file=file, bytes=size, sha256=digest, ids=tuple(ids), counts=Counts.parse(_get(data, "counts", dict))
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a finished store says about itself, kept in its `manifest.json`."""

    shards: tuple[Shard, ...]
    skipped: tuple[Skipped, ...]
    recipe: Mapping[str, Any]  # the sources and options that it was made with; equal recipes make equal stores

    @property
    def num_scenes(self) -> int:
        return sum(len(shard.ids) for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Of all shards; the manifest itself is not counted."""
        return sum(shard.bytes for shard in self.shards)

    def counts(self) -> Counts:
        """What all the scenes hold."""
        total = Counts()
        for shard in self.shards:
            total.update(shard.counts)
        return total

    def to_json(self) -> str:
        head = {"format": FORMAT, "version": FORMAT_VERSION, "scenes": self.num_scenes, "counts": asdict(self.counts())}
        return json.dumps(head | asdict(self), indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a store's manifest.

        Raises:
            StoreError: the file cannot be read, is damaged or hostile, or is of another version.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                raise ValueError(f"it does not say {FORMAT!r}")
            if data.get("version") == FORMAT_VERSION:
                return cls._parse(data)
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(
                f"{path}: is no usable manifest of a scene store: {error}; convert the scenes again"
            ) from error
        raise StoreError(
            f"{path.parent}: the store has format version {data.get('version')}, this trafficgym reads version "
            f"{FORMAT_VERSION}; convert the scenes again (trafficgym convert --overwrite)"
        )

    @classmethod
    def _parse(cls, data: Mapping[str, Any]) -> Manifest:
        shards = tuple(Shard.parse(shard) for shard in _get(data, "shards", list))
        _check_distinct("shard", [shard.file for shard in shards])
        _check_distinct("scene id", [id for shard in shards for id in shard.ids])
        skipped = tuple(parse_skipped(entry) for entry in _get(data, "skipped", list))
        return cls(shards=shards, skipped=skipped, recipe=_get(data, "recipe", dict))


def parse_skipped(data: Any) -> Skipped:
    """Raises ValueError where `data` is not what `asdict` made of a Skipped."""
    return Skipped(where=_get(data, "where", str), reason=_get(data, "reason", str))


def _by_name(numbers: NDArray[Any], names: type[IntEnum] | Mapping[int, str]) -> dict[str, int]:
    known = names if isinstance(names, Mapping) else {int(kind): kind.name for kind in names}
    kinds, counts = np.unique(numbers, return_counts=True)
    return {known.get(int(kind), str(kind)): int(count) for kind, count in zip(kinds, counts, strict=True)}


def _get(data: Any, key: str, kind: type[_T]) -> _T:
    if not isinstance(data, dict) or not isinstance(data.get(key), kind):
        raise ValueError(f"{key!r} is missing or not a JSON {kind.__name__}")
    return data[key]


def _counts(data: Any, key: str) -> dict[str, int]:
    mapping = _get(data, key, dict)
    if not all(isinstance(value, int) for value in mapping.values()):
        raise ValueError(f"{key!r} holds something that is not a count")
    return mapping


def _check_distinct(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]!r} occurs more than once")
