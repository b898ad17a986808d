"""A control: reinforcement must not make the perfect simulator more realistic than it is.

    python -m trafficgym_baselines.expert_control --out runs/expert_control

The law that made the generated scenes drives them again, with factors on five hidden traits of everybody: desired
speed, headway, acceleration, braking, noise. Their logarithms are the one decision of a rollout, drawn from normal
distributions that begin at the truth, 0. They learn by the same REINFORCE as networks do. A metric that could be gamed
would draw them away and rise; one that is proper leaves held-out realism where it was, up to noise.

``--begin`` starts somewhere else, for the opposite control: from wrong factors there is something to learn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import nn

from trafficgym.errors import ConfigError, TrafficgymError, check_whole
from trafficgym.metrics.bootstrap import paired_difference
from trafficgym.metrics.wosac import Realism
from trafficgym.report.scene_pool import as_done
from trafficgym.scene.atomic import write_atomically
from trafficgym.scene.scene import Scene
from trafficgym.world.config import WorldConfig
from trafficgym.world.dynamics import TargetPose
from trafficgym.world.roll_out import roll_out_batch
from trafficgym_agents.algorithms.actors import Decisions, Driven
from trafficgym_agents.algorithms.kl_control import KlControl, Leash
from trafficgym_agents.algorithms.objective import Judged, Objective
from trafficgym_agents.algorithms.reinforce import Experience, Reinforce, policy_loss, reward_scale
from trafficgym_agents.policies.distributions import Gaussian
from trafficgym_baselines.evaluate_simulators import tracks_of
from trafficgym_baselines.sources import TRAINING_SEEDS
from trafficgym_scenarios import expert_policy, nominal_scene
from trafficgym_scenarios.nominal import columns

Tensor = Any
Float64 = NDArray[np.float64]

TRAITS = {
    "speed": columns.SPEED_FACTOR,
    "headway": columns.HEADWAY,
    "acceleration": columns.MAX_ACCELERATION,
    "braking": columns.BRAKING,
    "noise": columns.NOISE_STD,
}


@dataclass(frozen=True, kw_only=True)
class Args:
    """Fine-tune the law that made the scenes."""

    steps: int = 40
    batch: int = 8
    """Scenes in an update."""
    num_scenes: int = 200
    """Generated scenes to train on."""
    rate: float = 0.02
    """Of Adam, in logarithms of factors."""
    spread: float = 0.1
    """Standard deviation of the logarithms while training."""
    begin: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """Logarithms of the factors on speed, headway, acceleration, braking and noise at first."""
    method: Reinforce = field(
        default_factory=lambda: Reinforce(reward_scale="batch_std", leash=KlControl(coefficient=0.0))
    )
    evaluate: int = 30
    """Held-out scenes."""
    rollouts: int = 16
    """Of each held-out scene."""
    seed: int = 0
    workers: int = 1
    """Processes."""
    out: Path = Path("runs/expert_control")

    def __post_init__(self) -> None:
        check_whole(self, steps=1, batch=1, num_scenes=1, evaluate=1, rollouts=2, workers=1)
        if len(self.begin) != len(TRAITS):
            raise ConfigError(f"begin has {len(self.begin)} numbers; give {len(TRAITS)}, for {', '.join(TRAITS)}")


class Factors(nn.Module):
    """Logarithms of the factors: their means are learned."""

    def __init__(self, begin: tuple[float, ...], spread: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(begin))
        self.spread = spread

    def distribution(self, num: int) -> Gaussian:
        mean = self.mean.expand(num, -1)
        return Gaussian(mean=mean, sigma=torch.full_like(mean, self.spread))


class FactorActor:
    """Decides once, before a rollout; see `Actor`."""

    def __init__(self, network: Factors) -> None:
        self.network = network

    def decisions(self, network: Factors, batch: Any, map_features: Tensor | None = None) -> Decisions:
        """The batch is the factors that were drawn, ``[n, 5]``."""
        num = len(batch)
        return Decisions(agent=torch.arange(num), distribution=network.distribution(num), action=batch)

    def roll_out(self, *args: Any, **options: Any) -> Driven:
        raise ConfigError("factors drive no batch of tokens; use `drive`")


def drive(scene: Scene, factors: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Rollouts of the law with other traits, one for each row of logarithms ``[R, 5]``, ``[R, A, 80, 4]``."""
    found = np.zeros((len(factors), scene.num_agents, 80, 4), np.float32)
    for i, row in enumerate(factors):
        policy = expert_policy(scene, int(np.random.SeedSequence([seed, i]).generate_state(1)[0]))
        drivers = policy.run.traffic.drivers
        table = drivers.table.copy()
        table[:, list(TRAITS.values())] *= np.exp(row)
        policy.run = replace(policy.run, traffic=replace(policy.run.traffic, drivers=replace(drivers, table=table)))
        (run,) = roll_out_batch(scene, policy, [0], dynamics=TargetPose(), config=WorldConfig(horizon=80))
        found[i] = tracks_of([run], scene)[0]
    return found


