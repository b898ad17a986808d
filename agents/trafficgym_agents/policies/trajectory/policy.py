"""A trajectory network that drives agents of worlds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym.world.dynamics import TargetPose
from trafficgym.world.state import DT, VX, VY, YAW, X, Y
from trafficgym.world.world import World
from trafficgym_agents.policies.distributions import Gaussian
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS, STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS
from trafficgym_agents.policies.smart.following import Episode, Follower, slices
from trafficgym_agents.policies.smart.known_scenes import KnownScenes
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_agents.policies.trajectory.checkpoint import load_trajectory
from trafficgym_agents.policies.trajectory.decoding import PlanSampling
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.poses import own_velocity, placed
from trafficgym_agents.policies.trajectory.states import log_velocity, on_log

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Tensor = Any


class TrajectoryPolicy:
    """Drives by the plans of a network: a `trafficgym.world.controllers.Policy` with dynamics of its own.

    Every half second it takes in where everybody is, as `SmartPolicy` does, and plans; between, it goes on with what
    it has planned. Tracks that the network does not see ("other" in WOMD) go straight on at their present velocity.

    Args:
        network: Its weights may change, in place, between episodes.
        sampling: How plans are drawn, with numbers from each world's own generator.
        name: What it is called in results.
        sees_newcomers: See `SmartPolicy`.
        table_rows: See `SmartNetwork.forward`.
    """

    def __init__(
        self,
        network: TrajectoryNetwork,
        sampling: PlanSampling | None = None,
        *,
        name: str = "trajectory",
        sees_newcomers: bool = True,
        table_rows: int = TABLE_ROWS,
    ) -> None:
        self.network, self.sampling, self.name = network, sampling or PlanSampling(), name
        self.dynamics = TargetPose()
        self._follower = Follower(KnownScenes(network.trunk, LogTokenizer(network), table_rows), sees_newcomers)

    @classmethod
    def load(cls, path: Path | str, sampling: PlanSampling | None = None, *, name: str = "trajectory") -> Self:
        """The policy of a checkpoint; see `load_trajectory`."""
        return cls(load_trajectory(path)[0], sampling, name=name)

    @property
    def is_random(self) -> bool:
        """Whether other seeds give other plans."""
        return self.sampling.temperature > 0

    def act(self, world: World, mask: Bool) -> Float:
        """Where to be in 0.1 s: x, y [m] and yaw [rad] in the scene frame; see `Policy.act`.

        Raises:
            SceneError: an episode begins without a vehicle, pedestrian or cyclist.
            ConfigError: it has not been asked from the beginning of an episode on, every 0.1 s, or the network is
                broken.
        """
        memory = world.memory_of(self)
        paths, velocities = memory.setdefault("paths", {}), memory.setdefault("velocities", {})
        phase = (world.step_index - world.start_step) % STEPS_PER_TOKEN
        due = np.flatnonzero(mask.any(1) & (phase == 0)).tolist()
        for b in due:
            paths[b] = straight_on(world, b)
        if due:
            self._plan(world, due, memory.setdefault("episodes", {}), paths, velocities)
        actions = np.zeros((*mask.shape, 3), np.float32)
        for b in np.flatnonzero(mask.any(1)).tolist():
            if b not in paths:
                raise ConfigError(f"policy {self.name!r} was not asked at the beginning of the episode of world {b}")
            actions[b] = paths[b][:, phase[b]]
        return actions

    @torch.no_grad()
    def _plan(
        self,
        world: World,
        due: list[int],
        episodes: dict[int, Episode],
        paths: dict[int, Float],
        velocities: dict[int, Float],
    ) -> None:
        """Write the next half second of worlds `due`, ``[N, 5, 3]``, and velocities at its end, ``[N, 3]``."""
        was_training = self.network.training
        self.network.eval()
        try:
            for worlds, features in self._follower.follow(world, due, episodes):
                known = [episodes[b] for b in worlds]
                for b, episode, rows in zip(worlds, known, slices([len(one) for one in known]), strict=True):
                    is_first = episode.step == world.start_step[b]
                    before = self._at_start(episode) if is_first else velocities[b][episode.slot]
                    velocity = torch.from_numpy(before).to(features.device)
                    plan = self._drawn(self.network.plans(features[rows], velocity), episode, world.rng[b])
                    way = self.network.space.trajectory(plan, velocity)[:, :STEPS_PER_TOKEN]
                    pose = torch.from_numpy(world.state.table[b, episode.slot][:, (X, Y, YAW)]).to(features.device)
                    paths[b][episode.slot] = placed(pose, way).cpu().numpy()
                    velocities[b] = np.zeros((len(paths[b]), 3), np.float32)
                    velocities[b][episode.slot] = own_velocity(way[:, -2], way[:, -1]).cpu().numpy()
        finally:
            self.network.train(was_training)

    def _at_start(self, episode: Episode) -> Float:
        """Velocities in the agents' frames, as `log_velocity` has them, ``[n, 3]``."""
        batch = Batch.of([self._follower.known.of(episode.beginning).tokens])
        return log_velocity(batch.agents)[:, HISTORY_TOKENS - 1].numpy()

    def _drawn(self, plans: Gaussian, episode: Episode, rng: np.random.Generator) -> Tensor:
        """Plans of an episode's agents, ``[n, S, 3]``."""
        if bool(plans.mean.isnan().any()):
            raise ConfigError(f"policy {self.name!r}: the network gives NaN; its weights are broken, train it again")
        if not self.is_random:
            return plans.mode
        # Agents that appeared later drive by their logs. So many numbers as `decoding.roll_out` takes.
        uniform = np.full((len(plans), plans.num_draws), 0.5, np.float32)
        uniform[: episode.num_first] = rng.random((episode.num_first, plans.num_draws), np.float32)
        drawn = self.sampling.distribution(plans).sample(torch.from_numpy(uniform).to(plans.mean.device))
        return drawn[:, 0]


class LogTokenizer(Tokenizer):
    """Tokenises scenes with agents where their logs are, as `on_log` puts them."""

    def __init__(self, network: TrajectoryNetwork) -> None:
        super().__init__(network.vocabulary)
        self.network = network

    def __call__(self, scene: Scene, **options: Any) -> SceneTokens:
        tokens = super().__call__(scene, **options)
        agents = tokens.agents
        device = str(self.network.trunk.sizes.device)
        token = on_log(self.network, Batch.of([tokens], device)).agents.token.cpu().numpy()
        moved = replace(agents, token=token, xy=agents.raw_xy, yaw=agents.raw_yaw, target=None)
        return replace(tokens, agents=moved)


def straight_on(world: World, b: int) -> Float:
    """The next half second of all slots of a world at their present velocity, ``[N, 5, 3]``."""
    table = world.state.table[b]
    seconds = DT * np.arange(1, STEPS_PER_TOKEN + 1, dtype=np.float32)
    path = np.repeat(table[:, None, (X, Y, YAW)], STEPS_PER_TOKEN, 1)
    path[..., :2] += seconds[:, None] * table[:, None, (VX, VY)]
    return path
