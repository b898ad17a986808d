"""Closed-loop supervised fine-tuning: roll out, stay near the log, learn from where that led.

CAT-K, RoaD and plain on-policy sampling are settings of one method (METHODS.md B, C): how the next token is selected
among those the policy offers, what is learned at the states that this visits, and how often new states are visited.

| | selector | target |
|---|---|---|
| CAT-K | ``topk_closest`` | ``recovery`` |
| RoaD | ``samplek_closest`` | ``executed`` |
| on-policy | ``sample`` | ``recovery`` |
| behaviour cloning on re-tokenised logs | ``all_closest`` | either |

Policies whose actions are trajectories can be sampled, but have no likeliest k; and they can be led back to the log
(`Recovery`). They learn by `plan_imitation_loss`.
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
from trafficgym_agents.policies.trajectory.decoding import PlanDecision, PlanSampling
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork

Tensor = Any

Selector = Literal["sample", "topk_closest", "samplek_closest", "all_closest"]
SELECTORS = ("sample", "topk_closest", "samplek_closest", "all_closest")
PLAN_SELECTORS = ("sample", "samplek_closest")
"""Those that trajectories can be selected by."""

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
    """Of the steps of 0.1 s of an action, in its distance to the log (`targets.distances_to_log`): 5 of a token, up to
    the horizon of a trajectory."""
    recovery: Recovery | None = None
    """How trajectories that stray from the log are led back to it; None: not at all."""

    def __post_init__(self) -> None:
        if self.selector not in SELECTORS:
            raise ConfigError(f"selector is {self.selector!r}; it is one of {', '.join(map(repr, SELECTORS))}")
        if self.target not in ("recovery", "executed"):
            raise ConfigError(f"target is {self.target!r}; it is 'recovery' or 'executed'")
        check_whole(self, k=1, refresh=1)
        weights = self.distance_weights
        if not weights or min(weights) < 0 or not sum(weights) > 0:
            raise ConfigError(f"distance_weights are {weights!r}; give numbers, none negative, and not only zeros")

    def is_fresh(self, epoch: int) -> bool:
        """Whether states are visited anew in an epoch, from 0."""
        return epoch == 0 if self.refresh is None else epoch % self.refresh == 0

    def __call__(self, decision: Decision | PlanDecision) -> Tensor:
        """Select tokens, int64 ``[N]``, or plans, ``[N, S, 3]``: a `Choose`, and a `ChoosePlan`.

        Raises:
            ConfigError: the settings do not fit actions of this kind.
        """
        if isinstance(decision, PlanDecision):
            return self._plans(decision)
        return self._tokens(decision)

    def _plans(self, decision: PlanDecision) -> Tensor:
        if self.selector not in PLAN_SELECTORS:
            raise ConfigError(
                f"selector {self.selector!r} counts tokens, and the policy's actions are trajectories, of which there "
                f"is no list; take one of {', '.join(map(repr, PLAN_SELECTORS))}"
            )
        if self.sampling.top_k is not None or self.sampling.top_p is not None:
            raise ConfigError(f"sampling is {self.sampling}; top_k and top_p are for tokens, set both to None")
        num = 1 if self.selector == "sample" else self.k
        offered = decision.draw(num, PlanSampling(temperature=self.sampling.temperature))
        return select_plans(decision, offered, self.distance_weights, self.recovery)

    def _tokens(self, decision: Decision) -> Tensor:
        if len(self.distance_weights) != STEPS_PER_TOKEN:
            raise ConfigError(f"distance_weights are {self.distance_weights!r}; tokens have {STEPS_PER_TOKEN} steps")
        if self.recovery is not None:
            raise ConfigError(
                "recovery blends trajectories with the log, and the policy's actions are tokens; set None"
            )
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
ROAD_TRAJECTORIES = ClosedLoop(
    selector="samplek_closest",
    k=64,
    target="executed",
    refresh=None,
    sampling=Sampling(top_k=None, temperature=0.8),
    distance_weights=(1 / 20,) * 20,
    recovery=Recovery(),
)
"""RoaD as the paper drives end to end: distances are means over 2 s, rollouts are made once."""


def visit(
    network: SmartNetwork | TrajectoryNetwork,
    batch: Batch,
    method: ClosedLoop,
    rngs: Sequence[np.random.Generator],
    *,
    map_features: Tensor | None = None,
    table_rows: int = TABLE_ROWS,
) -> Batch:
    """Roll every scene out once; return it as it was driven, to learn from by `imitation_loss`.

    Of a policy whose actions are trajectories it is a `PlanBatch`, for `plan_imitation_loss`.

    That is the same as learning while rolling out, since tokens and poses carry no gradient (golden/smart/README.md
    section 6.17), and takes half the memory.
    """
    if isinstance(network, TrajectoryNetwork):
        return plan_decoding.roll_out(
            network, batch, method, rngs=rngs, map_features=map_features, table_rows=table_rows
        ).batch
    rollouts = roll_out(network, batch, method, rngs=rngs, map_features=map_features, table_rows=table_rows)
    return Batch(scene_ids=batch.scene_ids, map=batch.map, agents=rollouts.agents)


def freeze(network: SmartNetwork | TrajectoryNetwork, prefixes: Sequence[str] = FROZEN) -> list[Tensor]:
    """Fix parameters by the beginnings of their names, in a SMART network or in a trunk; return the others."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.removeprefix("trunk.").startswith(tuple(prefixes)))
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
