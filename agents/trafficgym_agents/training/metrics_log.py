"""metrics.jsonl, and the same as curves for TensorBoard."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from trafficgym.errors import ConfigError
from trafficgym.scene.atomic import write_atomically
from trafficgym_agents.training.event_file import EventFile

NAME = "metrics.jsonl"
RESERVED = ("step", "seconds", "scenes")


class MetricsLog:
    """One JSON object a line: step, seconds, scenes, and values by name; null for what is not finite.

    Opening drops the lines of steps that are not finished at `step`, and what a killed process left of a line, so
    that a resumed run leaves the same file as one that never stopped, but for the seconds.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = True) -> None:
        self.path = folder / NAME
        self._drop_from(step)
        self._file: TextIO = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - close closes it
        self._events = EventFile.create(folder / "tensorboard", step) if tensorboard else None

    def write(self, step: int, seconds: float, scenes: int, values: Mapping[str, float]) -> None:
        """Append a line.

        Raises:
            ConfigError: a value has a name that the line uses itself.
        """
        for name in RESERVED:
            if name in values:
                raise ConfigError(f"a metric cannot be called {name!r}; every line has that already")
        numbers = {name: float(value) for name, value in values.items()}
        line: dict[str, Any] = {"step": step, "seconds": round(seconds, 3), "scenes": scenes}
        line |= {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._events:
            self._events.write(step, numbers)

    def sync(self) -> None:
        """Let what is written survive a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        if self._events:
            self._events.close()

    def _drop_from(self, step: int) -> None:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        kept = "".join(line for line in text.splitlines(keepends=True) if _is_before(line, step))
        if kept != text:
            write_atomically(self.path, kept)


def _is_before(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and json.loads(line)["step"] < step
    except (ValueError, KeyError, TypeError):
        return False
