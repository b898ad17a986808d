"""The files of an evaluation of realism."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trafficgym.report.files import REPORT, RESULTS, write_together
from trafficgym.report.realism import RealismEvaluation
from trafficgym.report.realism_html import render
from trafficgym.report.realism_results import to_json


def write(evaluation: RealismEvaluation, folder: Path, command: Sequence[str] = ()) -> list[Path]:
    """Write `report.html` and `results.json` to a folder, whole or not at all; return their paths.

    Args:
        command: The words of the command line, for `results.json`.

    Raises:
        ConfigError: the folder cannot be made or written.
    """

    def make(part: Path) -> list[str]:
        (part / REPORT).write_text(render(evaluation), encoding="utf-8")
        (part / RESULTS).write_text(to_json(evaluation, command), encoding="utf-8")
        return [REPORT, RESULTS]

    return write_together(make, folder)
