"""Behaviour cloning of SMART: the next half second of every agent, from its past, the map and the others.

    python -m trafficgym_baselines.pretrain_smart --seconds 300 --out runs/smart
    python -m trafficgym_baselines.pretrain_smart --scenes train --preset nano --vocabulary vocabulary.safetensors
    python -m trafficgym_baselines.pretrain_smart --actions plans --seconds 300 --out runs/plans
    python -m trafficgym_baselines.pretrain_smart --init micro --goals indication --seconds 300 --out runs/goals

Started again with the same options it goes on where it was. The checkpoint, ``smart.safetensors`` in the run's folder,
is written at the end.

Details (METHODS.md A.5): targets are the tokens nearest to the log from where the tokenised agent is; spatial label
smoothing of 0.1; AdamW, weight decay 0.01, gradient norm clipped to 0.5; the learning rate falls by a cosine, over the
steps, to 1 %; relations are read from tables of 1024 rows (`fourier.Tables`), which gradients flow through. A scene
keeps its noise and the agents that carry loss for the whole training. Ours: batches of 8 scenes and a rate of 2e-3 for
micro, where the paper has 80 and 5e-4 for 7 million parameters. With ``--actions plans`` the same layers have a head
over trajectories (`TrajectoryNetwork`), and imitate the log by likelihood; that writes ``trajectory.safetensors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.scene.scene import Scene
from trafficgym_agents.algorithms.behaviour_cloning import imitation_loss
from trafficgym_agents.algorithms.cross_entropy import Smoothing
from trafficgym_agents.algorithms.hindsight import goals_of_tracks, logged_goals
from trafficgym_agents.algorithms.plan_imitation import plan_imitation_loss
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.checkpoint import load_smart, save_smart
from trafficgym_agents.policies.smart.conditioning import conditioned
from trafficgym_agents.policies.smart.config import preset
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.noise import TokenNoise
from trafficgym_agents.policies.smart.training_scenes import TrainingScenes
from trafficgym_agents.policies.smart.trajtok import SMALL_TRAJTOK
from trafficgym_agents.policies.smart.vocabulary import Vocabulary
from trafficgym_agents.policies.smart.vocabulary_builder import build_vocabulary
from trafficgym_agents.policies.trajectory.checkpoint import load_trajectory, save_trajectory
from trafficgym_agents.policies.trajectory.config import TrajectoryConfig
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.checkpoint import Card
from trafficgym_agents.training.run import Run
from trafficgym_agents.training.scene_order import SceneOrder
from trafficgym_agents.training.schedule import Schedule, set_learning_rate
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers
from trafficgym_baselines.sources import training_scenes

VOCABULARY_SCENES = 200
NO_GOALS = "goals are for networks that choose tokens; leave --goals or --actions plans out"


@dataclass(frozen=True, kw_only=True)
class Args:
    """Train SMART by behaviour cloning."""

    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is held out; generated ones by default."""
    num_scenes: int = 800
    """How many are generated, or taken at most."""
    preset: str = "micro"
    """Sizes of the network: tiny, mini, nano, micro."""
    actions: Literal["tokens", "plans"] = "tokens"
    """What agents decide on: motion tokens, or trajectories."""
    vocabulary: Path | None = None
    """Words, from `build_vocabulary`; by default a small vocabulary is made from the first 200 scenes."""
    init: str | None = None
    """Checkpoint to begin with, a file or the name of a shipped one; its preset and vocabulary hold."""
    goals: Literal["concatenation", "indication"] | None = None
    """Agents are told where their log ends, and how the network takes that; None: they are not."""
    without_goal: float = 0.2
    """With goals, the chance that an agent has none."""
    steps: int | None = None
    """Steps of optimisation in all; 1000 where --seconds is not given either."""
    seconds: float | None = None
    """Time in all; the learning rate then follows the clock, so that no two runs are the same to the bit."""
    batch: int = 8
    """Scenes in a step, of all workers together."""
    rate: float = 2e-3
    """Peak learning rate."""
    smoothing: Smoothing = field(default_factory=Smoothing)
    noise: TokenNoise = field(default_factory=TokenNoise)
    seed: int = 0
    workers: int = 1
    """Processes that share each batch."""
    out: Path = Path("runs/smart")
    """Folder of the run."""


