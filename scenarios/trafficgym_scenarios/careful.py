"""A careful driver by rules, as a yardstick for scenarios and for learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.world.dynamics import Bicycle, Body, Motion
from trafficgym.world.idm import IdmParameters
from trafficgym.world.state import DT
from trafficgym.world.world import World
from trafficgym_scenarios.corridor import corridor_of
from trafficgym_scenarios.forecast import MAX_FORECASTS, MAX_OTHERS, NUM_TIMES
from trafficgym_scenarios.lattice import NUM_PLAN, NUM_TARGETS, WHEELBASE, decide

Float = NDArray[np.float64]

ACCELERATIONS = (0.0, 2.0, 1.0, 0.0, -1.5, -3.0, -5.0, -8.0)
"""m/s^2, of the lattice; the first is replaced by that of the intelligent driver model."""


class Scratch(NamedTuple):
    """What the lattice writes in."""

    others: Float  # (MAX_OTHERS, 8)
    heads: Float  # (MAX_FORECASTS, 3)
    paths: Float  # (MAX_FORECASTS, NUM_TIMES, 6)
    targets: Float  # (NUM_TARGETS, 4)
    wanted: Float  # (NUM_ACCELERATIONS,) m/s^2
    plan: Float  # (NUM_TIMES, NUM_PLAN)

    @classmethod
    def new(cls) -> Scratch:
        """Arrays of the right sizes."""
        return cls(
            np.zeros((MAX_OTHERS, 8)),
            np.zeros((MAX_FORECASTS, 3)),
            np.zeros((MAX_FORECASTS, NUM_TIMES, 6)),
            np.zeros((NUM_TARGETS, 4)),
            np.array(ACCELERATIONS),
            np.zeros((NUM_TIMES, NUM_PLAN)),
        )


@names_nearest
@dataclass(kw_only=True, eq=False)
class CarefulDriver:
    """A `Policy` that follows its lane and looks 3.6 s ahead.

    It follows the lane path of its track at the speed limit, keeping its distance by the intelligent driver model
    (`trafficgym.world.idm`). At every decision it plays a lattice of accelerations and lateral moves against forecasts
    of all others (`forecast`), and takes the one that costs least: collisions first, the earlier and the faster the
    worse; then leaving the road; then the wrong side of the road, small gaps, and discomfort. It stops for red lights.

    It learns nothing, remembers nothing from one decision to the next, and sees everybody, hidden or not. It does not
    overtake, knows no stop signs and no right of way, and says nothing about how people drive: it is a yardstick, by
    which a scenario can be told from one that nobody could have survived.

    Its actions are those of `Bicycle`; with other dynamics it asks their `inverse` for the same motion.

    Raises:
        ConfigError: a value makes no sense.
    """

    headway_s: float = 1.6
    standstill_gap: float = 2.5
    """m"""
    acceleration: float = 1.5
    """m/s^2, at most, unless it has to get out of the way."""
    deceleration: float = 2.0
    """m/s^2, comfortable."""
    name: str = "careful"
    _scratch: Scratch = field(default_factory=Scratch.new, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("headway_s", "standstill_gap", "acceleration", "deceleration"):
            if not 0 < getattr(self, name) < 100:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")

    def act(self, world: World, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        """See `Policy.act`."""
        chosen = np.argwhere(mask)
        actions = np.zeros((len(chosen), 2), np.float32)
        for k, (b, n) in enumerate(chosen.tolist()):
            if world.state.present[b, n]:
                actions[k] = self._decide(world, b, n)
        dynamics = world.dynamics
        if not isinstance(dynamics, Bicycle):
            actions = self._translate(world, mask, actions)
        out = np.zeros((*mask.shape, dynamics.action_size), actions.dtype)
        out[mask] = actions
        return out

    def _decide(self, world: World, b: int, n: int) -> tuple[float, float]:
        scene, start = world.scenes[b], world.config.start_step
        parameters = IdmParameters(deceleration=self.deceleration)
        corridor = corridor_of(
            scene, int(world.track[b, n]), scene.current_step if start is None else start, parameters
        )
        acceleration, curvature = decide(
            world.state.table[b],
            n,
            int(world.step_index[b]),
            world.road_rows[b],
            tuple(corridor),
            (self.headway_s, self.standstill_gap, self.acceleration, self.deceleration),
            tuple(self._scratch),
        )
        # It stops, and does not reverse.
        stops = -float(world.state.speed[b, n]) / (DT * world.dynamics.steps_per_action)
        ratio = world.dynamics.wheelbase_ratio if isinstance(world.dynamics, Bicycle) else WHEELBASE
        return max(acceleration, stops), float(np.arctan(curvature * ratio * world.state.length[b, n]))

    def _translate(self, world: World, mask: NDArray[np.bool_], actions: NDArray[np.float32]) -> NDArray:
        """The actions of the world's dynamics that lead where those of a bicycle would."""
        dynamics, state = world.dynamics, world.state
        steps = dynamics.steps_per_action
        motion = Motion(*(getattr(state, name)[mask] for name in Motion._fields))
        body = Body(state.length[mask], state.type[mask])
        # Where velocity is displacement over time, the new speed must already show in the displacement.
        faster = motion._replace(speed=motion.speed + DT * steps * actions[:, 0])
        coasts = actions * np.array([0, 1], np.float32)
        after = Bicycle(steps_per_action=steps, substeps=steps).step(faster, coasts, body)[-1]
        return np.asarray(dynamics.inverse(motion, after, body))
