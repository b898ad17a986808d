"""A training with everything that must survive a kill: AdamW, dropout, a schedule, draws of NumPy, a dict."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.run import Run
from trafficgym_agents.training.scene_order import SceneOrder
from trafficgym_agents.training.schedule import Schedule, set_learning_rate
from trafficgym_agents.training.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Args:
    out: Path
    steps: int = 60
    seed: int = 3
    batch: int = 8
    lr: float = 0.01
    workers: int = 1
    save_seconds: float = 0.02
    step_s: float = 0.0
    """Sleep in each step, so that a kill has something to hit."""
    die: str = ""
    """What happens to the last worker in step 7: "kill", "raise", "nan" or "interrupt"."""


MAY_CHANGE = ("step_s", "die")


def train(args: Args, worker: Worker) -> None:
    rng = worker.seed(args.seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    order = SceneOrder(num_scenes=20, batch=args.batch, seed=args.seed, worker=worker)
    schedule, seen = Schedule(warm_up=5), {"largest": 0.0}
    budget = Budget(steps=args.steps)
    with Run(
        args.out, args, budget=budget, worker=worker, save_seconds=args.save_seconds, may_change=MAY_CHANGE
    ) as run:
        run.resume(model=model, optimizer=optimizer, rng=rng, seen=seen)
        (args.out / f"pid-{worker.rank}").write_text(str(os.getpid()))
        for step in run.steps():
            set_learning_rate(optimizer, args.lr * schedule.factor(order.epoch(step), 30, step=step))
            scenes = torch.from_numpy(order.scenes(step)).float()
            inputs = torch.sin(scenes[:, None] * torch.arange(1, 5)) + 0.1 * torch.from_numpy(rng.normal(size=4))
            loss = (model(inputs.float()) - scenes[:, None] / 20).square().mean()
            optimizer.zero_grad()
            loss.backward()
            worker.average_gradients(model.parameters(), len(scenes))
            optimizer.step()
            run.scenes += args.batch
            seen["largest"] = max(seen["largest"], loss.item())
            run.log(**worker.means({"loss": loss.item(), "largest": seen["largest"]}, len(scenes)))
            time.sleep(args.step_s)
            if step == 7 and worker.rank == worker.count - 1:
                die(args, model)


def die(args: Args, model: torch.nn.Module) -> None:
    if args.die == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if args.die == "raise":
        raise ZeroDivisionError("seven")
    if args.die == "nan":
        model[3].bias.data[0] = float("nan")  # type: ignore[index, union-attr]
    if args.die == "interrupt":
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # as `timeout -s INT` does


def final_state(folder: Path) -> dict[str, bytes]:
    """Bytes of every saved tensor: weights, moments, generators of all workers."""
    return {name: t.numpy().tobytes() for name, t in load_file(folder / "state.safetensors").items()}
