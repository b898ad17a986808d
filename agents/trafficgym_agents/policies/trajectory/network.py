"""A network that gives each agent, every half second, a distribution over its trajectory of the next seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from trafficgym_agents.policies.distributions import Gaussian
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.network import SmartNetwork, TwoLayers
from trafficgym_agents.policies.smart.vocabulary import Vocabulary
from trafficgym_agents.policies.trajectory.config import TrajectoryConfig
from trafficgym_agents.policies.trajectory.plans import PlanSpace
from trafficgym_agents.policies.trajectory.states import PlanBatch

Tensor = Any

SCALE = (1.0, 1.0, 0.2)
"""Of the head's numbers: m/s^2, m/s^2, rad/s."""
LEAST_SIGMA = (0.2, 0.1, 0.02)
"""m/s^2, m/s^2, rad/s: 2.5 cm and 0.01 rad after half a second. Those who always stand still would otherwise have a
density without bounds, and one step off it would undo what was learned."""
VELOCITY_SCALE = (10.0, 1.0, 0.2)
"""What velocities are divided by before the head reads them: m/s, m/s, rad/s."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanNodes:
    """The n (agent, slot) pairs of a batch that are valid, sorted by agent, then by slot."""

    agent: Tensor  # int64 (n,)
    slot: Tensor  # int64 (n,)
    plans: Gaussian  # (n, S, 3): for the time from the end of the slot on

    @property
    def executed(self) -> Gaussian:
        """Of the half second that is executed before the agent plans again, ``[n, 3]``; the rest moves nobody."""
        return self.plans[:, 0]


class Trunk(SmartNetwork):
    """The layers of SMART without its head: what agents have seen stands for the logits of their next token."""

    def __init__(self, config: SmartConfig, vocabulary: Vocabulary) -> None:
        # Parameters that nobody uses disturb DDP.
        super().__init__(replace(config, momentum=False, steering=False), vocabulary)
        self.agent_encoder.token_predict_head = nn.Identity()

    def next_logits(self, x: Tensor, type: Tensor, token: Tensor) -> Tensor:
        """The features ``[N, h]`` themselves."""
        return x


class TrajectoryNetwork(nn.Module):
    """The layers of a `SmartNetwork` under a head over plans.

    The trunk sees where agents are at each half second, and the motion token that leads nearest there. The head
    reads its features and the velocity.

    Args:
        config: Sizes.
        vocabulary: What motions are told to the trunk in.
    """

    def __init__(self, config: TrajectoryConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.trunk = Trunk(config.trunk, vocabulary)
        self.space = PlanSpace(config.horizon)
        hidden = config.trunk.hidden
        self.plan_head = TwoLayers(hidden + 3, hidden, config.segments * 6)
        self.skip = nn.Linear(3, config.segments * 3, bias=False)
        """From the velocity straight to the means, past what layer norms leave of it."""
        last = self.plan_head.mlp[-1]
        for weight in (last.weight, last.bias, self.skip.weight):  # it begins with constant velocity
            nn.init.zeros_(weight)
        for name, values in (("scale", SCALE), ("least_sigma", LEAST_SIGMA), ("velocity_scale", VELOCITY_SCALE)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def forward(self, batch: PlanBatch, map_features: Tensor | None = None, table_rows: int = 0) -> PlanNodes:
        """Predict each next plan from what was done before; for the arguments see `SmartNetwork.forward`."""
        agent, slot, x = self.trunk.features(batch, map_features, table_rows)
        return PlanNodes(agent=agent, slot=slot, plans=self.plans(x, batch.velocity[agent, slot]))

    def encode_map(self, tokens: Any, table_rows: int = 0) -> Tensor:
        """See `SmartNetwork.encode_map`."""
        return self.trunk.encode_map(tokens, table_rows)

    def plans(self, x: Tensor, velocity: Tensor) -> Gaussian:
        """The distribution over plans, ``[n, S, 3]``.

        Args:
            x: Features, ``[n, h]``.
            velocity: In the agent's frame, ``[n, 3]``.
        """
        own = velocity / self.velocity_scale
        found = self.plan_head(torch.cat([x, own], -1))
        mean, spread = found.view(len(x), self.space.segments, 3, 2).unbind(-1)
        sigma = self.least_sigma + self.scale * nn.functional.softplus(spread)
        return Gaussian(mean=self.scale * (mean + self.skip(own).view_as(mean)), sigma=sigma)
