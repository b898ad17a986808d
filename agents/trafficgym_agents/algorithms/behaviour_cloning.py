"""Behaviour cloning: the next token of the log, from the tokens before (METHODS.md A.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from trafficgym_agents.algorithms.cross_entropy import NO_SMOOTHING, Smoothing, cross_entropy
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.targets import recovery_tokens

Tensor = Any

Target = Literal["recovery", "executed"]


@dataclass(frozen=True)
class Loss:
    """A sum over nodes and how many they are, so that parts of a batch can be added up."""

    total: Tensor  # scalar
    count: int
    hits: int  # nodes whose likeliest token is the target

    @property
    def mean(self) -> Tensor:
        return self.total / max(self.count, 1)


def imitation_loss(
    network: SmartNetwork,
    batch: Batch,
    *,
    target: Target = "recovery",
    smoothing: Smoothing = NO_SMOOTHING,
    everybody: bool = False,
    map_features: Tensor | None = None,
    table_rows: int = 0,
) -> Loss:
    """Cross-entropy of the batch's agents, over all slots after "now".

    With the tokens of the log it is behaviour cloning; with those of a rollout, closed-loop fine-tuning.

    Args:
        network: The network.
        batch: Scenes; agents that carry loss, where they are valid and so is the log at the end of the next slot.
        target: ``"recovery"``: the token nearest to the log's pose, from where the agent is, or the one that the
            tokenizer chose. ``"executed"``: the one that the batch has (RoaD; of the log itself it is the matched one).
        smoothing: Of labels.
        everybody: Count agents that carry no loss, too (validation).
        map_features: From `SmartNetwork.encode_map`; None: encode the map, with gradient.
        table_rows: See `SmartNetwork.forward`.
    """
    nodes, agents = network(batch, map_features, table_rows), batch.agents
    counts = (nodes.slot >= HISTORY_TOKENS - 1) & agents.raw_valid[nodes.agent, nodes.slot + 1]
    if not everybody:
        counts &= agents.learns[nodes.agent]
    rows = torch.nonzero(counts).flatten()
    agent, slot, logits = nodes.agent[rows], nodes.slot[rows], nodes.logits[rows]
    if target == "executed":
        wanted = agents.token[agent, slot + 1]
    elif agents.target is not None:
        wanted = agents.target[agent, slot + 1]
    else:
        wanted = recovery_tokens(network, agents, agent, slot)
    loss = cross_entropy(network, logits, wanted, agents.type[agent], smoothing)
    hits = int((logits.detach().argmax(-1) == wanted).sum())
    return Loss(total=loss.sum(), count=len(rows), hits=hits)
