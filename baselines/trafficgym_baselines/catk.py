"""CAT-K: fine-tune SMART where its own likeliest moves lead, towards the log.

    python -m trafficgym_baselines.catk --checkpoint runs/smart/smart.safetensors --out runs/catk

At every half second each agent takes, of its 32 likeliest tokens, the one that ends nearest to the log; what it learns
there is the token, of all, that leads back to the log. The rollouts are new in every step (METHODS.md B).

Details: only the attention layers of agents and the head are trained; labels are not smoothed; AdamW, weight decay
0.01, gradient norm clipped to 0.5, cosine over the steps to 5 %. Ours: a rate of 5e-4 and batches of 8 scenes, where
the paper has 5e-5 and 80; rollouts and frozen layers without dropout; relations from tables of 1024 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from trafficgym.errors import TrafficgymError
from trafficgym_agents.algorithms.closed_loop import ClosedLoop
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers
from trafficgym_baselines.fine_tuning import FineTuning, fine_tune


@dataclass(frozen=True, kw_only=True)
class Args(FineTuning):
    """Fine-tune SMART by CAT-K."""

    k: int = 32
    """Likeliest tokens to choose from."""
    out: Path = Path("runs/catk")
    """Folder of the run."""


def train(args: Args, worker: Worker) -> None:
    """One worker's part of the training."""
    method = ClosedLoop(selector="topk_closest", k=args.k, target="recovery", refresh=1)
    fine_tune(args, method, "CAT-K", worker)


def main() -> None:
    args = tyro.cli(Args, prog="catk")
    run_workers(train, args, args.workers)


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