def make_network(args: Args, scenes: Sequence[Scene]) -> tuple[SmartNetwork | TrajectoryNetwork, str | None]:
    """The network to train, and the hash of the checkpoint that it begins with."""
    if args.init is not None:
        if args.vocabulary is not None:
            raise ConfigError("give --init or --vocabulary, not both: a checkpoint has its own vocabulary")
        loaded, card = load_smart(args.init) if args.actions == "tokens" else load_trajectory(args.init)
        if args.goals is None or (isinstance(loaded, SmartNetwork) and loaded.config.goal == args.goals):
            return loaded, card.sha256
        if not isinstance(loaded, SmartNetwork):
            raise ConfigError(NO_GOALS)
        return conditioned(loaded, args.goals), card.sha256
    if args.vocabulary is not None:
        vocabulary = Vocabulary.load(args.vocabulary)
    else:
        first = (scenes[i] for i in range(min(VOCABULARY_SCENES, len(scenes))))
        vocabulary = build_vocabulary(first, rng=np.random.default_rng(0), motions=SMALL_TRAJTOK)  # for every seed
    config = replace(preset(args.preset), goal=args.goals)
    if args.actions == "plans":
        if args.goals is not None:
            raise ConfigError(NO_GOALS)
        return TrajectoryNetwork(TrajectoryConfig(trunk=config), vocabulary), None
    return SmartNetwork(config, vocabulary), None


def told(args: Args, known: TrainingScenes, numbers: list[int], step: int) -> Any:
    """Goals of the agents of a batch, ``[N, 2]`` m: where their logs end, NaN for those that are told nothing."""
    goals = []
    for number in numbers:
        of_scene = logged_goals(known.scenes[number])
        rng = np.random.default_rng([args.seed, step, number])
        of_scene[rng.random(len(of_scene)) < args.without_goal] = np.nan
        goals.append(of_scene)
    return goals_of_tracks([known[number] for number in numbers], goals)


def imitation(args: Args, network: SmartNetwork | TrajectoryNetwork, batch: Batch) -> tuple[Any, int, dict[str, float]]:
    """The mean loss, how many decisions it is of, and how near the likeliest are to the log."""
    if isinstance(network, TrajectoryNetwork):
        plans = plan_imitation_loss(network, batch, table_rows=TABLE_ROWS)
        return plans.mean, plans.count, {"away": plans.away / max(plans.count, 1)}
    tokens = imitation_loss(network, batch, smoothing=args.smoothing, table_rows=TABLE_ROWS)
    return tokens.mean, tokens.count, {"hits": tokens.hits / max(tokens.count, 1)}


def train(args: Args, worker: Worker) -> None:
    """One worker's part of the training."""
    rng = worker.seed(args.seed)
    scenes, data = training_scenes(args.scenes, args.num_scenes)
    network, parent = make_network(args, scenes)
    trunk = network.trunk if isinstance(network, TrajectoryNetwork) else network
    known = TrainingScenes(scenes, network.vocabulary, trunk.config, seed=args.seed, noise=args.noise)
    order = SceneOrder(num_scenes=len(known), batch=args.batch, seed=args.seed, worker=worker)
    optimizer = torch.optim.AdamW(network.parameters(), args.rate, weight_decay=0.01, fused=True)
    steps = 1000 if args.steps is None and args.seconds is None else args.steps
    budget, schedule = Budget(steps=steps, seconds=args.seconds), Schedule()

    network.train()
    with Run(args.out, args, budget=budget, worker=worker) as run:
        run.resume(network=network, optimizer=optimizer, rng=rng)
        for step in run.steps():
            rate = args.rate * schedule.factor(run.fraction, 1.0)
            set_learning_rate(optimizer, rate)
            numbers = order.scenes(step)
            batch = known.batch(numbers)
            if trunk.config.goal is not None:
                batch = batch.with_goals(told(args, known, numbers.tolist(), step))
            loss, count, nearness = imitation(args, network, batch)
            optimizer.zero_grad()
            loss.backward()
            worker.average_gradients(network.parameters(), count)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()
            run.scenes += args.batch
            run.log(**worker.means({"loss": loss.item(), **nearness}, count))
        if worker.is_first:
            note = {"steps": run.step, "scenes": run.scenes, "seconds": round(run.seconds)}
            card = Card(
                kind="smart",
                config={},
                algorithm="behaviour cloning",
                data=data,
                seed=args.seed,
                parent=parent,
                note=note,
            )
            if isinstance(network, TrajectoryNetwork):
                save_trajectory(args.out / "trajectory.safetensors", network, card)
            else:
                save_smart(args.out / "smart.safetensors", network, card)
            run.say(f"wrote a checkpoint to {args.out}")


def main() -> None:
    args = tyro.cli(Args, prog="pretrain_smart")
    run_workers(train, args, args.workers)


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
