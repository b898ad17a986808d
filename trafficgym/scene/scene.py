"""What is given: the road, the tracks of everything that moved on it, and the signals, at 10 Hz.

Real scenes and generated ones are the same type. All arrays are in the scene frame (x east, y north,
z up, metres, yaw counter-clockwise from +x); `Scene.origin` is the float64 world position that was
subtracted, so that float32 stays exact to well under a millimetre.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.script import HeroScript

Float = NDArray[np.float32]
Int = NDArray[np.int32]
Bool = NDArray[np.bool_]


class AgentType(IntEnum):
    """Kinds of road user; the numbers are WOMD's ``Track.ObjectType``."""

    UNSET = 0
    VEHICLE = 1
    PEDESTRIAN = 2
    CYCLIST = 3
    OTHER = 4


class RoadType(IntEnum):
    """Kinds of map feature; the numbers are those that Waymax and GPUDrive use for WOMD."""

    LANE_UNDEFINED = 0
    LANE_FREEWAY = 1
    LANE_SURFACE_STREET = 2
    LANE_BIKE = 3
    LINE_UNKNOWN = 5
    LINE_BROKEN_SINGLE_WHITE = 6
    LINE_SOLID_SINGLE_WHITE = 7
    LINE_SOLID_DOUBLE_WHITE = 8
    LINE_BROKEN_SINGLE_YELLOW = 9
    LINE_BROKEN_DOUBLE_YELLOW = 10
    LINE_SOLID_SINGLE_YELLOW = 11
    LINE_SOLID_DOUBLE_YELLOW = 12
    LINE_PASSING_DOUBLE_YELLOW = 13
    EDGE_UNKNOWN = 14
    EDGE_BOUNDARY = 15
    EDGE_MEDIAN = 16
    STOP_SIGN = 17
    CROSSWALK = 18
    SPEED_BUMP = 19
    DRIVEWAY = 20

    @property
    def is_lane(self) -> bool:
        return self <= RoadType.LANE_BIKE

    @property
    def is_line(self) -> bool:
        return RoadType.LINE_UNKNOWN <= self <= RoadType.LINE_PASSING_DOUBLE_YELLOW

    @property
    def is_edge(self) -> bool:
        return RoadType.EDGE_UNKNOWN <= self <= RoadType.EDGE_MEDIAN


