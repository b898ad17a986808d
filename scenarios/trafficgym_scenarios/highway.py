"""A small multi-lane highway: what a command or an environment drives on when it is given no scenes.

edge   ─────────────────────────────────────────
lane 2   ▭→                 ▭→
       - - - - - - - - - - - - - - - - - - - - -
lane 1          ▭→   SDC→           ▭→
       - - - - - - - - - - - - - - - - - - - - -
lane 0     ▭→           ▭──→              ▭→
edge   ─────────────────────────────────────────
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, SceneError, nearest_key
from trafficgym.scene.scene import AgentType, Scene, Signals, Tracks
from trafficgym_scenarios.course import Carriageway, Course
from trafficgym_scenarios.traffic import DT, Drivers, Motion, drive, sample_drivers

Shape = Literal["any", "straight", "curve", "s"]
SHAPES = ("straight", "curve", "s")

CURRENT_STEP = 10
WARM_UP = 40  # steps before the first recorded one, in which drivers find their distances
TRIES = 20
MARGIN = 0.3  # m, between any two boxes
NUM_TO_PREDICT = 8


@dataclass(frozen=True, kw_only=True)
class HighwayConfig:
    """What `highway_scene` draws from.

    Raises:
        ConfigError: a value makes no sense.
    """

    shape: Shape = "any"
    num_lanes: int = 3
    lane_width: float = 3.6  # m
    shoulder: float = 1.5  # m, from the outer line to the road edge
    length: float = 1000.0  # m
    speed_limits: tuple[float, ...] = (24.6, 29.1, 31.3)  # m/s: 55, 65 and 70 mph; one is drawn
    radius: tuple[float, float] = (500.0, 1500.0)  # m, tightest point of a curve or S
    num_vehicles: tuple[int, int] = (8, 20)
    num_steps: int = 91  # 10 Hz

    def __post_init__(self) -> None:
        if self.shape not in ("any", *SHAPES):
            raise ConfigError(f"shape is {self.shape!r}; {nearest_key(self.shape, ('any', *SHAPES))}")
        if self.num_lanes < 1:
            raise ConfigError(f"num_lanes is {self.num_lanes}; a highway has at least 1")
        if self.num_steps <= CURRENT_STEP:
            raise ConfigError(f"num_steps is {self.num_steps}; step {CURRENT_STEP} is now, so give at least 11")
        if not 1 <= self.num_vehicles[0] <= self.num_vehicles[1]:
            raise ConfigError(f"num_vehicles is {self.num_vehicles}; give (least, most) with 1 <= least <= most")
        needed = max(self.speed_limits) * 1.2 * (self.num_steps + WARM_UP) * DT / 0.55
        if self.length < needed:
            raise ConfigError(
                f"length is {self.length} m; at these speeds vehicles need {needed:.0f} m not to run out of road"
            )


def highway_scenes(num: int = 8, seed: int = 0, config: HighwayConfig | None = None) -> list[Scene]:
    """Return `num` scenes: ``highway_scene(seed)``, ``highway_scene(seed + 1)`` and so on."""
    return [highway_scene(seed + i, config) for i in range(num)]


def highway_scene(seed: int, config: HighwayConfig | None = None) -> Scene:
    """Make one scene of a highway with moving traffic: collision-free, on the road, the SDC in the midst of it.

    The same seed and config give the same bytes. The SDC stands at the origin at the current step.
    """
    config = config or HighwayConfig()
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        road = _sample_road(config, rng)
        num = int(rng.integers(config.num_vehicles[0], config.num_vehicles[1] + 1))
        steps = WARM_UP + config.num_steps
        drivers = sample_drivers(road, (0.05 * config.length, 0.4 * config.length), num, steps, rng)
        motion = drive(drivers, road, steps, rng)
        if not has_overlap(drivers, motion):
            return _scene(f"highway-{seed:06d}", road, drivers, motion)
    raise SceneError(f"highway seed {seed}: no traffic without a collision in {TRIES} tries; ask for fewer vehicles")


def has_overlap(drivers: Drivers, motion: Motion) -> bool:
    """Whether two boxes come closer than 0.3 m at any step (checked along the course, where curves are gentle)."""
    first, second = np.triu_indices(len(drivers.length), k=1)
    along = np.abs(motion.s[first] - motion.s[second])
    across = np.abs(motion.d[first] - motion.d[second])
    long = (drivers.length[first] + drivers.length[second]) / 2 + MARGIN
    wide = (drivers.width[first] + drivers.width[second]) / 2 + MARGIN
    return bool(((along < long[:, None]) & (across < wide[:, None])).any())


def _sample_road(config: HighwayConfig, rng: Generator) -> Carriageway:
    shape = SHAPES[rng.integers(len(SHAPES))] if config.shape == "any" else config.shape
    bend = 0.0 if shape == "straight" else rng.choice([-1.0, 1.0]) / rng.uniform(*config.radius)
    course = Course(
        length=config.length,
        bend=float(bend),
        half_waves=2 if shape == "s" else 1,
        heading=float(rng.uniform(-np.pi, np.pi)),
    )
    return Carriageway(
        course=course,
        num_lanes=config.num_lanes,
        lane_width=config.lane_width,
        shoulder=config.shoulder,
        speed_limit=float(rng.choice(config.speed_limits)),
    )


def _scene(name: str, road: Carriageway, drivers: Drivers, motion: Motion) -> Scene:
    xy = road.course.xy(motion.s, motion.d)[:, WARM_UP:]
    now = xy[:, CURRENT_STEP]
    sdc = int(np.linalg.norm(now - np.median(now, axis=0), axis=1).argmin())
    steps = xy.shape[1]
    return Scene(
        id=name,
        source="generated",
        origin=np.zeros(3),
        timestamps=np.arange(steps, dtype=np.float64) * DT,
        current_step=CURRENT_STEP,
        tracks=_tracks(xy - now[sdc], road, drivers, motion, sdc),
        road=road.road_map(now[sdc]),
        signals=Signals.empty(steps),
    )


def _tracks(xy: NDArray[np.float64], road: Carriageway, drivers: Drivers, motion: Motion, sdc: int) -> Tracks:
    count, steps = xy.shape[:2]
    along, sideways = motion.speed[:, WARM_UP:], motion.sideways[:, WARM_UP:]
    yaw = road.course.yaw(motion.s[:, WARM_UP:]) + np.arctan2(sideways, along)
    speed = np.hypot(along, sideways)
    box = {name: np.repeat(getattr(drivers, name)[:, None], steps, axis=1) for name in ("length", "width", "height")}
    values = {
        "x": xy[..., 0],
        "y": xy[..., 1],
        "z": box["height"] / 2,
        "yaw": (yaw + np.pi) % (2 * np.pi) - np.pi,
        "vx": speed * np.cos(yaw),
        "vy": speed * np.sin(yaw),
        **box,
    }
    distance = np.linalg.norm(xy[:, CURRENT_STEP], axis=1)
    nearest = np.argsort(distance)[1 : NUM_TO_PREDICT + 1]  # the SDC itself is the nearest of all
    indices = np.arange(count)
    floats: dict[str, Any] = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
    return Tracks(
        id=indices + 1,
        type=np.full(count, AgentType.VEHICLE, np.int8),
        valid=np.ones((count, steps), bool),
        is_sdc=indices == sdc,
        to_predict=np.isin(indices, nearest),
        of_interest=np.zeros(count, bool),
        difficulty=np.zeros(count, np.int8),
        **floats,
    )
