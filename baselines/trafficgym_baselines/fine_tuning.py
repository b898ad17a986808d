"""The loop that `catk` and `road` share: roll out, stay near the log, learn from where that led."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trafficgym_agents.algorithms.behaviour_cloning import imitation_loss
from trafficgym_agents.algorithms.closed_loop import ClosedLoop, freeze, visit
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.checkpoint import load_smart, save_smart
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS, evaluating
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.training_scenes import TrainingScenes
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.checkpoint import Card
from trafficgym_agents.training.run import Run
from trafficgym_agents.training.scene_order import SceneOrder
from trafficgym_agents.training.schedule import Schedule, set_learning_rate
from trafficgym_agents.training.worker import Worker
from trafficgym_baselines.sources import training_scenes

Tensor = Any


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """Options of every closed-loop fine-tuning."""

    checkpoint: Path
    """What to begin with."""
    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is held out; generated ones by default."""
    num_scenes: int = 400
    """How many are generated, or taken at most."""
    epochs: float = 8.0
    """Times that each scene is trained on."""
    seconds: float | None = None
    """Stop after this time, whatever the epochs."""
    batch: int = 8
    """Scenes in a step, of all workers together."""
    rate: float = 5e-4
    """Peak learning rate."""
    seed: int = 0
    workers: int = 1
    """Processes that share each batch."""
    out: Path
    """Folder of the run."""


def fine_tune(args: FineTuning, method: ClosedLoop, name: str, worker: Worker) -> None:
    """One worker's part of the training.

    Args:
        args: The options.
        method: How states are visited, and what is learned there.
        name: Of the algorithm, for the checkpoint's card.
        worker: This process.
    """
    rng = worker.seed(args.seed)
    network, parent = load_smart(args.checkpoint)
    trained = freeze(network)
    scenes, data = training_scenes(args.scenes, args.num_scenes)
    known = Known(TrainingScenes(scenes, network.vocabulary, network.config, seed=args.seed), network)
    order = SceneOrder(num_scenes=len(scenes), batch=args.batch, seed=args.seed, worker=worker)
    optimizer = torch.optim.AdamW(trained, args.rate, weight_decay=0.01, fused=True)
    schedule = Schedule(minimum=0.05)
    budget = Budget(steps=round(args.epochs * order.steps_per_epoch), seconds=args.seconds)

    network.train()
    with Run(args.out, args, budget=budget, worker=worker) as run:
        run.resume(network=network, optimizer=optimizer, rng=rng, visited=known.visited)
        for step in run.steps():
            set_learning_rate(optimizer, args.rate * schedule.factor(run.fraction, 1.0))
            numbers = order.scenes(step).tolist()
            batch, features = known.batch(numbers)
            if method.is_fresh(order.epoch(step)) or not known.has(numbers):
                # By step and scene, so that a resumed run draws what it would have drawn.
                rngs = [np.random.default_rng([args.seed, step, number]) for number in numbers]
                batch = visit(network, batch, method, rngs, map_features=features)
                if method.refresh != 1:
                    known.keep(numbers, batch)
            else:
                batch = known.again(numbers, batch)
            loss = imitation_loss(network, batch, target=method.target, map_features=features, table_rows=TABLE_ROWS)
            optimizer.zero_grad()
            loss.mean.backward()
            worker.average_gradients(trained, loss.count)
            torch.nn.utils.clip_grad_norm_(trained, 0.5)
            optimizer.step()
            run.scenes += args.batch
            away = strayed(batch)
            run.log(**worker.means({"loss": loss.mean.item(), "strayed": away}, loss.count))
        if worker.is_first:
            note = {"steps": run.step, "scenes": run.scenes, "seconds": round(run.seconds), "method": repr(method)}
            card = Card(
                kind="smart", config={}, algorithm=name, data=data, seed=args.seed, parent=parent.sha256, note=note
            )
            save_smart(args.out / "smart.safetensors", network, card)
            run.say(f"wrote {args.out / 'smart.safetensors'}")


def strayed(batch: Batch) -> float:
    """Mean distance from the log at the ends of tokens, m."""
    agents = batch.agents
    counts = agents.raw_valid & agents.valid & agents.learns[:, None]
    return float((agents.xy - agents.raw_xy).norm(dim=-1)[counts].mean()) if counts.any() else 0.0


class Known:
    """Scenes with the features of their maps, which do not change as the map encoder is frozen; and what was visited.

    The frozen layers work without dropout, unlike in the reference (golden/smart/README.md section 6.14).
    """

    FIELDS = ("token", "xy", "yaw", "valid")

    def __init__(self, scenes: TrainingScenes, network: SmartNetwork) -> None:
        self.scenes, self.network = scenes, network
        self.visited: dict[str, Tensor] = {}
        self._features: dict[int, Tensor] = {}

    def batch(self, numbers: list[int]) -> tuple[Batch, Tensor]:
        """Scenes side by side, and the features of their map tokens."""
        for number in numbers:
            if number not in self._features:
                self._features[number] = self._encode(number)
        return self.scenes.batch(numbers), torch.cat([self._features[number] for number in numbers])

    @torch.no_grad()
    def _encode(self, number: int) -> Tensor:
        with evaluating(self.network):
            return self.network.encode_map(self.scenes.batch([number]).map, TABLE_ROWS)

    def has(self, numbers: list[int]) -> bool:
        """Whether all of these scenes were visited."""
        return all(f"{number}.token" in self.visited for number in numbers)

    def keep(self, numbers: list[int], batch: Batch) -> None:
        """Remember where a visit led."""
        for place, number in enumerate(numbers):
            rows = batch.agents.scene == place
            for name in self.FIELDS:
                self.visited[f"{number}.{name}"] = getattr(batch.agents, name)[rows]

    def again(self, numbers: list[int], batch: Batch) -> Batch:
        """The batch where the last visit led."""
        values = {name: torch.cat([self.visited[f"{number}.{name}"] for number in numbers]) for name in self.FIELDS}
        return Batch(scene_ids=batch.scene_ids, map=batch.map, agents=batch.agents.moved(**values))
