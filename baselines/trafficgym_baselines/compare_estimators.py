"""MLOO and RLOO side by side, without training: variances of rewards, and signal and noise of gradients.

    python -m trafficgym_baselines.compare_estimators --scenes val --num-scenes 50 --out runs/estimators

RLFTSim's proposition 3: the variance of MLOO's rewards falls as ``1 / R^2`` with the number R of rollouts in a group,
that of RLOO's stays (METHODS.md D.1). Part of that is scale, since a rollout moves the mean of R by ``1 / R``; what
counts for learning is the signal-to-noise ratio of gradients, which is measured beside it.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, TrafficgymError, check_whole
from trafficgym.metrics.bootstrap import interval
from trafficgym.metrics.wosac import Realism
from trafficgym.report.scene_pool import as_done
from trafficgym.scene.atomic import write_atomically
from trafficgym_agents.algorithms.actors import TokenActor
from trafficgym_agents.algorithms.closed_loop import freeze
from trafficgym_agents.algorithms.estimators import power_law, reward_gradients, reward_variance, signal_and_noise
from trafficgym_agents.algorithms.objective import Objective
from trafficgym_agents.algorithms.reinforce import Reinforce, judge
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.simulation import simulate
from trafficgym_baselines.evaluate_simulators import load_simulator, scenes_to_score

Float64 = NDArray[np.float64]
OBJECTIVES = {"mloo": Objective(), "rloo": Objective(estimator="rloo")}


@dataclass(frozen=True, kw_only=True)
class Args:
    """Compare estimators on scenes."""

    checkpoint: str = "micro"
    """Drives."""
    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is used; generated ones by default."""
    num_scenes: int = 50
    sizes: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Rollouts in a group."""
    rollouts: int = 32
    """Of each scene, from which the groups are taken."""
    group: int = 4
    """Rollouts behind a gradient."""
    sampling: Sampling = field(default_factory=lambda: Sampling(top_k=32))
    seed: int = 0
    workers: int = 1
    out: Path = Path("runs/estimators")

    def __post_init__(self) -> None:
        check_whole(self, num_scenes=2, rollouts=2, group=2, workers=1)


def measure(args: Args, number: int) -> tuple[int, dict[str, list[float]], dict[str, NDArray[np.float32]]]:
    """Variances by estimator, and a gradient, of one scene; runs in any process."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    scene = scenes_to_score(args.scenes, args.num_scenes)[number]
    actor, tokenizer = load_simulator(args.checkpoint, args.sampling)
    if not isinstance(actor, TokenActor):
        raise ConfigError(f"{args.checkpoint}: is no SMART checkpoint")
    freeze(actor.network)
    realism, tokens = Realism(scene), tokenizer(scene)
    rollouts = next(simulate(actor.network, [scene], [tokens], args.sampling, num=args.rollouts, seed=args.seed))
    variances = {
        name: reward_variance(objective, realism, rollouts, args.sizes).tolist()
        for name, objective in OBJECTIVES.items()
    }
    method = Reinforce(rollouts=args.group)
    rngs = [np.random.default_rng([args.seed, number, i]) for i in range(args.group)]
    driven = actor.roll_out(Batch.of([tokens]), args.group, rngs)
    done = {
        name: judge(replace(method, objective=objective), driven, [realism], [tokens])
        for name, objective in OBJECTIVES.items()
    }
    gradients = reward_gradients(actor, done["mloo"], [one.reward for one in done.values()])
    return number, variances, dict(zip(OBJECTIVES, gradients.numpy(), strict=True))


def slopes(sizes: tuple[int, ...], variances: Float64) -> tuple[float, float, float]:
    """Exponent of the mean over scenes of variances ``[S, len(sizes)]``, with its interval over scenes."""

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([power_law(sizes, row) for row in weights @ variances])

    found = interval(statistic, len(variances))
    assert found is not None
    return found.value, found.low, found.high


def main() -> None:
    args = tyro.cli(Args, prog="compare_estimators")
    num = len(scenes_to_score(args.scenes, args.num_scenes))
    found = sorted(as_done(partial(measure, args), range(num), args.workers), key=lambda one: one[0])
    table: dict[str, Any] = {"num_scenes": num, "sizes": args.sizes}
    print(f"{num} scenes, {args.rollouts} rollouts of each by {args.checkpoint}")
    for name in OBJECTIVES:
        variances = np.array([variance[name] for _, variance, _ in found])
        slope = slopes(args.sizes, variances)
        signal = signal_and_noise(np.stack([gradient[name] for _, _, gradient in found]))
        table[name] = {"variances": variances.mean(0).tolist(), "slope": slope, "signal_to_noise": signal.ratio}
        by_size = "  ".join(f"R={size} {value:.1e}" for size, value in zip(args.sizes, variances.mean(0), strict=True))
        print(f"{name}: variance of rewards {by_size}; slope {slope[0]:+.2f} [{slope[1]:+.2f}, {slope[2]:+.2f}]")
        print(f"{name}: signal-to-noise of a scene's gradient, {args.group} rollouts: {signal.ratio:.4f}")
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / "estimators.json", json.dumps(table, indent=1))


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
