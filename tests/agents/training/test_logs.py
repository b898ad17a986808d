"""What a person reads while training: lines of metrics, curves, progress."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from trafficgym.errors import ConfigError
from trafficgym.scene.readers.tfrecord import records
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.metrics_log import MetricsLog
from trafficgym_agents.training.progress import Progress, progress_line


def test_lines_are_json_and_unfinished_ones_go(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, tensorboard=False)
    for step in range(3):
        log.write(step, 0.12345, 8 * step, {"loss": 1.5, "likelihood/speed": float("nan")})
    log.close()
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    assert json.loads(whole.splitlines()[1]) == {
        "step": 1, "seconds": 0.123, "scenes": 8, "loss": 1.5, "likelihood/speed": None,
    }  # fmt: skip
    path.write_text(whole + '{"step": 3, "sec')  # killed while it wrote
    MetricsLog(tmp_path, 2, tensorboard=False).close()
    assert path.read_text().splitlines() == whole.splitlines()[:2]


def test_a_metric_cannot_hide_the_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be called 'seconds'"):
        MetricsLog(tmp_path, 0, tensorboard=False).write(0, 0.0, 0, {"seconds": 1.0})


def events(path: Path) -> list[Any]:
    with open(path, "rb") as stream:
        return [Event.FromString(record) for record in records(stream)]


def test_tensorboard_is_told_which_steps_are_void(tmp_path: Path) -> None:
    """Its readers drop what came at or after the step of a START; files are read in the order of their names."""
    for first_step in (0, 2):
        log = MetricsLog(tmp_path, first_step)
        for step in range(first_step, first_step + 3):
            log.write(step, 0.0, 0, {"loss": step / 2})
        log.close()
    first, second = (events(path) for path in sorted((tmp_path / "tensorboard").iterdir()))
    assert first[0].file_version == "brain.Event:2"
    assert [(e.step, e.summary.value[0].tag, e.summary.value[0].simple_value) for e in first[2:]] == [
        (0, "loss", 0.0), (1, "loss", 0.5), (2, "loss", 1.0),
    ]  # fmt: skip
    assert (second[1].session_log.status, second[1].step) == (SessionLog.START, 2)


def test_progress_says_what_is_left_of_the_tighter_budget() -> None:
    line = progress_line(Budget(steps=2000, seconds=7200.0), 1000, 100.0, 4.0, 2.34567)
    assert line == "step 1000   50 %   4.0 steps/s   loss 2.346   4:10 left"
    assert progress_line(Budget(seconds=4000.0), 10, 100.0, 0.1, None) == "step 10   2 %   10.0 s/step   1:05:00 left"


def test_progress_is_quiet_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("trafficgym_agents.training.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    progress = Progress(Budget(steps=100), stream)
    for step in range(25):
        now = float(step)
        progress.show(step, now, 1.0, None)
    assert [line.split("   ")[0] for line in stream.getvalue().splitlines()] == ["step 10", "step 20"]
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_progress_on_a_terminal_stays_on_one_line_until_something_is_said() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(Budget(steps=2), stream)
    progress._interval = 0.0
    progress.show(1, 1.0, 1.0, None)
    progress.show(2, 2.0, 1.0, None)
    progress.say("done")
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().endswith("left\x1b[K\ndone\n")
