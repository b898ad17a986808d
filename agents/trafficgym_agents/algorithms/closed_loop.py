"""Closed-loop supervised fine-tuning: roll out, stay near the log, learn from where that led.

CAT-K, RoaD and plain on-policy sampling are settings of one method (METHODS.md B, C): how the next token is selected
among those the policy offers, what is learned at the states that this visits, and how often new states are visited.

| | selector | target |
|---|---|---|
| CAT-K | ``topk_closest`` | ``recovery`` |
| RoaD | ``samplek_closest`` | ``executed`` |
| on-policy | ``sample`` | ``recovery`` |
| behaviour cloning on re-tokenised logs | ``all_closest`` | either |

Policies whose actions are trajectories can be sampled, but have no likeliest k; and they can be led back to the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.algorithms.behaviour_cloning import Target
from trafficgym_agents.algorithms.plan_selection import select_plans
from trafficgym_agents.algorithms.recovery import Recovery
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS, Decision, roll_out
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.targets import distances_to_log
from trafficgym_agents.policies.trajectory import decoding as plan_decoding
from trafficgym_agents.policies.trajectory.decoding import PlanDecision
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork

Tensor = Any

Selector = Literal["sample", "topk_closest", "samplek_closest", "all_closest"]
SELECTORS = ("sample", "topk_closest", "samplek_closest", "all_closest")

FROZEN = (
    "map_encoder.",
    *(
        f"agent_encoder.{name}."
        for name in ("type_a_emb", "shape_emb", "x_a_emb", "r_t_emb", "r_pt2a_emb", "r_a2a_emb", "fusion_emb")
    ),
    *(f"agent_encoder.token_emb_{name}." for name in ("veh", "ped", "cyc")),
)
"""Beginnings of the names of parameters that fine-tuning leaves alone: the map encoder and all embeddings."""


@names_nearest
@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """How states are visited, and what is learned there.

    Raises:
        ConfigError: a value makes no sense.
    """

    selector: Selector = "topk_closest"
    """``"sample"``: what the policy samples. ``"topk_closest"``: of its `k` likeliest tokens the nearest to the log.
    ``"samplek_closest"``: of `k` samples. ``"all_closest"``: of all tokens. Where the log is not there: the likeliest,
    or the first sample."""
    k: int = 32
    target: Target = "recovery"
    """What is learned: the way back to the log, or what was done."""
    refresh: int | None = 1
    """New rollouts every so many epochs; None: once, in the first."""
    sampling: Sampling = field(default_factory=lambda: Sampling(top_k=None))
    """What samples are drawn from."""
    distance_weights: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 1.0)
    """Of the steps of a token, in the distance to the log (`targets.distances_to_log`)."""

    def __post_init__(self) -> None:
        if self.selector not in SELECTORS:
            raise ConfigError(f"selector is {self.selector!r}; it is one of {', '.join(map(repr, SELECTORS))}")
        if self.target not in ("recovery", "executed"):
            raise ConfigError(f"target is {self.target!r}; it is 'recovery' or 'executed'")
        check_whole(self, k=1, refresh=1)
        weights = self.distance_weights
        if len(weights) != STEPS_PER_TOKEN or min(weights) < 0 or not sum(weights) > 0:
            raise ConfigError(f"distance_weights are {weights!r}; give {STEPS_PER_TOKEN} numbers, none negative")

    def is_fresh(self, epoch: int) -> bool:
        """Whether states are visited anew in an epoch, from 0."""
        return epoch == 0 if self.refresh is None else epoch % self.refresh == 0

    def __call__(self, decision: Decision) -> Tensor:
        """Select tokens, int64 ``[N]``: a `decoding.Choose`."""
        logits = decision.logits
        if self.selector == "sample":
            return self.sampling(decision)
        if self.selector == "samplek_closest":
            offered = self.sampling.draw(logits, decision.uniform(self.k))
        else:
            num = logits.shape[-1] if self.selector == "all_closest" else min(self.k, logits.shape[-1])
            offered = logits.topk(num, -1).indices
        away, there = distances_to_log(
            decision.network,
            decision.agents.moved_to(decision.slot - 1, decision.xy, decision.yaw),
            decision.slot,
            offered,
            self.distance_weights,
        )
        away = away.masked_fill(logits.gather(1, offered) == -torch.inf, torch.inf)
        nearest = torch.where(there, away.argmin(-1), 0)
        return offered.gather(1, nearest[:, None])[:, 0]


CATK = ClosedLoop()
ROAD = ClosedLoop(selector="samplek_closest", k=64, target="executed", refresh=1)


def visit(
    network: SmartNetwork,
    batch: Batch,
    method: ClosedLoop,
    rngs: Sequence[np.random.Generator],
    *,
    map_features: Tensor | None = None,
    table_rows: int = TABLE_ROWS,
) -> Batch:
    """Roll every scene out once; return it with the executed tokens, to learn from by `imitation_loss`.

    That is the same as learning while rolling out, since tokens and poses carry no gradient (golden/smart/README.md
    section 6.17), and takes half the memory.
    """
    rollouts = roll_out(network, batch, method, rngs=rngs, map_features=map_features, table_rows=table_rows)
    return Batch(scene_ids=batch.scene_ids, map=batch.map, agents=rollouts.agents)


def freeze(network: SmartNetwork, prefixes: Sequence[str] = FROZEN) -> list[Tensor]:
    """Fix parameters by the beginnings of their names; return the others."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(prefixes)))
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
