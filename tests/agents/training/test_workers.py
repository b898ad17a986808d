"""Several processes train as one would, and end together."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.agents.training.test_run import lines_in, metrics, wait_until
from tests.agents.training.tiny_training import Args, final_state, train
from trafficgym.errors import ConfigError
from trafficgym_agents.training.errors import TrainingError
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers

pytestmark = pytest.mark.usefixtures("start_process")  # the workers fork from the same process


def take_uneven_steps(folder: Path, worker: Worker) -> None:
    """Three steps of gradient descent; rows 0 to 5 are shared unevenly, and one parameter is used for row 5 only."""
    torch.manual_seed(worker.rank if worker.count > 1 else 0)  # the first worker's weights are what counts
    model = torch.nn.ModuleDict(
        {"all": torch.nn.Linear(3, 1), "last": torch.nn.Linear(3, 1), "none": torch.nn.Linear(3, 1)}
    )
    if worker.count > 1:
        torch.manual_seed(0)
        model.apply(lambda m: m.reset_parameters() if isinstance(m, torch.nn.Linear) else None)
    rows = torch.arange(18.0).reshape(6, 3) / 10
    mine = {0: rows[:2], 1: rows[2:]}[worker.rank] if worker.count > 1 else rows
    for _ in range(3):
        model.zero_grad()
        loss = model["all"](mine).square().sum()
        if torch.equal(mine[-1], rows[-1]):
            loss = loss + model["last"](mine[-1:]).sum()
        (loss / len(mine)).backward()
        assert worker.average_gradients(model.parameters(), len(mine)) == (6 if worker.count > 1 else len(mine))
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data -= 0.05 * parameter.grad
    assert model["none"].weight.grad is None
    assert worker.means({"first": mine[:, 0].mean().item()}, len(mine))["first"] == pytest.approx(0.75)
    np.save(folder / f"{worker.count}-{worker.rank}.npy", torch.cat([p.data.flatten() for p in model.parameters()]))


def test_two_workers_take_the_steps_of_one_with_all_rows(tmp_path: Path) -> None:
    take_uneven_steps(tmp_path, Worker())
    run_workers(take_uneven_steps, tmp_path, 2)
    alone, first, second = (np.load(tmp_path / f"{name}.npy") for name in ("1-0", "2-0", "2-1"))
    np.testing.assert_allclose(first, alone, rtol=1e-5, atol=1e-6)
    assert first.tobytes() == second.tobytes()


def test_a_killed_worker_ends_all_and_the_run_resumes_to_the_bit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, broken = (Args(out=tmp_path / name, workers=2, steps=20, save_seconds=0.0) for name in ("whole", "broken"))
    run_workers(train, whole, 2)
    with pytest.raises(TrainingError, match=r"worker 1 of 2 was killed \(SIGKILL\), perhaps for want of memory"):
        run_workers(train, replace(broken, die="kill"), 2)
    run_workers(train, broken, 2)
    assert metrics(broken.out) == metrics(whole.out)
    assert final_state(broken.out) == final_state(whole.out)
    generators = [final_state(whole.out)[f"/workers/{rank}/torch/cpu"] for rank in range(2)]
    assert generators[0] != generators[1]

    train(replace(whole, steps=22, workers=1), Worker())  # another number of workers is allowed, and said
    assert "2 workers saved this state and 1 go on: random numbers start anew" in capfd.readouterr().out
    assert [line["step"] for line in metrics(whole.out)] == list(range(22))


def test_an_exception_in_one_worker_is_the_error_of_all(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"(?s)worker 1 of 2 failed: ZeroDivisionError\('seven'\).*in die") as error:
        run_workers(train, Args(out=tmp_path / "run", workers=2, die="raise"), 2)
    assert "lost contact" not in str(error.value)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"worker 0 of 2 failed: .*config.json: is damaged, or no run's") as error:
        run_workers(train, Args(out=tmp_path / "other", workers=2), 2)
    assert "Traceback" not in str(error.value)


def train_as_script(args: Args) -> None:
    run_workers(train, args, args.workers)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ctrl_c_is_passed_on_and_the_workers_save(tmp_path: Path) -> None:
    def interrupt() -> None:
        wait_until(lambda: lines_in(tmp_path) > 3)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # as `timeout -s INT` does

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(SystemExit) as stopped:
        run_workers(train, Args(out=tmp_path, workers=2, steps=100_000, step_s=0.01, save_seconds=60.0), 2)
    thread.join()
    assert stopped.value.code == 130
    step = load_file(tmp_path / "state.safetensors")["/shared/optimizer/state/0/step"]
    assert step.item() == lines_in(tmp_path) > 3


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_workers_do_not_outlive_the_first_process(tmp_path: Path, start_process: Callable[..., BaseProcess]) -> None:
    process = start_process(train_as_script, Args(out=tmp_path, workers=2, steps=100_000, step_s=0.01))
    wait_until(lambda: lines_in(tmp_path) > 0)
    process.kill()
    process.join()
    pids = [int(path.read_text()) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers is 0"):
        run_workers(train, Args(out=tmp_path), 0)
