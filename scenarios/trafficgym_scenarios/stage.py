"""From a road and its actors to a scene: where a logical scenario is played, and who is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, RoadMap, Scene, Signals, Tracks
from trafficgym.scene.script import HeroScript, Phase
from trafficgym.world.heroes import HeroTables, lay_out, move_heroes
from trafficgym.world.state import BLANK, COS, DT, LENGTH, PRESENT, SIN, SPEED, VX, VY, WIDTH, YAW, X, Y
from trafficgym_scenarios.roads.path import Path

Array = NDArray[np.float64]

CURRENT_STEP = 10
NUM_STEPS = 91
MOTION = [X, Y, YAW, SPEED, VX, VY]
"""Columns of a world's state that `Actor.motion` has."""
CAR = (4.8, 2.0, 1.6)
"""Length, width, height [m]."""
TRUCK = (9.0, 2.5, 3.4)
BICYCLE = (1.8, 0.7, 1.7)
WALKER = (0.6, 0.6, 1.75)
DEBRIS = (0.8, 1.2, 0.5)


class DoesNotFit(Exception):
    """The drawn actors overlap or leave the road; draw again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """A way that crosses, or joins, that of the ego."""

    path: Path
    meets: float
    """m along it, where both meet."""
    ego_meets: float
    """m along the ego's path, where both meet."""
    lane_width: float = 3.5
    speed_limit: float = 13.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A road as the ego finds it: its own lane, and what lies beside and across it.

    Lanes beside the ego's are parallel to it: they are given by their offset from its path, in metres to the left.
    """

    road: RoadMap
    path: Path
    """Centre of the ego's lane, from well behind it to where 9 s take it."""
    start: float
    """m along the path: where the ego is now."""
    lane_width: float
    speed_limit: float  # m/s
    left: float | None = None
    """Offset of the lane on the left in the same direction; None: there is none."""
    right: float | None = None
    opposite: float | None = None
    """Offset of the nearest oncoming lane."""
    edge_right: float = -3.0
    """Offset of the road's edge on the right."""
    edge_left: float = 3.0
    ways: Mapping[str, Way] = field(default_factory=dict)
    """Other ways through the scene, by name."""
    signals: Signals | None = None

    def has_lanes_until(self, ahead: float) -> bool:
        """Whether the ego's path goes on for `ahead` metres."""
        return self.start + ahead <= self.path.length


@dataclass(frozen=True, kw_only=True, eq=False)
class Actor:
    """A road user, or an object, and what it does: its script or, without one, on at constant speed."""

    path: Path
    s: float
    """m along its path, now."""
    d: float = 0.0
    """m to the left of it."""
    speed: float = 0.0
    """m/s along the path."""
    size: tuple[float, float, float] = CAR
    """Length, width, height [m]."""
    type: AgentType = AgentType.VEHICLE
    phases: tuple[Phase, ...] = ()
    """Of its script; empty: it is no hero."""
    meets: float | None = None
    """m along its path: the meeting point of its script."""
    faces_back: bool = False
    """Its box points against its path."""

    def script(self, warm_up: float) -> HeroScript:
        """The script of a hero, along a path from a little behind it."""
        first, last = max(self.s - 30.0, 0.0), min(self.s + 400.0, self.path.length)
        at = np.linspace(first, last, max(int((last - first) / 1.0), 2) + 1)
        point = None if self.meets is None else tuple(self.path.xy(self.meets).tolist())
        return HeroScript(path=self.path.xy(at), phases=self.phases, meeting_point=point, warm_up=warm_up)

    def motion(self, time: Array) -> Array:
        """x, y [m], yaw [rad], speed, vx, vy [m/s] at constant speed along the path, ``[T, 6]``.

        Args:
            time: s from now, ``[T]``.
        """
        s = self.s + self.speed * time
        xy, yaw = self.path.xy(s, self.d), self.path.yaw(s)
        velocity = self.speed * np.stack([np.cos(yaw), np.sin(yaw)], 1)
        facing = yaw + np.pi if self.faces_back else yaw
        along = -self.speed if self.faces_back else self.speed
        return np.column_stack([xy, facing, np.full(len(time), along), velocity])


def compose(
    scene_id: str,
    stage: Stage,
    ego: Actor,
    others: Sequence[Actor],
    *,
    warm_up: float = 1.0,
    num_steps: int = NUM_STEPS,
) -> Scene:
    """Make the scene: the ego is track 0 and the SDC, then `others` in their order.

    Its log is what happens if the ego goes on at constant speed along its path, and so do all who have no script.

    Raises:
        DoesNotFit: two boxes overlap at the current step.
    """
    actors = [ego, *others]
    time: Array = (np.arange(num_steps, dtype=np.float64) - CURRENT_STEP) * DT
    motion = np.stack([actor.motion(time) for actor in actors])  # (A, T, 6)
    sizes = np.array([actor.size for actor in actors])
    _check_apart(motion[:, CURRENT_STEP], sizes)
    scripts = {k: actor.script(warm_up) for k, actor in enumerate(actors) if actor.phases}
    if scripts:
        play(scripts, motion, sizes)
    tracks = _tracks(actors, motion, sizes, list(scripts))
    return Scene(
        id=scene_id,
        source="generated",
        origin=np.zeros(3),
        timestamps=np.arange(num_steps, dtype=np.float64) * DT,
        current_step=CURRENT_STEP,
        tracks=tracks,
        road=stage.road,
        signals=stage.signals or Signals.empty(num_steps),
        scripts=scripts,
    )


