"""How nodes lie to each other, and how agents moved: the only geometry that the model sees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit

from trafficgym_agents.policies.smart.batch import AgentBatch
from trafficgym_agents.policies.smart.edges import Edges

Tensor = Any


SEAM = 1e-3
"""rad from pi to where angles jump by a turn, if not in the reference's way: roads run exactly straight on or opposite
ways, and rounding would decide between pi and -pi, whose embeddings differ."""
HERE = 0.05
"""m; nearer than that, a direction is rounding, and is left out, if not in the reference's way."""
SLACK = 1.001
"""Factor on radii, if not in the reference's way: pieces of straight roads are exactly 5 m, 10 m, ... apart."""


def relations(
    edges: Edges,
    xy: Tensor,
    yaw: Tensor,
    source_xy: Tensor,
    source_yaw: Tensor,
    slot: Tensor | None = None,
    *,
    quirk: bool = False,
) -> Tensor:
    """How each source lies to its destination.

    Args:
        edges: E pairs.
        xy: Of the destinations, float32 ``[D, 2]`` m.
        yaw: ``[D]`` rad.
        source_xy: ``[S, 2]`` m.
        source_yaw: ``[S]`` rad.
        slot: Of nodes that are both, ``[D]``; adds how many slots later the source is.
        quirk: Angles jump at pi, as in the reference.

    Returns:
        Distance [m], bearing of the source in the destination's frame [rad] and difference of headings [rad], and of
        slots where given, float32 ``[E, 3 or 4]``.
    """
    if xy.device.type == "cpu" and not quirk:
        return _relations(edges, xy, yaw, source_xy, source_yaw, slot)
    return plain_relations(edges, xy, yaw, source_xy, source_yaw, slot, quirk=quirk)


def plain_relations(
    edges: Edges,
    xy: Tensor,
    yaw: Tensor,
    source_xy: Tensor,
    source_yaw: Tensor,
    slot: Tensor | None = None,
    *,
    quirk: bool = False,
) -> Tensor:
    """The same in plain torch, for any device, and bit for bit like the reference."""
    source, destination = edges.source, edges.destination
    away = source_xy[source] - xy[destination]
    turn = source_yaw[source] - yaw[destination]
    turn = wrapped(turn) if quirk else wrapped(turn + SEAM) - SEAM
    columns = [away.norm(dim=-1), bearing(away, yaw.cos()[destination], yaw.sin()[destination], quirk), turn]
    if slot is not None:
        columns.append((slot[source] - slot[destination]).to(xy.dtype))
    return torch.stack(columns, -1)


def _relations(
    edges: Edges, xy: Tensor, yaw: Tensor, source_xy: Tensor, source_yaw: Tensor, slot: Tensor | None
) -> Tensor:
    numbers = [xy, yaw, yaw.cos(), yaw.sin(), source_xy, source_yaw]
    found = np.empty((len(edges), 3 if slot is None else 4), np.float32)
    lists = edges.source.numpy(), edges.offsets.numpy(), *(part.contiguous().numpy() for part in numbers)
    _relate(*lists, found)
    if slot is not None:
        found[:, 3] = (slot[edges.source] - slot[edges.destination]).numpy()
    return torch.from_numpy(found)


@njit(cache=True, error_model="numpy")
def _relate(source, offsets, xy, yaw, cos, sin, source_xy, source_yaw, found):  # type: ignore[no-untyped-def]
    here, seam = np.float32(HERE), np.float32(SEAM)
    turn, half = np.float32(2 * math.pi), np.float32(math.pi)
    for i in range(len(xy)):
        for e in range(offsets[i], offsets[i + 1]):
            j = source[e]
            x, y = source_xy[j, 0] - xy[i, 0], source_xy[j, 1] - xy[i, 1]
            distance = np.sqrt(x * x + y * y)
            angle = np.float32(math.atan2(cos[i] * y - sin[i] * x, cos[i] * x + sin[i] * y + np.float32(0)))
            if angle < seam - half:
                angle += turn
            found[e, 0] = distance
            found[e, 1] = np.float32(0) if distance < here else angle
            found[e, 2] = (source_yaw[j] - yaw[i] + seam + half) % turn - half - seam


def wrapped(angle: Tensor) -> Tensor:
    """Into [-pi, pi), by the reference's formula and in its precision.

    Map pieces that run opposite ways differ by pi up to rounding, and the embeddings of pi and -pi differ: only the
    same formula on the same bits gives the same sign (golden/smart/README.md section 5).
    """
    return (angle + math.pi) % (2 * math.pi) - math.pi


def motion_features(agents: AgentBatch, zero_fill_quirk: bool = False) -> Tensor:
    """Distance from the slot before [m] and its direction in the present heading [rad], float32 ``[N, Q, 2]``.

    Both are 0 in the first slot, and after a slot that is not valid; with the quirk such a slot lies at (0, 0).
    """
    here = torch.where(agents.valid[..., None], agents.xy, 0.0)
    moved = torch.zeros_like(here)
    moved[:, 1:] = here[:, 1:] - here[:, :-1]
    if not zero_fill_quirk:
        known = agents.valid[:, 1:] & agents.valid[:, :-1]
        moved[:, 1:] = torch.where(known[..., None], moved[:, 1:], 0.0)
    return moved_features(moved, agents.yaw, zero_fill_quirk)


def moved_features(moved: Tensor, yaw: Tensor, quirk: bool = False) -> Tensor:
    """The two numbers of displacements ``[..., 2]`` m at headings ``[...]`` rad, ``[..., 2]``."""
    return torch.stack([moved.norm(dim=-1), bearing(moved, yaw.cos(), yaw.sin(), quirk)], -1)


def bearing(away: Tensor, cos: Tensor, sin: Tensor, quirk: bool = False) -> Tensor:
    """Angle of displacements ``[..., 2]`` against a heading, ``[...]`` rad; 0 where nothing was moved."""
    ahead, left = cos * away[..., 0] + sin * away[..., 1], cos * away[..., 1] - sin * away[..., 0]
    angle = torch.atan2(left, ahead + 0.0)  # 0.0 turns -0.0, whose angle is pi, into 0.0
    if quirk:
        return angle
    angle = torch.where(angle < SEAM - math.pi, angle + 2 * math.pi, angle)
    return torch.where(away.norm(dim=-1) < HERE, 0.0, angle)
