"""Goals that are clicked in the window, for agents whose driver takes them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trafficgym.viewer.frame import Goals
from trafficgym.world.controllers import Policy
from trafficgym.world.named_policies import named_policy
from trafficgym.world.roll_out import POLICIES

if TYPE_CHECKING:
    from trafficgym.world.world import World

REACHED_M = 2.0  # RLFTSim's passing criterion (METHODS.md D.3)


@runtime_checkable
class GoalDriver(Protocol):
    """A `Policy` that drives agents to where they are told to go."""

    name: str
    takes_goals: bool  # whether it can
    goals: Callable[[World], NDArray[np.float32]] | str
    """Asked at each decision: x, y [m] in the scene frame of each slot, ``[B, N, 2]``, NaN for those without a goal."""


class ClickedGoals:
    """Where agents of one world are to go, and when they passed there.

    Args:
        background: Who drives them: a policy or the name of one.

    Attributes:
        driver: The same to give to the world; if it takes goals, a copy that takes those of this world alone.
        taken: Whether it takes goals.
    """

    def __init__(self, background: str | Policy) -> None:
        self.driver: str | Policy = background
        policy = named_policy(background) if isinstance(background, str) and background not in POLICIES else background
        self.taken = isinstance(policy, GoalDriver) and policy.takes_goals
        if self.taken:
            self.driver = copy.copy(policy)  # a named policy is shared with other worlds
            self.driver.goals = self._of_world  # type: ignore[union-attr]
        self._goals: dict[int, tuple[float, float]] = {}
        self._passed: dict[int, float] = {}

    def _of_world(self, world: World) -> NDArray[np.float32]:
        goals = np.full((*world.policy_index.shape, 2), np.nan, np.float32)
        for slot, goal in self._goals.items():
            goals[0, slot] = goal
        return goals

    def put(self, slot: int, goal: tuple[float, float] | None) -> None:
        """Send a slot to (x, y) m in the scene frame; None: nowhere in particular."""
        self._passed.pop(slot, None)
        if goal is None:
            self._goals.pop(slot, None)
        else:
            self._goals[slot] = goal

    def marks(self, world: World) -> Goals:
        """What is drawn: goals, and who can have one."""
        xy = np.zeros((len(world.policy_index[0]), 2), np.float32)
        valid = np.zeros(len(xy), bool)
        for slot, goal in self._goals.items():
            xy[slot], valid[slot] = goal, True
        taken = world.policy_index[0] == world.policies.index(self.driver) if self.taken else np.zeros(len(xy), bool)  # type: ignore[arg-type]
        return Goals(xy=xy, valid=valid, taken=taken)

    def watch(self, x: NDArray[np.float32], y: NDArray[np.float32], time_s: float) -> list[tuple[int, str]]:
        """Slots with goals, and how far they are from them or when they came within `REACHED_M`.

        To be asked at each step.

        Args:
            x: Of all slots now, ``[N]`` m; `y` likewise.
            time_s: What time it is, s.
        """
        found = []
        for slot, goal in self._goals.items():
            far = float(np.hypot(x[slot] - goal[0], y[slot] - goal[1]))
            if far <= REACHED_M:
                self._passed.setdefault(slot, time_s)
            passed = self._passed.get(slot)
            found.append((slot, f"{far:.0f} m to its goal" if passed is None else f"at its goal at {passed:.1f} s"))
        return found
