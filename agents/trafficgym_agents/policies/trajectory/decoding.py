"""Rollouts of a `TrajectoryNetwork`: plan two seconds, go half a second, plan again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trafficgym.errors import ConfigError, names_nearest
from trafficgym_agents.policies.distributions import Gaussian
from trafficgym_agents.policies.smart.batch import AgentBatch, Batch
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS, NUM_TOKENS, STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS, Decoder, evaluating, rollout_rows, uniform
from trafficgym_agents.policies.smart.targets import tokens_towards
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.poses import own_velocity, placed
from trafficgym_agents.policies.trajectory.states import PlanBatch, on_log

Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanDecision:
    """What a plan is chosen from."""

    plans: Gaussian  # (N, S, 3)
    slot: int  # the one at whose beginning it is chosen
    agents: AgentBatch  # who they are, where they are in slot - 1, and their logs
    velocity: Tensor  # float32 (N, 3) now, in the agent's frame: m/s, m/s, rad/s
    network: TrajectoryNetwork
    rngs: Sequence[np.random.Generator]  # one per group

    def draw(self, num: int, sampling: PlanSampling) -> Tensor:
        """So many plans of each agent, ``[N, num, S, 3]``; numbers come from each group's own generator."""
        plans = sampling.distribution(self.plans)
        return plans.sample(uniform(self.rngs, self.agents.group, num * plans.num_draws))

    def trajectories(self, plans: Tensor) -> Tensor:
        """Where plans ``[N, K, S, 3]`` would lead, ``[N, K, H, 3]`` in the agents' frames."""
        return self.network.space.trajectory(plans, self.velocity[:, None])


ChoosePlan = Callable[[PlanDecision], Tensor]
"""From a decision to the plans of all agents, float32 ``[N, S, 3]``."""


@names_nearest
@dataclass(frozen=True, kw_only=True)
class PlanSampling:
    """Sample a plan: a `ChoosePlan`.

    Raises:
        ConfigError: a value makes no sense.
    """

    temperature: float = 1.0
    """The density is taken to the power of its inverse, so that variances are multiplied by it; 0: the likeliest plan,
    which is the mean."""

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ConfigError(f"temperature is {self.temperature!r}; it must be 0 or more")

    def __call__(self, decision: PlanDecision) -> Tensor:
        """Pick plans, float32 ``[N, S, 3]``."""
        return decision.draw(1, self)[:, 0] if self.temperature else decision.plans.mode

    def distribution(self, plans: Gaussian) -> Gaussian:
        """What plans are drawn from, by what the network gives; not with a temperature of 0."""
        return plans.tempered(self.temperature)


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanRollouts:
    """What N agents did over Q slots; agents are those of ``batch.agents.repeat(R)``."""

    batch: PlanBatch  # its plans are the executed ones, behind those of the history
    steps: Tensor  # float32 (N, 5 (Q - 2), 3): x, y [m] and yaw [rad] at every 0.1 s after "now"

    @property
    def agents(self) -> AgentBatch:
        return self.batch.agents


def roll_out(
    network: TrajectoryNetwork,
    batch: Batch,
    choose: ChoosePlan,
    *,
    num: int = 1,
    rngs: Sequence[np.random.Generator],
    map_features: Tensor | None = None,
    table_rows: int = TABLE_ROWS,
) -> PlanRollouts:
    """Drive all agents of all scenes to the end of their slots; for the arguments see `smart.decoding.roll_out`."""
    with evaluating(network), torch.no_grad():
        decoder = Decoder(network.trunk, batch, map_features, table_rows)
        log = on_log(network, batch)
        for slot in range(HISTORY_TOKENS):  # the same in all rollouts
            x = decoder.features(log.agents, *_slot(log.agents, slot))
        rows = rollout_rows(log.agents, num)
        decoder.repeat(rows)
        x, agents, velocity, plan = x[rows], log.agents.repeat(num), log.velocity[rows], log.plan[rows]
        token, xy, yaw, valid = (getattr(agents, name).clone() for name in ("token", "xy", "yaw", "valid"))
        agents = agents.moved(token, xy, yaw, valid)  # written to below
        steps = xy.new_zeros((len(agents), (NUM_TOKENS - HISTORY_TOKENS) * STEPS_PER_TOKEN, 3))
        for slot in range(HISTORY_TOKENS, NUM_TOKENS):
            before = velocity[:, slot - 1]
            plan[:, slot] = choose(
                PlanDecision(
                    plans=network.plans(x, before),
                    slot=slot,
                    agents=agents,
                    velocity=before,
                    network=network,
                    rngs=rngs,
                )
            )
            way = network.space.trajectory(plan[:, slot], before)[:, :STEPS_PER_TOKEN]
            token[:, slot] = tokens_towards(network.trunk, agents.type, way[:, -1])
            velocity[:, slot] = own_velocity(way[:, -2], way[:, -1])
            path = placed(torch.cat([xy[:, slot - 1], yaw[:, slot - 1, None]], -1), way)
            first = (slot - HISTORY_TOKENS) * STEPS_PER_TOKEN
            steps[:, first : first + STEPS_PER_TOKEN] = path
            xy[:, slot], yaw[:, slot], valid[:, slot] = path[:, -1, :2], path[:, -1, 2], valid[:, slot - 1]
            if slot + 1 < NUM_TOKENS:
                x = decoder.features(agents, *_slot(agents, slot))
        known = torch.full_like(token, network.space.segments)
        known[:, :HISTORY_TOKENS] = log.known[rows, :HISTORY_TOKENS]
        driven = PlanBatch(
            scene_ids=batch.scene_ids, map=batch.map, agents=agents, velocity=velocity, plan=plan, known=known
        )
        return PlanRollouts(batch=driven, steps=steps)


def _slot(agents: AgentBatch, slot: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return agents.token[:, slot], agents.xy[:, slot], agents.yaw[:, slot], agents.valid[:, slot]