def play(scripts: Mapping[int, HeroScript], motion: Array, sizes: Array, *, current_step: int = CURRENT_STEP) -> None:
    """Let the heroes play against an ego that goes on as it does.

    Args:
        scripts: By row.
        motion: `Actor.motion` of the ego, in row 0, and of all others, ``[A, T, 6]``; from `current_step` on the rows
            of heroes are written.
        sizes: Length, width, height [m], ``[A, 3]``.
        current_step: Now.
    """
    rows = [0, *scripts]
    # Every step of those who matter, as rows of a world's state.
    states = np.broadcast_to(BLANK, (motion.shape[1], len(rows), 16)).copy()
    states[..., MOTION] = motion[rows].swapaxes(0, 1)
    states[..., LENGTH], states[..., WIDTH], states[..., PRESENT] = sizes[rows, 0], sizes[rows, 1], 1
    states[..., COS], states[..., SIN] = np.cos(states[..., YAW]), np.sin(states[..., YAW])
    table = states[None, current_step].copy()
    tables = HeroTables.zeros(1, len(scripts))
    for h, script in enumerate(scripts.values()):
        for part, row in zip(tables, lay_out(script, table[0, h + 1], h + 1, 0), strict=True):
            part[0, h] = row
    before, lane, running = table.copy(), np.zeros((1, len(rows), 4), np.float32), np.ones(1, bool)
    for step in range(current_step + 1, motion.shape[1]):
        before[:] = table
        move_heroes(table, before, running, tuple(tables), lane)
        states[step, 1:] = table[0, 1:]
        table[0, 0] = states[step, 0]
    motion[rows[1:], current_step + 1 :] = states[current_step + 1 :, 1:][..., MOTION].swapaxes(0, 1)


def _check_apart(now: Array, sizes: Array, margin: float = 0.3) -> None:
    i, j = np.triu_indices(len(now), 1)
    if not are_apart(now[i, :3], sizes[i], now[j, :3], sizes[j], margin).all():
        raise DoesNotFit("two road users overlap at the start")


def are_apart(pose: Array, size: Array, other: Array, its_size: Array, margin: float = 0.0) -> NDArray[np.bool_]:
    """Whether boxes are further than `margin` metres from others along an axis of one of them.

    Args:
        pose: x, y [m], yaw [rad], ``[..., 3]``.
        size: Length, width [m], ``[..., 2]`` or more.
        other: and `its_size`, likewise; all are broadcast.
        margin: m.
    """
    apart = np.zeros(np.broadcast_shapes(pose.shape[:-1], other.shape[:-1]), bool)
    for (a, its), (b, another) in (((pose, size), (other, its_size)), ((other, its_size), (pose, size))):
        cos, sin = np.cos(a[..., 2]), np.sin(a[..., 2])
        dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
        turn = b[..., 2] - a[..., 2]
        c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
        long = (its[..., 0] + another[..., 0] * c + another[..., 1] * s) / 2 + margin
        wide = (its[..., 1] + another[..., 0] * s + another[..., 1] * c) / 2 + margin
        apart |= (np.abs(dx * cos + dy * sin) > long) | (np.abs(dy * cos - dx * sin) > wide)
    return apart


def _tracks(actors: Sequence[Actor], motion: Array, sizes: Array, heroes: Sequence[int]) -> Tracks:
    num, steps = motion.shape[:2]
    each = [np.broadcast_to(sizes[:, k, None], (num, steps)) for k in range(3)]
    columns = {
        "x": motion[..., 0],
        "y": motion[..., 1],
        "z": each[2] / 2,
        "yaw": (motion[..., 2] + np.pi) % (2 * np.pi) - np.pi,
        "vx": motion[..., 4],
        "vy": motion[..., 5],
        "length": each[0],
        "width": each[1],
        "height": each[2],
    }
    index = np.arange(num)
    is_hero = np.isin(index, heroes)
    floats: dict[str, Any] = {name: np.ascontiguousarray(values, np.float32) for name, values in columns.items()}
    return Tracks(
        id=index + 1,
        type=np.array([actor.type for actor in actors], np.int8),
        valid=np.ones((num, steps), bool),
        is_sdc=index == 0,
        to_predict=is_hero,
        of_interest=is_hero,
        difficulty=np.zeros(num, np.int8),
        **floats,
    )


def traffic(
    stage: Stage, rng: Generator, num: int, speed: float, *, clear: Sequence[tuple[float, float, float]] = ()
) -> list[Actor]:
    """Up to `num` cars at about `speed` in the lanes of the ego's direction, well apart from one another.

    Args:
        clear: Stretches to leave free: offset of the lane, and from where to where along the ego's path [m].
    """
    lanes = [offset for offset in (0.0, stage.left, stage.right) if offset is not None]
    found: list[Actor] = []
    low, high = max(stage.start - 80.0, 10.0), min(stage.start + 160.0, stage.path.length - 10.0)
    for _ in range(4 * num):
        if len(found) == num:
            break
        d, s = lanes[rng.integers(len(lanes))], float(rng.uniform(low, high))
        own_speed = speed * float(rng.uniform(0.92, 1.05))
        room = 8.0 + 1.2 * speed
        blocked = any(abs(d - at) < 1.0 and first - room < s < last + room for at, first, last in clear)
        if not blocked and all(abs(d - other.d) > 1.0 or abs(s - other.s) > room for other in found):
            found.append(Actor(path=stage.path, s=s, d=d, speed=own_speed))
    return found
