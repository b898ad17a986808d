"""How a network takes in where agents are to go (METHODS.md D.3), and nothing where they have no goal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import nn
from torch.nn import functional

from trafficgym_agents.policies.smart.batch import MapBatch
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.edges import Edges, Groups
from trafficgym_agents.policies.smart.fourier import mlp

Tensor = Any

POLAR = 6  # numbers that `polar` gives
LEAST_TIME_S = 2.0  # goals that are due, or overdue, are as urgent as those that are due then
NARROW_M_S = 4.0  # about so much faster, or slower, than now is told finely
FURTHEST_M = 1e4  # an empty map has one token, far away, which is no goal's piece


class Toward(NamedTuple):
    """What n nodes know of their goals; None: nothing."""

    columns: Tensor | None = None  # (n, C) is added to what the first layer of `fusion_emb` gives
    beyond: Tensor | None = None  # (n, h) is added to what nodes are embedded to
    at_head: Tensor | None = None  # (n, h) is added to what they have seen in the end
    piece: Tensor | None = None  # int64 (n,) the map token of the goal; -1 where there is none

    def piece_of(self, rows: Tensor) -> Tensor | None:
        """Of some of the nodes."""
        return None if self.piece is None else self.piece[rows]


NOWHERE = Toward()


class Stand(NamedTuple):
    """Where n nodes are that go somewhere, how fast, and how long they still have."""

    xy: Tensor  # float32 (n, 2) m
    yaw: Tensor  # (n,) rad
    speed: Tensor  # (n,) m/s
    left: Tensor  # (n,) s, until goals are due

    def rows(self, which: Tensor) -> Stand:
        """Some of them."""
        return Stand(*(part[which] for part in self))


class Road(NamedTuple):
    """The map that goals lie on."""

    tokens: MapBatch
    features: Tensor  # float32 (M, h)
    groups: Groups  # its tokens by scene
    radius: float  # m, how far agents see it


class Concatenation(nn.Module):
    """The goal as further columns of the input of `fusion_emb`: how far, and in what direction.

    Ours: the same numbers go to the head, too, by a network of their own. What a layer norm leaves of a distance among
    all else that an agent sees hardly tells 28 m/s from 29.

    Args:
        width: C, of the first layer of `fusion_emb`.
        hidden: h.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.columns = nn.Linear(POLAR, width, bias=False)
        self.at_head = mlp(POLAR, hidden, hidden)

    def begin_at_zero(self) -> None:
        """Make goals have no effect."""
        nn.init.zeros_(self.columns.weight)
        _silence(self.at_head)

    def forward(self, goal: Tensor, stand: Stand, scene: Tensor, road: Road) -> Toward:
        """Of nodes with goals ``[n, 2]``, NaN where there is none, in scenes ``[n]``."""
        there = goal.isfinite().all(-1, keepdim=True)
        numbers = torch.where(there, polar(goal, stand), 0.0)
        return Toward(columns=self.columns(numbers), at_head=torch.where(there, self.at_head(numbers), 0.0))


