"""config.json of a run: with which options it was started, by what."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import trafficgym
from trafficgym.errors import ConfigError
from trafficgym.scene.atomic import write_atomically
from trafficgym_agents.training.plain import differences, plain

NAME = "config.json"
FORMAT = "trafficgym-run-1"
MAY_CHANGE = ("out", "folder", "budget", "steps", "epochs", "seconds", "workers", "save_seconds", "accept_changes")
"""Options that a run may be continued with other values of: how long, where, with how many hands."""


def write_config(folder: Path, args: Any, may_change: Collection[str] = (), *, accept_changes: bool = False) -> None:
    """Write config.json, or check that the one that is there was written for the same options.

    The file names the options, and every session: when, with which command line and versions.

    Args:
        folder: Of the run; exists.
        args: Frozen dataclass of the script.
        may_change: Names of options that may differ, beside `MAY_CHANGE`.
        accept_changes: Take the new options, whatever differs.

    Raises:
        ConfigError: other options differ, or the file is damaged.
    """
    path = folder / NAME
    now = plain(args)
    sessions = []
    if path.exists():
        before = _read(path)
        if not accept_changes:
            _check_same(folder, before["args"], now, {*MAY_CHANGE, *may_change})
        sessions = before["sessions"]
    content = {"format": FORMAT, "args": now, "sessions": [*sessions, _session()]}
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def _check_same(folder: Path, before: Any, now: Any, may_change: Collection[str]) -> None:
    found = [d for d in differences(before, now) if d[0].split(".")[0] not in may_change]
    if found:
        shown = ", ".join(f"{name} was {_shown(old)} and is now {_shown(new)}" for name, old, new in found)
        raise ConfigError(
            f"{folder}: holds a run with other options: {shown}; give it the same ones, train in another folder, or "
            "accept the changes"
        )


def _shown(value: Any) -> str:
    return "not an option" if value is ... else repr(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT and "args" in content and isinstance(content["sessions"], list):
            return content
        reason = f"its format is {content['format']!r}, not {FORMAT!r}"
    except (ValueError, KeyError, TypeError) as error:
        reason = repr(error)
    raise ConfigError(f"{path}: is damaged, or no run's ({reason}); train in another folder")


def _session() -> dict[str, Any]:
    versions = {
        "trafficgym": trafficgym.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
    began = datetime.now(UTC).isoformat(timespec="seconds")
    return {"began": began, "argv": sys.argv, "versions": versions}
