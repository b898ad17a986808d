"""RLFTSim: fine-tune a simulator by reinforcement, towards realism, and to go where it is told.

    python -m trafficgym_baselines.rlftsim --checkpoint runs/smart/smart.safetensors --out runs/rlftsim
    python -m trafficgym_baselines.rlftsim --checkpoint runs/rlftsim/policy.safetensors --goals indication \
        --method.objective.rmm 0.9 --method.objective.goal 0.1 --out runs/goals

In every step some scenes are rolled out four times each. What a rollout adds to the realism of the four (MLOO) is the
reward of all its decisions; a divergence from the policy that training began with is the price (METHODS.md D). Then the
checkpoint before and after are compared on held-out scenes, paired by scene.

With ``--goals`` the network learns to take goals, by a share of the agents at a time: where the log ends, or, in
hindsight, where the most realistic of the scene's last rollouts ended.

Details: AdamW with beta1 0.9 and weight decay 0.01, gradient norm clipped to 1, a warm-up and then a constant rate;
everything but the map encoder and the embeddings is trained. Ours, for small runs: a rate of 1e-4 where the paper has
3e-6 for a network of 7 million weights; rewards divided by their standard deviation; and, without
``--method.objective.credit scene``, a reward for each evaluated agent by its own part of the realism. Networks are in
evaluation mode throughout: with dropout, probabilities would not be those that actions were drawn by.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, TrafficgymError, check_whole
from trafficgym.metrics.wosac import Realism, find_config, mean_score
from trafficgym.scene.scene import Scene
from trafficgym_agents.algorithms.actors import Actor, Driven, TokenActor
from trafficgym_agents.algorithms.checkpoints import load_actor, save_actor
from trafficgym_agents.algorithms.closed_loop import freeze
from trafficgym_agents.algorithms.hindsight import goals_of_tracks, hindsight_goals, logged_goals
from trafficgym_agents.algorithms.kl_control import Leash
from trafficgym_agents.algorithms.objective import Objective
from trafficgym_agents.algorithms.reinforce import Experience, Reinforce, judge, policy_loss, reward_scale
from trafficgym_agents.policies.smart.conditioning import conditioned
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.training_scenes import TrainingScenes
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.checkpoint import Card
from trafficgym_agents.training.run import Run
from trafficgym_agents.training.scene_order import SceneOrder
from trafficgym_agents.training.schedule import Schedule, set_learning_rate
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers
from trafficgym_baselines import evaluate_simulators
from trafficgym_baselines.fine_tuning import Known
from trafficgym_baselines.sources import training_scenes

TRAINED = {"attention": None, "all_but_map": ("map_encoder.",)}
"""What is frozen: the map encoder and all embeddings, or the map encoder alone."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """Fine-tune a simulator by RLFTSim."""

    checkpoint: str = "micro"
    """What to begin with: a file, or the name of a shipped one."""
    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is held out; generated ones by default."""
    num_scenes: int = 400
    """How many are generated, or taken at most."""
    steps: int | None = None
    """Updates in all; 100 where --seconds is not given either."""
    seconds: float | None = None
    """Stop after this time, whatever the steps."""
    batch: int = 8
    """Scenes in an update, of all workers together."""
    rate: float = 1e-4
    """Learning rate; 3e-4 is good for networks that have hardly been trained."""
    warm_up: int = 10
    """Updates in which the rate rises."""
    method: Reinforce = field(
        default_factory=lambda: Reinforce(objective=Objective(credit="agent"), reward_scale="batch_std")
    )
    sampling: Sampling = field(default_factory=lambda: Sampling(top_k=8))
    """How actions are drawn, in training and evaluation; the paper draws from the 32 likeliest."""
    trained: Literal["attention", "all_but_map"] = "attention"
    """Which parameters learn: the attention of agents and the head, or everything but the map encoder."""
    goals: Literal["concatenation", "indication"] | None = None
    """How the network takes goals; None: as the checkpoint does, or not at all."""
    hindsight: float = 0.5
    """Chance that a scene's goals are where its last rollouts led, and not where the log did."""
    without_goal: float = 0.2
    """Chance that an agent has none."""
    seed: int = 0
    workers: int = 1
    """Processes that share each batch."""
    evaluate: int = 20
    """Held-out scenes that the checkpoints before and after are compared on; 0: none."""
    out: Path = Path("runs/rlftsim")
    """Folder of the run."""

    def __post_init__(self) -> None:
        check_whole(self, num_scenes=1, steps=1, batch=1, warm_up=0, workers=1, evaluate=0)
        for name in ("hindsight", "without_goal"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is a probability")


def train(args: Args, worker: Worker) -> None:
    """One worker's part of the training."""
    rng = worker.seed(args.seed)
    actor, parent = make_actor(args)
    network = actor.network.eval()
    frozen = TRAINED[args.trained]
    learning = freeze(network) if frozen is None else freeze(network, frozen)
    scenes, data = scenes_to_judge(args)
    world = Training(args, actor, TrainingScenes(scenes, network.vocabulary, trunk_config(network), seed=args.seed))
    order = SceneOrder(num_scenes=len(scenes), batch=args.batch, seed=args.seed, worker=worker)
    optimizer = torch.optim.AdamW(learning, args.rate, betas=(0.9, 0.999), weight_decay=0.01, fused=True)
    schedule, leash = Schedule(kind="constant", warm_up=args.warm_up), Leash(network, args.method.leash)
    steps = 100 if args.steps is None and args.seconds is None else args.steps
    budget = Budget(steps=steps, seconds=args.seconds)

    with Run(args.out, args, budget=budget, worker=worker) as run:
        run.resume(network=network, optimizer=optimizer, rng=rng, leash=leash, hindsight=world.hindsight)
        for step in run.steps():
            set_learning_rate(optimizer, args.rate * schedule.factor(run.fraction, 1.0, step=step))
            clock = Clock()
            driven, features = world.roll_out(order.scenes(step).tolist(), step)
            clock.lap("roll_out")
            experience = world.judge(driven)
            clock.lap("judge")
            square = worker.means({"square": experience.mean_square}, len(experience.judged))["square"]
            scale = reward_scale(args.method, square)
            loss = policy_loss(actor, experience, args.method, leash, scale=scale, map_features=features)
            optimizer.zero_grad()
            loss.total.backward()
            worker.average_gradients(learning, loss.count)
            norm = torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            clock.lap("learn")
            found = {"kl": loss.kl, "entropy": loss.entropy, "lost": loss.lost / loss.count} | measures(experience)
            found = worker.means(found, loss.count)
            leash.follow(network, found["kl"])
            run.scenes += args.batch
            rest = {"beta": leash.coefficient, "reward_std": square**0.5, "gradient_norm": float(norm)}
            run.log(loss=-found["rmm"], **found, **rest, **clock.laps)
        if worker.is_first:
            finish(args, actor, parent, run, data)


def scenes_to_judge(args: Args) -> tuple[Sequence[Scene], str]:
    """Scenes to train on; of the user's, those whose rollouts can be judged."""
    scenes, data = training_scenes(args.scenes, args.num_scenes)
    if args.scenes is None:
        return scenes, data
    found = [scene for scene in scenes if evaluate_simulators.can_be_scored(scene)]
    if not found:
        raise ConfigError(
            f"{args.scenes}: in none of {len(scenes)} scenes can rollouts be judged, which takes 91 steps, the 11th of "
            "them now, and an SDC or a track to predict"
        )
    return found, data if len(found) == len(scenes) else f"{data}; {len(found)} can be judged"


def make_actor(args: Args) -> tuple[Actor, Card]:
    """The policy to train, and the card of what it was."""
    actor, card = load_actor(args.checkpoint, args.sampling)
    if args.goals is None:
        return actor, card
    if not isinstance(actor, TokenActor) or actor.network.config.zero_fill_quirk:
        raise ConfigError(
            f"{args.checkpoint}: goals are for networks that choose tokens in the scene's frame; leave --goals out"
        )
    if actor.network.config.goal == args.goals:
        return actor, card
    return TokenActor(network=conditioned(actor.network, args.goals), sampling=args.sampling), card


def trunk_config(network: Any) -> SmartConfig:
    """The sizes of the layers that see the scene."""
    config: SmartConfig = getattr(network, "trunk", network).config
    return config


class Clock:
    """Seconds of the parts of a step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[f"seconds/{name}"], self._last = now - self._last, now


class Training:
    """The scenes of a training, how they are rolled out, and where agents are told to go."""

    def __init__(self, args: Args, actor: Actor, scenes: TrainingScenes) -> None:
        self.args, self.actor, self.scenes = args, actor, scenes
        self.hindsight: dict[str, Any] = {}
        """By number of the scene, where its most realistic rollout ended, ``[A, 2]``."""
        self._known = Known(scenes, actor.network)
        self._realisms: dict[int, Realism] = {}
        self._takes_goals = trunk_config(actor.network).goal is not None
        self._now: tuple[list[int], list[NDArray[np.float32]] | None] = ([], None)

    def roll_out(self, numbers: list[int], step: int) -> tuple[Driven, Any]:
        """Roll scenes out; return what came of it, and the features of their maps for all to use."""
        args, goals = self.args, None
        batch, features = self._known.batch(numbers)
        if self._takes_goals:
            goals = [self._goals(number, step) for number in numbers]
            batch = batch.with_goals(goals_of_tracks([self.scenes[n] for n in numbers], goals))
        self._now = numbers, goals
        # By step and scene, so that a resumed run draws what it would have drawn.
        num = args.method.rollouts
        rngs = [np.random.default_rng([args.seed, step, number, i]) for number in numbers for i in range(num)]
        return self.actor.roll_out(batch, num, rngs, features), features

    def judge(self, driven: Driven) -> Experience:
        """Say what the last rollouts earn, and remember where the best of them ended."""
        numbers, goals = self._now
        tokens, realisms = [self.scenes[n] for n in numbers], [self._realism(n) for n in numbers]
        experience = judge(self.args.method, driven, realisms, tokens, goals)
        if goals is not None and self.args.hindsight:
            for number, judged, tracks in zip(numbers, experience.judged, experience.tracks, strict=True):
                self.hindsight[str(number)] = hindsight_goals(tracks, judged.single)
        return experience

    def _realism(self, number: int) -> Realism:
        if number not in self._realisms:
            self._realisms[number] = Realism(self.scenes.scenes[number])
        return self._realisms[number]

    def _goals(self, number: int, step: int) -> NDArray[np.float32]:
        """Of all tracks of a scene, ``[A, 2]``; NaN for those without."""
        args = self.args
        rng = np.random.default_rng([args.seed, step, number])
        in_hindsight = rng.random() < args.hindsight and str(number) in self.hindsight
        scene = self.scenes.scenes[number]
        goals = np.array(self.hindsight[str(number)] if in_hindsight else logged_goals(scene), np.float32)
        goals[rng.random(len(goals)) < args.without_goal] = np.nan
        return goals


def measures(experience: Experience) -> dict[str, float]:
    """What rollouts were like, means over scenes."""
    scores = [judged.score for judged in experience.judged]
    mean = mean_score(scores, find_config(scores[0].config))
    found = {"rmm": mean.metametric, "ade": mean.ade, "min_ade": mean.min_ade, **mean.rates}
    found |= {f"likelihood/{name}": value for name, value in mean.likelihoods.items()}
    reached = [judged.reached.mean() for judged in experience.judged if judged.reached is not None]
    if reached:
        found["reached"] = float(np.mean(reached))
    return found


def finish(args: Args, actor: Actor, parent: Card, run: Run, data: str) -> None:
    """Write the checkpoint, and compare it with what it was."""
    path = args.out / "policy.safetensors"
    note = {"steps": run.step, "scenes": run.scenes, "seconds": round(run.seconds), "method": repr(args.method)}
    card = Card(kind="", config={}, algorithm="RLFTSim", data=data, seed=args.seed, parent=parent.sha256, note=note)
    save_actor(path, actor, card)
    run.say(f"wrote {path}")
    if args.evaluate:
        evaluate_simulators.compare(
            evaluate_simulators.Args(
                simulators=(f"before={args.checkpoint}", f"after={path}"),
                scenes=args.scenes,
                num_scenes=args.evaluate,
                sampling=args.sampling,
                goals="log" if trunk_config(actor.network).goal is not None else "none",
                workers=args.workers,
                habits=True,
                out=args.out / "evaluation",
            )
        )


def main() -> None:
    args = tyro.cli(Args, prog="rlftsim")
    run_workers(train, args, args.workers)


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
