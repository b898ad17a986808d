"""`trafficgym info`: what a scene store, or a file or folder of scenes, holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from trafficgym.errors import SceneError
from trafficgym.scene.manifest import Counts
from trafficgym.scene.readers import Skipped, find_sources, read
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import is_store
from trafficgym.scene.store import SceneStore

_MOST_ROWS = 20  # of skipped records; the manifest has them all


@dataclass(frozen=True, kw_only=True)
class Args:
    """Say what a scene store holds; plain source files and folders of them are read through for it."""

    store: tyro.conf.Positional[Path]
    """A scene store, or a file or folder of scenes in any format that `trafficgym convert` reads."""
    scene: str | None = None
    """Only the scene with this id."""
    verify: bool = False
    """Also compare every byte of the store with the hashes that were taken when it was written."""


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    args = tyro.cli(Args, prog="trafficgym info", args=list(argv))
    console = Console(markup=False)  # a reason may hold [brackets]
    if args.scene is not None:
        console.print(_scene_table(_find_scene(args.store, args.scene)))
    elif is_store(args.store):
        store = SceneStore(args.store)
        if args.verify:
            store.verify()
        console.print(_store_table(store))
    else:
        console.print(_files_table(args.store))
    return 0


def add_skipped(table: Table, skipped: Sequence[Skipped]) -> None:
    """Add what was skipped to a table of two columns, one row a reason."""
    table.add_row("skipped", str(len(skipped)))
    reasons: dict[str, list[str]] = {}
    for entry in skipped:
        reasons.setdefault(entry.reason, []).append(entry.where)
    for reason, places in list(reasons.items())[:_MOST_ROWS]:
        others = f" and {len(places) - 1} more" if len(places) > 1 else ""
        table.add_row("", f"{places[0]}{others} {reason}")
    if len(reasons) > _MOST_ROWS:
        table.add_row("", f"and for {len(reasons) - _MOST_ROWS} more reasons")


def _find_scene(path: Path, id: str) -> Scene:
    if is_store(path):
        return SceneStore(path)[id]
    for file in find_sources([path]):
        for item in read(file):
            if isinstance(item, Scene) and item.id == id:
                return item
    raise SceneError(f"{path}: has no scene {id!r}; `trafficgym info {path}` shows what it has")


def _store_table(store: SceneStore) -> Table:
    manifest = store.manifest
    table = Table("", "", title=str(store.path), show_header=False)
    _add_counts(table, len(store), manifest.counts())
    table.add_row("bytes", f"{manifest.num_bytes:,} in {len(manifest.shards)} files")
    if len(store):
        table.add_row("bytes per scene", f"{manifest.num_bytes // len(store):,}")
        table.add_row("ids", ", ".join(store.ids[:3]) + (", ..." if len(store) > 3 else ""))
    table.add_row("made from", _made_from(manifest.recipe))
    add_skipped(table, manifest.skipped)
    return table


def _files_table(path: Path) -> Table:
    files = find_sources([path])
    counts, skipped, scenes = Counts(), [], 0
    for file in files:
        for item in read(file):
            if isinstance(item, Scene):
                counts.update(Counts.of(item))
                scenes += 1
            else:
                skipped.append(item)
    table = Table("", "", title=str(path), show_header=False)
    _add_counts(table, scenes, counts)
    table.add_row("bytes", f"{sum(file.stat().st_size for file in files):,} in {len(files)} files")
    add_skipped(table, skipped)
    return table


def _scene_table(scene: Scene) -> Table:
    table = Table("", "", title=f"scene {scene.id}", show_header=False)
    _add_counts(table, 1, Counts.of(scene))
    low, high = _extent(scene)
    sdc = "not marked" if scene.sdc is None else f"track {scene.tracks.id[scene.sdc]}"
    table.add_row("now", f"step {scene.current_step} of {scene.num_steps}")
    table.add_row("valid states", f"{scene.tracks.valid.mean():.0%} of {scene.tracks.valid.size:,}")
    table.add_row("recording car", sdc)
    table.add_row("to predict", ", ".join(map(str, scene.tracks.id[scene.tracks.to_predict])) or "none")
    table.add_row("map points", f"{len(scene.road.xyz):,}")
    table.add_row("lane graph", "yes" if scene.road.has_lane_graph else "no")
    table.add_row("extent", f"{high[0] - low[0]:.0f} m x {high[1] - low[1]:.0f} m")
    table.add_row("origin", ", ".join(f"{value:.3f}" for value in scene.origin) + " m")
    return table


def _extent(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    tracks = scene.tracks
    states = np.stack([tracks.x[tracks.valid], tracks.y[tracks.valid]], axis=1)
    points = np.concatenate([states, scene.road.xyz[:, :2]])
    return points.min(axis=0), points.max(axis=0)


def _add_counts(table: Table, scenes: int, counts: Counts) -> None:
    table.add_row("scenes", str(scenes))
    table.add_row("sources", _listing(counts.sources))
    table.add_row("steps", ", ".join(f"{steps} in {count}" for steps, count in sorted(counts.steps.items())) or "none")
    table.add_row("agents", _listing(counts.agents))
    table.add_row("map features", _listing(counts.features))
    table.add_row("signals", _listing(counts.signals))


def _listing(counts: Mapping[str, int]) -> str:
    """The total, then the kinds, the most frequent first."""
    kinds = sorted(counts.items(), key=lambda item: -item[1])
    listing = ", ".join(f"{count:,} {name.lower().replace('_', ' ')}" for name, count in kinds)
    return f"{sum(counts.values()):,}: {listing}" if kinds else "none"


def _made_from(recipe: Mapping[str, object]) -> str:
    sources, files = recipe.get("sources"), recipe.get("files")
    if isinstance(sources, list):
        return f"{', '.join(map(str, sources))} ({files} files)"
    return str(recipe.get("recipe") or "a program")
