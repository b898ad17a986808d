"""Which token would lead an agent back to its log, and how far from it each token leads."""

from __future__ import annotations

from typing import Any

import torch

from trafficgym.world.dynamics.motion_tokens import CORNERS, place_corners
from trafficgym_agents.policies.smart.batch import AgentBatch
from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.vocabulary import NOMINAL_SIZE

Tensor = Any


def recovery_tokens(network: SmartNetwork, agents: AgentBatch, agent: Tensor, slot: Tensor) -> Tensor:
    """The token that leads nearest to the log at the end of the next slot, from where the agent is (METHODS.md B.5).

    Args:
        network: Its vocabulary.
        agents: Where they are, and their logs.
        agent: Of each node, int64 ``[n]``.
        slot: Of each node, ``[n]``; the target is that of ``slot + 1``.

    Returns:
        int64 ``[n]``; of no meaning where ``agents.raw_valid[agent, slot + 1]`` is False.
    """
    wanted = local_pose(
        agents.xy[agent, slot], agents.yaw[agent, slot], agents.raw_xy[agent, slot + 1], agents.raw_yaw[agent, slot + 1]
    )
    return tokens_towards(network, agents.type[agent], wanted)


def tokens_towards(network: SmartNetwork, type: Tensor, pose: Tensor) -> Tensor:
    """The token of its class that ends nearest to each pose ``[n, 3]`` (m, m, rad) in the agent's frame; ``[n]``."""
    goal = torch.stack(place_corners(boxes(type), *(pose[:, k, None] for k in range(3))), -1)
    return nearest_tokens(network, type, goal)


def nearest_tokens(network: SmartNetwork, type: Tensor, contours: Tensor) -> Tensor:
    """The token of its class that ends nearest to each contour ``[n, 4, 2]`` m, by the sum over corners; ``[n]``."""
    found = torch.zeros(len(type), dtype=torch.long, device=type.device)
    for code, size in enumerate(network.vocabulary.sizes):
        rows = torch.nonzero(type == code).flatten()
        # In parts, so that classes of thousands of tokens take no gigabytes.
        for part in rows.split(512):
            away = network.motions[code, None, :size, -1] - contours[part, None]
            found[part] = away.norm(dim=-1).sum(-1).argmin(-1)
    return found


def local_pose(xy: Tensor, yaw: Tensor, to_xy: Tensor, to_yaw: Tensor) -> Tensor:
    """Poses ``[n, 2]``, ``[n]`` seen from others: x, y [m] and yaw [rad], ``[n, 3]``."""
    cos, sin = yaw.cos(), yaw.sin()
    away = to_xy - xy
    return torch.stack([cos * away[:, 0] + sin * away[:, 1], cos * away[:, 1] - sin * away[:, 0], to_yaw - yaw], -1)


def boxes(type: Tensor) -> Tensor:
    """Corners of the nominal box of each class ``[n]`` about its centre, ``[n, 4, 2]`` m."""
    size = torch.from_numpy(NOMINAL_SIZE).to(type.device)[type]
    return torch.from_numpy(CORNERS).to(type.device) * size[:, None]


def boxes_at(type: Tensor, poses: Tensor) -> Tensor:
    """Corners of the nominal box of each class ``[n]`` at poses ``[n, K, 3]`` (m, m, rad), ``[n, K, 4, 2]`` m."""
    ahead, aside = boxes(type)[:, None].unbind(-1)
    x, y, yaw = poses[..., None, :].unbind(-1)
    # The centre first: so the reference rounds, far from the origin.
    return torch.stack([x + ahead * yaw.cos() - aside * yaw.sin(), y + ahead * yaw.sin() + aside * yaw.cos()], -1)


def distances_to_log(
    network: SmartNetwork,
    agents: AgentBatch,
    slot: int,
    tokens: Tensor,
    weights: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 1.0),
) -> tuple[Tensor, Tensor]:
    """How far tokens would lead agents from their logs: ``d = sum_k w_k d_k`` (RoaD's generalised distance).

    ``d_k`` is the mean distance of the four corners of the nominal box, k steps of 0.1 s from now.

    Args:
        network: Its vocabulary.
        agents: Where they are in ``slot - 1``, and their logs.
        slot: The one that the tokens are for.
        tokens: K of each agent, ``[N, K]``.
        weights: ``w_1 ... w_5``; CAT-K's look at the end of the token only.

    Returns:
        Distances [m], ``[N, K]``, and whether the log is there at all steps that count, bool ``[N]``.
    """
    steps = [k for k, weight in enumerate(weights) if weight]
    when = [STEPS_PER_TOKEN * slot + 1 + k for k in steps]
    log, there = agents.path[:, when], agents.path_valid[:, when].all(1)
    x, y, yaw = (
        values[:, None, None, None] for values in (*agents.xy[:, slot - 1].unbind(-1), agents.yaw[:, slot - 1])
    )
    templates = network.motions[agents.type[:, None], tokens][:, :, [1 + k for k in steps]]  # (N, K, steps, 4, 2)
    reached = torch.stack(place_corners(templates, x, y, yaw), -1)
    wanted = boxes_at(agents.type, log)  # (N, steps, 4, 2)
    away = (reached - wanted[:, None]).norm(dim=-1).mean(-1)
    return away @ away.new_tensor([weights[k] for k in steps]), there
