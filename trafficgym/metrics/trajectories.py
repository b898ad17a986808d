"""What every metric looks at: simulated and logged trajectories of one shape, and which agents are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trafficgym.world.rollout import Rollout

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


class Masked(NamedTuple):
    """A value per agent and whether it is defined, ``[A]`` each; where `valid` is False the value is 0."""

    value: NDArray
    valid: Bool

    @property
    def total(self) -> float:
        """Sum of the defined values."""
        return float(np.sum(self.value, where=self.valid))

    @property
    def num(self) -> int:
        """How many values are defined."""
        return int(self.valid.sum())

    @property
    def mean(self) -> float | None:
        """Mean of the defined values, or None where there is none."""
        return self.total / self.num if self.num else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectories:
    """Motion of ``A`` road users over ``T`` steps of 0.1 s, scene frame; 0 where not `present`."""

    x: Float  # (A, T) m, box centre
    y: Float  # (A, T) m
    z: Float  # (A, T) m
    yaw: Float  # (A, T) rad
    vx: Float  # (A, T) m/s
    vy: Float  # (A, T) m/s
    length: Float  # (A,) m
    width: Float  # (A,) m
    height: Float  # (A,) m
    present: Bool  # (A, T)


class Boxes(NamedTuple):
    """The same as plain arrays, as kernels take them."""

    x: Float  # (A, T) m, centre
    y: Float
    z: Float
    cos: Float  # (A, T) of the yaw
    sin: Float
    half_length: Float  # (A,) m
    half_width: Float
    present: Bool  # (A, T)


def boxes(motion: Trajectories) -> Boxes:
    """The boxes of `motion` for a kernel."""
    return Boxes(
        x=motion.x,
        y=motion.y,
        z=motion.z,
        cos=np.cos(motion.yaw),
        sin=np.sin(motion.yaw),
        half_length=0.5 * motion.length,
        half_width=0.5 * motion.width,
        present=motion.present,
    )


def simulated(rollout: Rollout) -> Trajectories:
    """The trajectories that the rollout drove, ``[A, T]``."""
    return _trajectories({name: getattr(rollout, name) for name in _STATES}, rollout.present, rollout)


def logged(rollout: Rollout) -> Trajectories:
    """The log over the same steps and with the same box sizes, ``[A, T]``; not `present` once the log has ended."""
    present = _padded(rollout.log("valid"), rollout.num_steps)
    states = {name: _padded(rollout.log(name), rollout.num_steps) for name in _STATES}
    return _trajectories(states, present, rollout)


def measured_agents(rollout: Rollout) -> Bool:
    """The agents that rates and means are over, bool ``[A]``.

    They are the tracks that the policy under test drives (the log itself may be that policy) and that stand on
    the road at the first step. Props and agents replayed beside the policy under test are not measured.
    """
    return rollout.is_simulated & rollout.present[:, 0]


_STATES = ("x", "y", "z", "yaw", "vx", "vy")


def _trajectories(states: dict[str, NDArray], present: Bool, rollout: Rollout) -> Trajectories:
    arrays = {name: np.where(present, values, 0.0).astype(np.float64) for name, values in states.items()}
    return Trajectories(
        **arrays,
        length=rollout.length.astype(np.float64),
        width=rollout.width.astype(np.float64),
        height=rollout.height.astype(np.float64),
        present=np.ascontiguousarray(present),
    )


def _padded(values: NDArray, num_steps: int) -> NDArray:
    return np.pad(values, ((0, 0), (0, num_steps - values.shape[1])))