class Indication(nn.Module):
    """The goal as a mark on the one piece of the map that is nearest to it.

    A vector is added to the embedding of the relation between an agent and that piece, as in the paper.

    Agents see the map for some tens of metres only, and goals are mostly further away. Ours: from there, the piece and
    how it lies to the agent enter with what the agent itself is, by a network of their own. One more edge in the
    attention over the map would change what agents see from the first step of training on, and distances that the
    embedding was never trained for. Near or far, how the piece lies to the agent also goes to the head, as in
    `Concatenation`.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.piece = nn.Parameter(torch.zeros(hidden))
        self.beyond = mlp(hidden + POLAR + 2, hidden, hidden)
        self.at_head = mlp(POLAR + 2, hidden, hidden)

    def begin_at_zero(self) -> None:
        """Make goals have no effect."""
        nn.init.zeros_(self.piece)
        _silence(self.beyond)
        _silence(self.at_head)

    def forward(self, goal: Tensor, stand: Stand, scene: Tensor, road: Road) -> Toward:
        """See `Concatenation.forward`."""
        given = (np.ascontiguousarray(part.cpu().numpy()) for part in (goal, stand.xy, scene, road.tokens.xy))
        found, is_beyond = np.full(len(goal), -1, np.int64), np.zeros(len(goal), np.bool_)
        _nearest(*given, road.groups.index, road.groups.offsets, np.float32(road.radius) ** 2, found, is_beyond)
        piece, rows = (torch.from_numpy(part).to(goal.device) for part in (found, np.flatnonzero(found >= 0)))
        which = piece[rows]
        turn = road.tokens.yaw[which] - stand.yaw[rows]
        numbers = [polar(road.tokens.xy[which], stand.rows(rows)), turn.cos()[:, None], turn.sin()[:, None]]
        relation, far = torch.cat(numbers, -1), torch.from_numpy(np.flatnonzero(is_beyond[found >= 0])).to(goal.device)
        beyond = self.beyond(torch.cat([road.features[which[far]], relation[far]], -1)) if len(far) else None
        return Toward(
            piece=piece,
            beyond=None if beyond is None else _spread(beyond, rows[far], len(goal)),
            at_head=_spread(self.at_head(relation), rows, len(goal)),
        )

    def indicated(self, relation: Tensor, values: Tensor, edges: Edges, piece: Tensor, embedding: Any) -> Tensor:
        """Mark the edges from goals' pieces.

        Args:
            relation: ``normalised(embedding, values)``, ``[E, h]``.
            values: The scalars of each edge, ``[E, 3]``.
            edges: From map tokens to n nodes.
            piece: Of each node's goal, ``[n]``.
            embedding: Of relations.
        """
        rows = torch.nonzero(piece[edges.destination] == edges.source).flatten()
        if not len(rows):
            return relation
        marked = embedding(values[rows]) + self.piece
        return relation.index_copy(0, rows, functional.layer_norm(marked, marked.shape[-1:]))


def goal_inputs(config: SmartConfig, width: int) -> Concatenation | Indication | None:
    """What the configuration wants; `width` is that of the first layer of `fusion_emb`."""
    if config.goal is None:
        return None
    return Concatenation(width, config.hidden) if config.goal == "concatenation" else Indication(config.hidden)


def polar(target: Tensor, stand: Stand) -> Tensor:
    """Where targets ``[n, 2]`` lie from nodes, float32 ``[n, 6]``.

    1, the logarithm of 1 + distance in metres; the direction in the frame of the pose, whose length falls from 1 to 0
    within the last metres, so that it does not jump where the target is passed; the pace at which one gets there in
    the time that is left, in units of 10 m/s; and how much faster than now that is, from -1 to 1, fine about 0. The
    last two are ours: with a place alone an agent does not know whether to hurry.
    """
    away = target - stand.xy
    distance = away.norm(dim=-1)
    cos, sin, near = stand.yaw.cos(), stand.yaw.sin(), 1 + distance
    ahead, aside = cos * away[:, 0] + sin * away[:, 1], cos * away[:, 1] - sin * away[:, 0]
    pace = distance / stand.left.clamp(min=LEAST_TIME_S)
    faster = ((pace - stand.speed) / NARROW_M_S).tanh()
    columns = [torch.ones_like(distance), distance.log1p(), ahead / near, aside / near, 0.1 * pace, faster]
    return torch.stack(columns, -1)


def _silence(network: Any) -> None:
    """Make a network give 0."""
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)


def _spread(values: Tensor, rows: Tensor, num: int) -> Tensor:
    """Values ``[m, h]`` in rows of ``[num, h]``; 0 elsewhere."""
    return values.new_zeros((num, values.shape[1])).index_copy(0, rows, values)


@njit(cache=True)
def _nearest(  # type: ignore[no-untyped-def]
    goal, xy, group, source_xy, index, offsets, limit, found, is_beyond
):
    for i in range(len(goal)):
        best = np.float32(FURTHEST_M * FURTHEST_M)
        for at in range(offsets[group[i]], offsets[group[i] + 1]):
            j = index[at]
            dx, dy = source_xy[j, 0] - goal[i, 0], source_xy[j, 1] - goal[i, 1]
            if dx * dx + dy * dy < best:
                best = dx * dx + dy * dy
                found[i] = j
        if found[i] >= 0:
            dx, dy = source_xy[found[i], 0] - xy[i, 0], source_xy[found[i], 1] - xy[i, 1]
            is_beyond[i] = not dx * dx + dy * dy < limit
