"""`trafficgym convert`: scenes in any known format become a scene store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trafficgym.cli.info import add_skipped
from trafficgym.errors import ConfigError
from trafficgym.scene import convert as conversion
from trafficgym.scene.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Args:
    """Convert scenes (WOMD, ScenarioNet, GPUDrive, Nocturne, Argoverse 2) into a store that opens at once.

    Killed or out of disk space, the same command goes on where it was. Status 0 where at least one scene was
    converted, else 1.
    """

    paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="SRC... DST")]
    """SRC: files, and folders of files, in any of the formats, which are told apart by content. DST: folder of the
    store, a new or an empty one, or one in which the same command was interrupted."""
    max_scenes: int | None = None
    """Stop after so many scenes, in the order of the sorted files."""
    workers: int | None = None
    """Processes (default: one a core); the store is the same whatever their number."""
    tensorflow: bool = False
    """Read TFRecords through TensorFlow, as ZLIB compression needs (pip install -e ".[womd]")."""
    overwrite: bool = False
    """Delete the store that is there first."""


def main(argv: Sequence[str]) -> int:
    """Convert; return 0 where the store holds a scene, else 1."""
    args = tyro.cli(Args, prog="trafficgym convert", args=list(argv))
    if len(args.paths) < 2:
        raise ConfigError("trafficgym convert needs a source and a folder for the store: trafficgym convert SRC... DST")
    *sources, store = args.paths
    options = conversion.ConvertOptions(
        max_scenes=args.max_scenes,
        workers=(os.cpu_count() or 1) if args.workers is None else args.workers,
        tensorflow=args.tensorflow,
        overwrite=args.overwrite,
    )
    began = time.perf_counter()
    with _progress_bar() as show:
        manifest, is_new = conversion.convert(sources, Path(store), options, show)
    if is_new:
        Console(markup=False).print(_closing_table(store, manifest, time.perf_counter() - began))
    else:
        print(f"{store} is complete: {manifest.num_scenes} scenes of the same sources; nothing to do")
    return 0 if manifest.num_scenes else 1


@contextmanager
def _progress_bar() -> Iterator[conversion.OnProgress]:
    columns = (
        TextColumn("convert"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[scenes]} scenes"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, scenes=0)

        def show(progress: conversion.Progress) -> None:
            bar.update(task, total=progress.num_files, completed=progress.files, scenes=progress.scenes)

        yield show


def _closing_table(store: str, manifest: Manifest, seconds: float) -> Table:
    scenes = manifest.num_scenes
    table = Table("", "", title=store, show_header=False)
    table.add_row("converted", f"{scenes} scenes in {seconds:.1f} s")
    table.add_row("size", f"{manifest.num_bytes / 1e6:.1f} MB in {len(manifest.shards)} files")
    table.add_row("bytes per scene", f"{manifest.num_bytes // scenes:,}" if scenes else "-")
    add_skipped(table, manifest.skipped)
    return table