class SignalState(IntEnum):
    """States of a traffic signal; the numbers are WOMD's ``TrafficSignalLaneState.State``."""

    UNKNOWN = 0
    ARROW_STOP = 1
    ARROW_CAUTION = 2
    ARROW_GO = 3
    STOP = 4
    CAUTION = 5
    GO = 6
    FLASHING_STOP = 7
    FLASHING_CAUTION = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Links:
    """A ragged relation between map features: feature `f` points to ``index[offsets[f]:offsets[f+1]]``."""

    offsets: Int  # (F + 1,)
    index: Int  # (N,) feature indices
    span: Int | None = None
    """(N, 4) for neighbours: first and last point of the own lane, then of the neighbour, that face each other."""

    def of(self, feature: int) -> Int:
        """Indices of the features that `feature` points to, int32 ``[n]``."""
        return self.index[self.offsets[feature] : self.offsets[feature + 1]]

    @classmethod
    def empty(cls, num_features: int) -> Links:
        return cls(offsets=np.zeros(num_features + 1, np.int32), index=np.zeros(0, np.int32))

    @classmethod
    def from_lists(cls, lists: list[list[int]], spans: list[list[int]] | None = None) -> Links:
        """Build from one list of feature indices per feature; `spans` holds one row of 4 per link, in order."""
        offsets = np.zeros(len(lists) + 1, np.int32)
        np.cumsum([len(x) for x in lists], out=offsets[1:])
        index = np.array([i for x in lists for i in x], np.int32)
        span = None if spans is None else np.array(spans, np.int32).reshape(-1, 4)
        return cls(offsets=offsets, index=index, span=span)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Everything that moved, ``A`` tracks over ``T`` steps.

    Where `valid` is False the values are 0, or whatever the source still held there.
    """

    id: NDArray[np.int64]  # (A,) unique
    type: NDArray[np.int8]  # (A,) AgentType
    x: Float  # (A, T) m, box centre, scene frame
    y: Float  # (A, T) m
    z: Float  # (A, T) m, box centre
    yaw: Float  # (A, T) rad in [-pi, pi)
    vx: Float  # (A, T) m/s, scene frame
    vy: Float  # (A, T) m/s
    length: Float  # (A, T) m
    width: Float  # (A, T) m
    height: Float  # (A, T) m
    valid: Bool  # (A, T)
    is_sdc: Bool  # (A,) the recording car; at most one
    to_predict: Bool  # (A,) WOMD's tracks_to_predict
    of_interest: Bool  # (A,) WOMD's objects_of_interest
    difficulty: NDArray[np.int8]  # (A,) WOMD's prediction difficulty, 0 where not given
    turns: NDArray[np.int8] | None = None
    """(A, T) whole turns that the source's heading has beyond `yaw`; None where there are none. WOMD's headings are not
    wrapped, and the official WOSAC metric compares them as they are."""

    @property
    def num_agents(self) -> int:
        return self.valid.shape[0]

    @property
    def num_steps(self) -> int:
        return self.valid.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class RoadMap:
    """``F`` map features as one flat list of ``P`` points, in the order of the source, and the lane graph.

    Lanes, lines and edges are polylines (edges have the drivable side on their left); crosswalks, speed
    bumps and driveways are polygons whose last point joins the first; a stop sign is one point.
    """

    xyz: Float  # (P, 3) m, scene frame
    offsets: Int  # (F + 1,) feature f owns xyz[offsets[f]:offsets[f + 1]]
    id: NDArray[np.int64]  # (F,) unique
    type: NDArray[np.int8]  # (F,) RoadType
    speed_limit: Float  # (F,) m/s, 0 where unknown or not a lane
    interpolating: Bool  # (F,) lane is interpolated through an intersection
    successors: Links  # lane -> lanes that it leads into
    predecessors: Links  # lane -> lanes that lead into it
    left_neighbors: Links  # lane -> lanes on its left, same or opposite direction
    right_neighbors: Links
    stop_lanes: Links  # stop sign -> lanes that it governs

    @property
    def num_features(self) -> int:
        return len(self.id)

    def points(self, feature: int) -> Float:
        """Points of one feature, float32 ``[n, 3]`` m."""
        return self.xyz[self.offsets[feature] : self.offsets[feature + 1]]

    def point_feature(self) -> Int:
        """The feature that each point belongs to, int32 ``[P]``."""
        return np.repeat(np.arange(self.num_features, dtype=np.int32), np.diff(self.offsets))

    @property
    def is_lane(self) -> Bool:
        """(F,) the feature is a lane centre line."""
        return self.type <= RoadType.LANE_BIKE

    @property
    def is_line(self) -> Bool:
        """(F,) the feature is a painted line."""
        return (self.type >= RoadType.LINE_UNKNOWN) & (self.type <= RoadType.LINE_PASSING_DOUBLE_YELLOW)

    @property
    def is_edge(self) -> Bool:
        """(F,) the feature is a road edge."""
        return (self.type >= RoadType.EDGE_UNKNOWN) & (self.type <= RoadType.EDGE_MEDIAN)

    @property
    def has_lane_graph(self) -> bool:
        """Whether any lane leads into another (GPUDrive, Nocturne and nuScenes sources have no graph)."""
        return len(self.successors.index) > 0

    @classmethod
    def empty(cls) -> RoadMap:
        return cls(
            xyz=np.zeros((0, 3), np.float32),
            offsets=np.zeros(1, np.int32),
            id=np.zeros(0, np.int64),
            type=np.zeros(0, np.int8),
            speed_limit=np.zeros(0, np.float32),
            interpolating=np.zeros(0, bool),
            **{name: Links.empty(0) for name in LINK_NAMES},
        )


LINK_NAMES = ("successors", "predecessors", "left_neighbors", "right_neighbors", "stop_lanes")


@dataclass(frozen=True, kw_only=True, eq=False)
class Signals:
    """``S`` signalled lanes over ``T`` steps; where `valid` is False the lane had no entry at that step."""

    lane: Int  # (S,) index of the controlled lane's map feature, -1 where the map lacks it
    lane_id: NDArray[np.int64]  # (S,) its id in the source
    state: NDArray[np.int8]  # (S, T) SignalState
    stop: Float  # (S, T, 3) m, where traffic stops; 0 where not valid
    valid: Bool  # (S, T)

    @property
    def num_signals(self) -> int:
        return len(self.lane)

    @classmethod
    def empty(cls, num_steps: int) -> Signals:
        return cls(
            lane=np.zeros(0, np.int32),
            lane_id=np.zeros(0, np.int64),
            state=np.zeros((0, num_steps), np.int8),
            stop=np.zeros((0, num_steps, 3), np.float32),
            valid=np.zeros((0, num_steps), bool),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One recorded or generated scene; it is validated when it is made.

    Raises:
        SceneError: an array has the wrong shape or type, a valid state is not finite, ids repeat, a link
            names no feature, or no agent is ever valid. The message names the scene.
    """

    id: str
    source: str  # "womd", "scenarionet", "gpudrive", "nocturne", "argoverse2", "generated"
    origin: NDArray[np.float64]  # (3,) m, add it to get the source's coordinates
    timestamps: NDArray[np.float64]  # (T,) s since the first step
    current_step: int  # index of "now": history up to and including it, future after it
    tracks: Tracks
    road: RoadMap
    signals: Signals
    scripts: Mapping[int, HeroScript] = field(default_factory=dict)
    """By track index: heroes, which the world drives by their scripts. A scene store keeps their logs only."""

    def __post_init__(self) -> None:
        from trafficgym.scene.validate import validate

        validate(self)

    @property
    def num_agents(self) -> int:
        return self.tracks.num_agents

    @property
    def num_steps(self) -> int:
        return self.tracks.num_steps

    @property
    def sdc(self) -> int | None:
        """Index of the recording car's track, or None where the source does not say."""
        found = np.flatnonzero(self.tracks.is_sdc)
        return int(found[0]) if len(found) else None

    def __repr__(self) -> str:
        return (
            f"Scene({self.id!r}, {self.source}, {self.num_agents} agents, {self.num_steps} steps, "
            f"{self.road.num_features} map features, {self.signals.num_signals} signals)"
        )


def scenes_equal(a: Scene, b: Scene, *, atol: float = 0.0) -> str | None:
    """Compare two scenes; return None where they are equal, else the name of the first field that differs.

    Args:
        atol: Largest difference allowed between floats, in their own units.
    """
    return _first_difference(a, b, atol, "scene")


def _first_difference(a: Any, b: Any, atol: float, name: str) -> str | None:
    if hasattr(a, "__dataclass_fields__"):
        for f in fields(a):
            found = _first_difference(getattr(a, f.name), getattr(b, f.name), atol, f"{name}.{f.name}")
            if found:
                return found
        return None
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same_kind = a.shape == b.shape and a.dtype == b.dtype
        if same_kind and (np.array_equal(a, b) or (a.dtype.kind == "f" and np.allclose(a, b, rtol=0, atol=atol))):
            return None
        return name
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return name
    return None if a is b or a == b else name


__all__ = [
    "AgentType",
    "Links",
    "RoadMap",
    "RoadType",
    "Scene",
    "SceneError",
    "SignalState",
    "Signals",
    "Tracks",
    "scenes_equal",
]
