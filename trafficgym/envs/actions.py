"""Between the action spaces of learners and the physical actions of the dynamics."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.world.dynamics import Bicycle, DeltaPose, Dynamics, TargetPose, Verlet

DYNAMICS = {"bicycle": Bicycle, "delta_pose": DeltaPose, "verlet": Verlet, "target_pose": TargetPose}


def make_dynamics(dynamics: str | Dynamics) -> Dynamics:
    """Look up dynamics by name, with their default settings; objects pass through.

    Raises:
        ConfigError: no dynamics of that name, or they have no default settings.
    """
    if not isinstance(dynamics, str):
        return dynamics
    if dynamics == "motion_tokens":
        raise ConfigError(
            "motion tokens need a vocabulary, which has no default; give an object, "
            "MotionTokens(vehicle=..., pedestrian=..., cyclist=...) of trafficgym.world.dynamics"
        )
    if dynamics not in DYNAMICS:
        known = [*DYNAMICS, "motion_tokens"]
        raise ConfigError(f"no dynamics are called {dynamics!r}; {nearest_key(dynamics, known)}")
    return DYNAMICS[dynamics]()


class ActionSpace:
    """The action space of one agent, and the way from its actions to physical ones.

    Continuous actions lie in [-1, 1] and are stretched to the bounds of the dynamics (0 is the middle of the
    range, which is "do nothing" for bounds of opposite sign and equal size); discrete ones are bin numbers.

    Args:
        dynamics: The dynamics.
    """

    def __init__(self, dynamics: Dynamics) -> None:
        low, high = np.array(dynamics.low, np.float32), np.array(dynamics.high, np.float32)
        self.is_discrete = dynamics.num_actions is not None
        self.middle, self.half = (low + high) / 2, (high - low) / 2
        self.dtype = np.int64 if self.is_discrete else np.float32
        self.shape = (dynamics.action_size,)
        self._num = dynamics.num_actions

    @property
    def space(self) -> spaces.Space:
        """Space of one agent: Box ``[action_size]``, or MultiDiscrete."""
        if self._num is not None:
            return spaces.MultiDiscrete(np.array(self._num))
        return spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def batched(self, *lead: int) -> spaces.Space:
        """Space of an array of agents, ``[*lead, action_size]``."""
        if self._num is not None:
            return spaces.MultiDiscrete(np.broadcast_to(np.array(self._num), (*lead, *self.shape)))
        return spaces.Box(-1.0, 1.0, (*lead, *self.shape), np.float32)

    def physical(self, actions: NDArray) -> NDArray[np.float32]:
        """Physical actions, ``[..., action_size]``; bins stay as they are, and what is not finite becomes NaN."""
        if self.is_discrete:
            return actions.astype(np.float32)
        actions = actions.astype(np.float32, copy=False)  # first, so that every facade computes alike
        clipped = np.minimum(np.maximum(actions, np.float32(-1)), np.float32(1))
        infinite = np.isinf(actions)
        if infinite.any():
            clipped[infinite] = np.nan  # not a bound: the world refuses it
        # Number by number: broadcasting over so short a last axis is slow.
        for i in range(self.shape[0]):
            clipped[..., i] = clipped[..., i] * self.half[i] + self.middle[i]
        return clipped

    def is_no_bin(self, actions: NDArray) -> NDArray[np.bool_]:
        """Which discrete actions, ``[..., action_size]``, are not numbers of bins, bool ``[...]``."""
        whole = np.floor(actions) == actions
        return ~(whole & (actions >= 0) & (actions < np.array(self._num))).all(-1)

    def normalised(self, physical: NDArray[np.floating]) -> NDArray:
        """The inverse of `physical`, such as for behaviour cloning from `Dynamics.inverse`."""
        if self.is_discrete:
            return np.rint(physical).astype(np.int64)
        return ((physical - self.middle) / self.half).astype(np.float32)
