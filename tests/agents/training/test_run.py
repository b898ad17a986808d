"""A run goes on where it was killed, to the bit, and never continues as another one."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.training.tiny_training import Args, final_state, train
from trafficgym.errors import ConfigError
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.errors import TrainingError
from trafficgym_agents.training.run import Run
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(Args(out=folder, save_seconds=60.0), Worker())
    return folder


def assert_same_run(folder: Path, other: Path) -> None:
    assert metrics(folder) == metrics(other)
    assert final_state(folder) == final_state(other)


def lines_in(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, uninterrupted: Path, start_process: Callable[..., BaseProcess]
) -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        before = lines_in(tmp_path)
        process = start_process(train, Args(out=tmp_path, step_s=0.003), Worker())
        wait_until(lambda more=before + 3: lines_in(tmp_path) >= more)
        time.sleep(rng.uniform(0, 0.06))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert 0 < len(metrics(tmp_path)) < 60
    train(Args(out=tmp_path), Worker())
    assert_same_run(tmp_path, uninterrupted)


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """As in a terminal; a shell starts what runs in its background with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_finishes_the_step_and_saves(
    tmp_path: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = Args(out=tmp_path, save_seconds=60.0)
    with pytest.raises(SystemExit) as stopped:
        run_workers(train, replace(args, die="interrupt"))
    assert stopped.value.code == 130
    assert "stopped after step 8, which is saved" in capsys.readouterr().out
    train(args, Worker())
    assert_same_run(tmp_path, uninterrupted)


def test_a_longer_budget_continues_a_finished_run(tmp_path: Path, uninterrupted: Path) -> None:
    train(Args(out=tmp_path, steps=20), Worker())
    train(Args(out=tmp_path, steps=20), Worker())  # nothing is left to do
    assert len(metrics(tmp_path)) == 20
    train(Args(out=tmp_path), Worker())
    assert_same_run(tmp_path, uninterrupted)


def test_other_options_are_refused_by_name(tmp_path: Path) -> None:
    args = Args(out=tmp_path, steps=2)
    train(args, Worker())
    with pytest.raises(ConfigError, match=r"other options: batch was 8 and is now 4, lr was 0.01 and is now 0.1;"):
        train(replace(args, batch=4, lr=0.1), Worker())
    with Run(tmp_path, replace(args, batch=4), budget=Budget(steps=2), accept_changes=True):
        pass
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["args"]["batch"] == 4
    assert [set(session) for session in config["sessions"]] == [{"began", "argv", "versions"}] * 2


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_state_gives_way_to_the_one_before(
    tmp_path: Path, uninterrupted: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(Args(out=tmp_path, steps=10, save_seconds=0.0), Worker())
    state = tmp_path / "state.safetensors"
    data = bytearray(state.read_bytes())
    data[-100] ^= 1
    state.write_bytes(data[:-1000] if damage == "truncated" else data)
    if damage == "missing":  # killed between the two renames
        state.unlink()
    train(Args(out=tmp_path), Worker())
    assert_same_run(tmp_path, uninterrupted)
    said = capsys.readouterr().out
    assert (damage == "missing") or (f"{state}: is damaged" in said and "state.previous.safetensors" in said)


def test_nothing_but_damage_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    train(Args(out=tmp_path, steps=5, save_seconds=0.0), Worker())
    for name in ("state.safetensors", "state.previous.safetensors"):
        (tmp_path / name).write_bytes(b"not a state")
    with pytest.raises(TrainingError, match=r"state.safetensors: is damaged .*state.previous.* in another folder"):
        train(Args(out=tmp_path), Worker())


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    args = Args(out=tmp_path, save_seconds=0.0)
    with pytest.raises(TrainingError, match=r"model has weights that are not finite, in '3.bias' after step 8"):
        train(replace(args, die="nan"), Worker())
    state = final_state(tmp_path)
    assert all(np.isfinite(np.frombuffer(state[f"/shared/model/{name}"], "f4")).all() for name in ("0.bias", "3.bias"))
    assert metrics(tmp_path)[-1]["step"] == 7


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    first = Run(tmp_path, Args(out=tmp_path), budget=Budget(steps=1))
    with pytest.raises(TrainingError, match="another process trains in this folder"):
        Run(tmp_path, Args(out=tmp_path), budget=Budget(steps=1))
    first.close()
    Run(tmp_path, Args(out=tmp_path), budget=Budget(steps=1)).close()


def test_a_state_of_other_parts_is_refused(tmp_path: Path) -> None:
    def resume(**parts: Any) -> None:
        with Run(tmp_path, Args(out=tmp_path), budget=Budget(steps=1)) as run:
            run.resume(**parts)
            list(run.steps())

    resume(model=torch.nn.Linear(2, 3))
    with pytest.raises(TrainingError, match=r"'weight' of shape \[3, 2\], where the model has \[3, 4\]"):
        resume(model=torch.nn.Linear(4, 3))
    with pytest.raises(TrainingError, match="'rng' is in one only"):
        resume(model=torch.nn.Linear(2, 3), rng=np.random.default_rng(0))


def test_the_time_budget_counts_across_sessions(tmp_path: Path) -> None:
    def session(seconds: float) -> int:
        with Run(tmp_path, Args(out=tmp_path), budget=Budget(seconds=seconds)) as run:
            run.resume(model=torch.nn.Linear(1, 1))
            for _ in run.steps():
                time.sleep(0.01)
            assert run.fraction == 1
            return run.step

    first = session(0.05)
    assert first >= 1
    assert session(0.05) == first
    assert session(0.1) > first
