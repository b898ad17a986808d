"""Decoding of agents that come and go: what is kept of them can be taken out, and put together anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym_agents.policies.smart.batch import AgentBatch
from trafficgym_agents.policies.smart.decoding import Decoder
from trafficgym_agents.policies.smart.network import SmartNetwork

Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """What decoding keeps of N agents: their last K slots, as many as temporal attention looks back."""

    keys_values: Tensor  # float32 (L, K, N, 2 heads c), of each layer of temporal attention
    poses: Tensor  # float32 (K, N, 3): x, y [m] and yaw [rad]
    valid: Tensor  # bool (K, N)

    @classmethod
    def none(cls, network: SmartNetwork, num: int) -> Past:
        """That of agents who have not been seen yet."""
        config, device = network.config, network.sizes.device
        width = 2 * config.heads * config.head_size
        return cls(
            keys_values=torch.zeros((config.agent_layers, config.span_tokens, num, width), device=device),
            poses=torch.zeros((config.span_tokens, num, 3), device=device),
            valid=torch.zeros((config.span_tokens, num), dtype=torch.bool, device=device),
        )

    @classmethod
    def join(cls, parts: Sequence[Past]) -> Past:
        """Agents of several pasts, one after the other."""
        return cls(
            keys_values=torch.cat([part.keys_values for part in parts], 2),
            poses=torch.cat([part.poses for part in parts], 1),
            valid=torch.cat([part.valid for part in parts], 1),
        )

    def rows(self, which: slice) -> Past:
        """Some of the agents, in memory of their own, so that they do not keep the others'."""
        return Past(
            keys_values=self.keys_values[:, :, which].clone(),
            poses=self.poses[:, which].clone(),
            valid=self.valid[:, which].clone(),
        )

    @property
    def last(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Poses in the newest slot, float32 ``[N, 3]`` m, m, rad, and who was there, bool ``[N]``."""
        return self.poses[-1].cpu().numpy(), self.valid[-1].cpu().numpy()


class LiveDecoder(Decoder):
    """A decoder that can be told which agents it has been following."""

    @property
    def past(self) -> Past:
        """What it keeps of the agents that it has followed until now, slots before the first being empty."""
        before = Past.none(self.network, len(self._poses[0][2]))
        missing = len(before.valid) - len(self._poses)
        poses = [torch.cat([xy, yaw[:, None]], 1) for xy, yaw, _ in self._poses]
        return Past(
            keys_values=torch.stack([torch.stack([*kv[:missing], *slots]) for kv, slots in self._layers(before)]),
            poses=torch.stack([*before.poses[:missing], *poses]),
            valid=torch.stack([*before.valid[:missing], *(valid for _, _, valid in self._poses)]),
        )

    def _layers(self, before: Past) -> Sequence[tuple[Tensor, list[Tensor]]]:
        return list(zip(before.keys_values, self._past, strict=True))

    def follow(self, past: Past | None) -> None:
        """Go on with the agents of a past; None: with some whose first slot comes next."""
        self._past = [[] for _ in self._map] if past is None else [list(slots) for slots in past.keys_values]
        self._poses, self._last, self._seen = [], None, 0
        if past is not None:
            self._poses = [(pose[:, :2], pose[:, 2], valid) for pose, valid in zip(past.poses, past.valid, strict=True)]
            self._last = self._poses[-1][0], self._poses[-1][2]


def crowd(
    scene: NDArray[np.int64],
    group: NDArray[np.int64],
    type: NDArray[np.int64],
    size: NDArray[np.float32],
    goal: NDArray[np.float32],
    device: Any,
    time_left: NDArray[np.float32] | None = None,
) -> AgentBatch:
    """N agents of whom it is known who they are (see `AgentBatch`), and no slot."""
    num = len(type)
    no_number, no_mask = torch.zeros((num, 0), device=device), torch.zeros((num, 0), dtype=torch.bool, device=device)
    no_pose = torch.zeros((num, 0, 3), device=device)
    return AgentBatch(
        scene=torch.from_numpy(scene).to(device),
        group=torch.from_numpy(group).to(device),
        type=torch.from_numpy(type).to(device),
        size=torch.from_numpy(size).to(device),
        token=no_number.long(),
        xy=no_pose[..., :2],
        yaw=no_number,
        valid=no_mask,
        raw_xy=no_pose[..., :2],
        raw_yaw=no_number,
        raw_valid=no_mask,
        path=no_pose,
        path_valid=no_mask,
        learns=torch.ones(num, dtype=torch.bool, device=device),
        goal=torch.from_numpy(goal).to(device),
        time_left=None if time_left is None else torch.from_numpy(time_left).to(device),
    )