def judged(objective: Objective, work: tuple[int, Float64, int]) -> tuple[int, Judged]:
    """What rollouts of the scene of a seed earn; runs in any process."""
    number, factors, seed = work
    scene = nominal_scene(number)
    return number, objective(Realism(scene), drive(scene, factors, seed))


def train(args: Args) -> tuple[Factors, list[dict[str, float]]]:
    """Learn factors; return them, and a line for each step."""
    actor = FactorActor(Factors(args.begin, args.spread))
    optimizer, leash = torch.optim.Adam(actor.network.parameters(), args.rate), Leash(actor.network, args.method.leash)
    lines = []
    for step in range(args.steps):
        rng = np.random.default_rng([args.seed, step])
        numbers = TRAINING_SEEDS + rng.choice(args.num_scenes, args.batch, replace=False)
        normal = rng.standard_normal((args.batch, args.method.rollouts, len(TRAITS)))
        drawn = actor.network.mean.detach().numpy() + args.spread * normal
        work = [(int(number), one, step) for number, one in zip(numbers, drawn, strict=True)]
        found = dict(as_done(partial(judged, args.method.objective), work, args.workers))
        by_scene = tuple(found[int(number)] for number in numbers)
        reward = torch.from_numpy(np.concatenate([one.rewards for one in by_scene]).astype(np.float32))
        batch: Any = torch.from_numpy(drawn.reshape(-1, len(TRAITS)).astype(np.float32))
        experience = Experience(batch=batch, judged=by_scene, tracks=(), reward=reward)
        scale = reward_scale(args.method, experience.mean_square)
        loss = policy_loss(actor, experience, args.method, leash, scale=scale)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        rmm = float(np.mean([one.score.metametric for one in by_scene]))
        mean = dict(zip(TRAITS, actor.network.mean.tolist(), strict=True))
        lines.append({"step": step, "rmm": rmm, **mean})
        print("  ".join(f"{name} {value:.3f}" for name, value in lines[-1].items()), flush=True)
    return actor.network, lines


def realism_of(args: Args, mean: Float64) -> Float64:
    """Held-out realism of the law with these factors, and no spread, of each scene."""
    factors = np.tile(mean, (args.rollouts, 1))
    work = [(number, factors, args.seed) for number in range(args.evaluate)]
    found = dict(as_done(partial(judged, Objective()), work, args.workers))
    return np.array([found[number].score.metametric for number in range(args.evaluate)])


def main() -> None:
    args = tyro.cli(Args, prog="expert_control")
    factors, lines = train(args)
    before, after = (realism_of(args, np.asarray(m)) for m in (args.begin, factors.mean.detach().numpy()))
    ones = np.ones(args.evaluate)
    difference = paired_difference((after, ones), (before, ones))
    assert difference is not None
    print(
        f"held-out RMM {before.mean():.4f} before, {after.mean():.4f} after: "
        f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    )
    found = {"lines": lines, "before": before.tolist(), "after": after.tolist()}
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / "expert_control.json", json.dumps(found, indent=1))


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
