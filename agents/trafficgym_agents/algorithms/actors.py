"""Policies as policy gradients see them, whatever their actions are: rollouts, and distributions over what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.distributions import Distribution
from trafficgym_agents.policies.smart import decoding as token_decoding
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.simulation import from_the_log
from trafficgym_agents.policies.trajectory import decoding as plan_decoding
from trafficgym_agents.policies.trajectory.decoding import PlanSampling
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.states import PlanBatch

Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Driven:
    """Rollouts of a batch."""

    batch: Batch
    """As it was driven; its agents are those of ``agents.repeat(R)``."""
    steps: Tensor
    """float32 (N, 80, 3): x, y [m] and yaw [rad] at every 0.1 s after "now"."""
    in_source: bool = False
    """Whether these are the source's coordinates, and not the scene's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decisions:
    """The n decisions of rollouts, and what they were drawn from."""

    agent: Tensor
    """int64 (n,) rows of the driven batch."""
    distribution: Distribution
    action: Tensor
    """(n, \\*A)"""


class Actor(Protocol):
    """A network and how its actions are drawn."""

    @property
    def network(self) -> Any: ...

    def roll_out(
        self, batch: Batch, num: int, rngs: Sequence[np.random.Generator], map_features: Tensor | None = None
    ) -> Driven:
        """Drive each scene so many times; for the arguments see `smart.decoding.roll_out`. No gradients."""
        ...

    def decisions(self, network: Any, batch: Batch, map_features: Tensor | None = None) -> Decisions:
        """What a network, this actor's or one like it, would have drawn the driven actions from; with gradients."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenActor:
    """Draws tokens."""

    network: SmartNetwork
    sampling: Sampling = field(default_factory=lambda: Sampling(top_k=32))
    """The distribution that is drawn from, and learned on, is truncated and renormalised (METHODS.md D.2)."""

    def __post_init__(self) -> None:
        if self.sampling.top_k == 1:
            raise ConfigError("sampling has top_k=1: rollouts that are all alike teach nothing; set 2 or more")

    def roll_out(
        self, batch: Batch, num: int, rngs: Sequence[np.random.Generator], map_features: Tensor | None = None
    ) -> Driven:
        in_source = self.network.config.zero_fill_quirk
        if not in_source:
            batch = from_the_log(batch)
        found = token_decoding.roll_out(
            self.network, batch, self.sampling, num=num, rngs=rngs, map_features=map_features
        )
        driven = Batch(scene_ids=batch.scene_ids, map=batch.map, agents=found.agents)
        return Driven(batch=driven, steps=found.steps, in_source=in_source)

    def decisions(self, network: SmartNetwork, batch: Batch, map_features: Tensor | None = None) -> Decisions:
        nodes = network(batch, map_features, TABLE_ROWS)
        rows = torch.nonzero(nodes.slot >= HISTORY_TOKENS - 1).flatten()
        agent, slot = nodes.agent[rows], nodes.slot[rows]
        return Decisions(
            agent=agent,
            distribution=self.sampling.distribution(nodes.logits[rows]),
            action=batch.agents.token[agent, slot + 1],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanActor:
    """Draws accelerations and yaw rates of half a second."""

    network: TrajectoryNetwork
    sampling: PlanSampling = field(default_factory=PlanSampling)

    def __post_init__(self) -> None:
        if not self.sampling.temperature:
            raise ConfigError("sampling has a temperature of 0: rollouts that are all alike teach nothing")

    def roll_out(
        self, batch: Batch, num: int, rngs: Sequence[np.random.Generator], map_features: Tensor | None = None
    ) -> Driven:
        found = plan_decoding.roll_out(
            self.network, batch, self.sampling, num=num, rngs=rngs, map_features=map_features
        )
        return Driven(batch=found.batch, steps=found.steps)

    def decisions(self, network: TrajectoryNetwork, batch: Batch, map_features: Tensor | None = None) -> Decisions:
        assert isinstance(batch, PlanBatch)  # as `roll_out` leaves it
        nodes = network(batch, map_features, TABLE_ROWS)
        rows = torch.nonzero(nodes.slot >= HISTORY_TOKENS - 1).flatten()
        agent, slot = nodes.agent[rows], nodes.slot[rows]
        return Decisions(
            agent=agent,
            distribution=self.sampling.distribution(nodes.executed[rows]),
            action=batch.plan[agent, slot + 1, 0],
        )
