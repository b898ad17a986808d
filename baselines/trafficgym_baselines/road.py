"""RoaD: fine-tune SMART on its own rollouts, which stay near the log.

    python -m trafficgym_baselines.road --checkpoint runs/smart/smart.safetensors --out runs/road
    python -m trafficgym_baselines.road --checkpoint runs/smart/smart.safetensors --refresh None --out runs/road_once

At every half second each agent draws K tokens and executes the one that ends nearest to the log; what it learns is the
token that it executed (METHODS.md C). The rollouts are new every so many epochs, or made once.

Details: the paper leaves K, the learning rate and the epochs of this experiment open, and otherwise follows CAT-K, as
we do (see `catk`); K = 64 and a temperature of 1 are ours. The other settings of `ClosedLoop`, such as plain on-policy
sampling, are options here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from trafficgym.errors import TrafficgymError
from trafficgym_agents.algorithms.behaviour_cloning import Target
from trafficgym_agents.algorithms.closed_loop import ClosedLoop, Selector
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers
from trafficgym_baselines.fine_tuning import FineTuning, fine_tune


@dataclass(frozen=True, kw_only=True)
class Args(FineTuning):
    """Fine-tune SMART by RoaD."""

    k: int = 64
    """Samples to choose from."""
    refresh: int | None = 1
    """New rollouts every so many epochs; None: once."""
    temperature: float = 1.0
    """Of the samples."""
    selector: Selector = "samplek_closest"
    """What is executed; see `ClosedLoop`."""
    target: Target = "executed"
    """What is learned: the executed token, or the way back to the log."""
    out: Path = Path("runs/road")
    """Folder of the run."""


def train(args: Args, worker: Worker) -> None:
    """One worker's part of the training."""
    method = ClosedLoop(
        selector=args.selector,
        k=args.k,
        target=args.target,
        refresh=args.refresh,
        sampling=Sampling(top_k=None, temperature=args.temperature),
    )
    fine_tune(args, method, "RoaD", worker)


def main() -> None:
    args = tyro.cli(Args, prog="road")
    run_workers(train, args, args.workers)


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
