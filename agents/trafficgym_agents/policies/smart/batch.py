"""Several tokenised scenes side by side, as tensors."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.tokens import SceneTokens

Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class MapBatch:
    """M map tokens of S scenes, scene after scene."""

    xy: Tensor  # float32 (M, 2) m
    yaw: Tensor  # float32 (M,) rad
    token: Tensor  # int64 (M,)
    type: Tensor  # int64 (M,)
    polygon: Tensor  # int64 (M,)
    light: Tensor  # int64 (M,)
    scene: Tensor  # int64 (M,), ascending


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentBatch:
    """N agents, group after group, over Q slots; see `AgentTokens`.

    Agents see those of their group, and the map of their scene. Before rollouts are made of it, a scene is one group;
    each of its rollouts is a group of its own.
    """

    scene: Tensor  # int64 (N,)
    group: Tensor  # int64 (N,), ascending
    type: Tensor  # int64 (N,)
    size: Tensor  # float32 (N, 3) m
    token: Tensor  # int64 (N, Q)
    xy: Tensor  # float32 (N, Q, 2) m
    yaw: Tensor  # float32 (N, Q) rad
    valid: Tensor  # bool (N, Q)
    raw_xy: Tensor  # float32 (N, Q, 2) m
    raw_yaw: Tensor  # float32 (N, Q) rad
    raw_valid: Tensor  # bool (N, Q)
    path: Tensor  # float32 (N, 5 Q + 1, 3) m, m, rad
    path_valid: Tensor  # bool (N, 5 Q + 1)
    learns: Tensor  # bool (N,)
    target: Tensor | None = None  # int64 (N, Q), of the tokens of the log; None once agents are elsewhere
    goal: Tensor = None  # float32 (N, 2) m, in the frame of the positions; NaN where the agent has none, the default
    time_left: Tensor | None = None  # float32 (N,) s until goals are due; None: it follows from the slot

    def __post_init__(self) -> None:
        if self.goal is None:
            object.__setattr__(self, "goal", torch.full((len(self), 2), torch.nan, device=self.type.device))

    def __len__(self) -> int:
        return int(self.type.shape[0])

    @property
    def has_goal(self) -> Tensor:
        """Whether each has a goal, bool ``[N]``."""
        return self.goal.isfinite().all(-1)

    def repeat(self, num: int) -> AgentBatch:
        """Each group `num` times, one after the other; group g becomes the groups ``g num`` to ``(g + 1) num - 1``."""
        index, group = [], []
        for g in range(int(self.group[-1]) + 1 if len(self) else 0):
            members = torch.nonzero(self.group == g).flatten()
            index.append(members.repeat(num))
            group.append((g * num + torch.arange(num, device=members.device)).repeat_interleave(len(members)))
        where = torch.cat(index) if index else torch.zeros(0, dtype=torch.long)
        known = [f.name for f in fields(self) if f.name != "target" and getattr(self, f.name) is not None]
        values = {name: getattr(self, name)[where] for name in known}
        return AgentBatch(**values | {"group": torch.cat(group) if group else where})

    def moved(self, token: Tensor, xy: Tensor, yaw: Tensor, valid: Tensor) -> AgentBatch:
        """The same agents with other tokens, such as those that a rollout executed."""
        return replace(self, token=token, xy=xy, yaw=yaw, valid=valid, target=None)

    def moved_to(self, slot: int, xy: Tensor, yaw: Tensor) -> AgentBatch:
        """The same agents elsewhere in one slot, at ``[N, 2]`` m and ``[N]`` rad."""
        everywhere, headings = self.xy.clone(), self.yaw.clone()
        everywhere[:, slot], headings[:, slot] = xy, yaw
        return replace(self, xy=everywhere, yaw=headings, target=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """S scenes."""

    scene_ids: tuple[str, ...]
    map: MapBatch
    agents: AgentBatch

    @classmethod
    def of(cls, scenes: Sequence[SceneTokens], device: str = "cpu") -> Batch:
        """Put tokenised scenes side by side."""
        maps, agents = [scene.map for scene in scenes], [scene.agents for scene in scenes]
        shared = [f.name for f in fields(AgentBatch) if f.name not in ("scene", "group", "target", "goal", "time_left")]
        shared += ["target"] if all(a.target is not None for a in agents) else []
        number = _numbers(agents, device)
        return cls(
            scene_ids=tuple(scene.scene_id for scene in scenes),
            map=MapBatch(
                xy=_join([m.points[:, 0] for m in maps], device),
                scene=_numbers(maps, device),
                **{name: _join([getattr(m, name) for m in maps], device) for name in _MAP_FIELDS},
            ),
            agents=AgentBatch(
                scene=number,
                group=number,
                **{name: _join([getattr(a, name) for a in agents], device) for name in shared},
            ),
        )

    def with_goals(self, goal: Tensor) -> Batch:
        """The same scenes, with goals for the agents, ``[N, 2]`` m in the frame of their positions; NaN: none.

        Raises:
            ConfigError: there is not one for each agent.
        """
        agents = self.agents
        if tuple(goal.shape) != (len(agents), 2):
            raise ConfigError(
                f"goals have shape {tuple(goal.shape)}, and the batch has {len(agents)} agents; give ({len(agents)}, 2)"
            )
        goal = goal.to(agents.xy.device, torch.float32)
        return replace(self, agents=replace(agents, goal=goal))


_MAP_FIELDS = ("yaw", "token", "type", "polygon", "light")


def _join(arrays: list[np.ndarray], device: str) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays)).to(device)


def _numbers(parts: Sequence[Sized], device: str) -> Tensor:
    return _join([np.full(len(part), i, np.int64) for i, part in enumerate(parts)], device)
