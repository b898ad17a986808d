"""The files of evaluations, in their folder whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from trafficgym.errors import ConfigError
from trafficgym.report.evaluation import Evaluation
from trafficgym.report.html import render
from trafficgym.report.recording import UNFINISHED
from trafficgym.report.results import to_json
from trafficgym.report.worst import draw_worst

RESULTS, REPORT = "results.json", "report.html"


def write(evaluation: Evaluation, folder: Path, *, gifs: int = 3) -> list[Path]:
    """Write `results.json`, `report.html` and pictures of the `gifs` worst scenes; return their paths.

    Raises:
        ConfigError: the folder cannot be made or written.
    """

    def make(part: Path) -> list[str]:
        clips = draw_worst(evaluation, gifs, part)
        (part / REPORT).write_text(render(evaluation, clips), encoding="utf-8")
        (part / RESULTS).write_text(to_json(evaluation), encoding="utf-8")
        return [*(clip.path.name for clip in clips), REPORT, RESULTS]

    return write_together(make, folder, replaces="worst-*.*")


def write_together(make: Callable[[Path], list[str]], folder: Path, *, replaces: str = "") -> list[Path]:
    """Let `make` write files into an empty folder, and move them to `folder`; return their paths.

    Everything is made in a hidden folder beside and moved in one file at a time at the end, in the order of the names
    that `make` returns. What was there under the same names is replaced; interrupted before that, it is left as it was.

    Args:
        replaces: Pattern of names of an earlier run that go.

    Raises:
        ConfigError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{UNFINISHED}*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as name:
            part = Path(name)
            names = make(part)
            for stale in folder.glob(replaces) if replaces else ():
                stale.unlink()
            for file in names:
                os.replace(part / file, folder / file)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written: {error.strerror or error}; choose another folder with --out"
        ) from error
    return [folder / file for file in names]
