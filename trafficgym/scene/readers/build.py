"""What all readers share: from a source's own frame and ids to the arrays of a Scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.scene import AgentType, Links, RoadMap, RoadType, Signals, SignalState, Tracks

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

# (length, width, height) in m, for sources that do not say: a mid-size car, a walker, a bicycle with its rider.
TYPICAL_SIZE = {
    AgentType.UNSET: (1.0, 1.0, 1.5),
    AgentType.VEHICLE: (4.6, 1.9, 1.6),
    AgentType.PEDESTRIAN: (0.7, 0.7, 1.7),
    AgentType.CYCLIST: (1.8, 0.7, 1.6),
    AgentType.OTHER: (1.0, 1.0, 1.0),
}

_DIFFICULTIES = (0, 1, 2)  # WOMD's RequiredPrediction.DifficultyLevel


@dataclass(kw_only=True)
class SourceTracks:
    """Tracks as a source has them: float64 ``[A, T]`` in the source's frame, m, m/s, rad."""

    id: Sequence[int]
    type: Sequence[int]  # AgentType
    x: Float64
    y: Float64
    z: Float64
    yaw: Float64
    vx: Float64
    vy: Float64
    length: Float64
    width: Float64
    height: Float64
    valid: Bool
    sdc: int | None = None  # track index
    to_predict: Mapping[int, int] = field(default_factory=dict)  # track index -> difficulty
    of_interest: Iterable[int] = ()  # ids

    def origin(self, current_step: int) -> Float64:
        """Where the scene frame begins, float64 ``[3]`` m.

        The position at `current_step`, or at its first valid step, of the first of these that is ever
        valid: the SDC, the tracks to predict, all tracks.
        """
        first = [] if self.sdc is None else [self.sdc]
        for track in [*first, *self.to_predict, *range(len(self.valid))]:
            steps = np.flatnonzero(self.valid[track])
            if len(steps):
                step = current_step if self.valid[track, current_step] else steps[0]
                origin = np.array([self.x[track, step], self.y[track, step], self.z[track, step]])
                # A position that is not finite is left for validation, which can name its track.
                return origin if np.isfinite(origin).all() else np.zeros(3)
        return np.zeros(3)

    def in_scene_frame(self, origin: Float64) -> Tracks:
        """Subtract `origin` in float64, wrap the yaw, and clear states that are not valid and hold no position."""
        held = np.isfinite(self.x) & np.isfinite(self.y) & ((self.x != 0) | (self.y != 0))

        def clean(values: Float64, origin: float = 0.0, held: Bool = held) -> NDArray[np.float32]:
            values = np.where(self.valid | (held & np.isfinite(values)), values, origin)
            return subtract_origin(values, origin)

        roles = np.zeros((3, len(self.valid)), bool)
        difficulty = np.zeros(len(self.valid), np.int8)
        if self.sdc is not None:
            roles[0, self.sdc] = True
        for track, level in self.to_predict.items():
            roles[1, track] = True
            difficulty[track] = level if level in _DIFFICULTIES else 0
        ids = np.array(self.id, np.int64)
        heading = clean(self.yaw)
        yaw = wrap(heading)
        roles[2] = np.isin(ids, np.array(list(self.of_interest), np.int64))
        return Tracks(
            id=ids,
            type=np.array(self.type, np.int8),
            x=clean(self.x, origin[0]),
            y=clean(self.y, origin[1]),
            z=clean(self.z, origin[2], held | (self.z != 0)),  # some sources clear x and y only
            yaw=yaw,
            turns=whole_turns(heading, yaw),
            vx=clean(self.vx),
            vy=clean(self.vy),
            length=clean(self.length),
            width=clean(self.width),
            height=clean(self.height),
            valid=self.valid,
            is_sdc=roles[0],
            to_predict=roles[1],
            of_interest=roles[2],
            difficulty=difficulty,
        )


def subtract_origin(values: Float64, origin: float | Float64) -> NDArray[np.float32]:
    """``values - origin`` as float32, such that adding `origin` again gives the float32 of `values`.

    What works in the source's frame with float32 (the official WOSAC metric does) so finds the very numbers that it
    would have read from the source. Plain rounding misses that where a value lies halfway between two float32. It
    cannot be had near the source's own origin, where float32 is finer than here; nor does it matter there.
    """
    wanted = values.astype(np.float32)
    near = (values - origin).astype(np.float32)
    back = (near + origin).astype(np.float32)
    nudged = np.nextafter(near, np.where(wanted > back, np.float32(np.inf), np.float32(-np.inf)))
    helps = (back != wanted) & ((nudged + origin).astype(np.float32) == wanted)
    return np.where(helps, nudged, near)


def whole_turns(heading: NDArray[np.float32], yaw: NDArray[np.float32]) -> NDArray[np.int8] | None:
    """Turns between a heading and its wrapped `yaw`, int8; None where there are none."""
    turns = np.clip(np.nan_to_num(np.rint((heading.astype(np.float64) - yaw) / (2 * np.pi))), -127, 127)
    return turns.astype(np.int8) if turns.any() else None


def wrap(yaw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring angles into [-pi, pi) as float32; those inside keep their bits."""
    pi = np.float32(np.pi)
    outside = ~((yaw >= -pi) & (yaw < pi)) & np.isfinite(yaw)
    wrapped = ((yaw[outside].astype(np.float64) + np.pi) % (2 * np.pi) - np.pi).astype(np.float32)
    wrapped[wrapped >= pi] = -pi
    out = yaw.copy()
    out[outside] = wrapped
    return out


@dataclass(kw_only=True, slots=True)
class Feature:
    """One map feature without its points; lanes are named by id, or by text where the name found no id."""

    id: int
    type: RoadType
    num_points: int
    speed_limit: float = 0.0  # m/s
    interpolating: bool = False
    exits: Sequence[int | str] = ()
    entries: Sequence[int | str] = ()
    left: Sequence[Neighbor] = ()
    right: Sequence[Neighbor] = ()
    stop_lanes: Sequence[int] = ()


@dataclass(kw_only=True, slots=True)
class Neighbor:
    """A lane beside a lane."""

    lane: int | str  # id in the source
    span: tuple[int, int, int, int] | None = None
    """First and last point of the own lane, then of the neighbour, that face each other; None for all of both."""


def build_road(features: Sequence[Feature], xyz: Float64, origin: Float64, *, cropped: bool = False) -> RoadMap:
    """Put map features, and their points float64 ``[P, 3]`` m in the source's frame, into the scene frame.

    Args:
        cropped: The source cuts its map around the scene, so that links to lanes outside are dropped.

    Raises:
        SceneError: a lane names a lane that is not there, and the source is not `cropped`.
    """
    if not features:
        return RoadMap.empty()
    offsets = np.zeros(len(features) + 1, np.int32)
    np.cumsum([f.num_points for f in features], out=offsets[1:])
    linker = _Linker(features, cropped)
    return RoadMap(
        xyz=subtract_origin(xyz, origin),
        offsets=offsets,
        id=np.array([f.id for f in features], np.int64),
        type=np.array([f.type for f in features], np.int8),
        speed_limit=np.array([f.speed_limit for f in features], np.float32),
        interpolating=np.array([f.interpolating for f in features], bool),
        successors=linker.lanes("exit", [f.exits for f in features]),
        predecessors=linker.lanes("entry", [f.entries for f in features]),
        left_neighbors=linker.neighbors("left neighbor", [f.left for f in features]),
        right_neighbors=linker.neighbors("right neighbor", [f.right for f in features]),
        stop_lanes=linker.stop_lanes(),
    )


class _Linker:
    """Turns the ids by which features name lanes into indices."""

    def __init__(self, features: Sequence[Feature], cropped: bool) -> None:
        self._features = features
        self._cropped = cropped
        self._index = lane_index(features)

    def lanes(self, role: str, named: Sequence[Sequence[int | str]]) -> Links:
        return self._links(role, named)[0]

    def neighbors(self, role: str, named: Sequence[Sequence[Neighbor]]) -> Links:
        links, kept = self._links(role, [[n.lane for n in neighbors] for neighbors in named])
        spans = np.array(
            [
                neighbor.span or self._whole(feature, neighbor)
                for feature, neighbors in zip(self._features, named, strict=True)
                for neighbor in neighbors
            ],
            np.int32,
        )
        return replace(links, span=spans.reshape(-1, 4)[kept])

    def stop_lanes(self) -> Links:
        """Stop signs may govern lanes beyond the map's edge; those cannot matter to the scene."""
        return Links.from_lists([[self._index[x] for x in f.stop_lanes if x in self._index] for f in self._features])

    def _links(self, role: str, named: Sequence[Sequence[int | str]]) -> tuple[Links, Bool]:
        """Links to the lanes named, and which of the names, one after the other, the map has, bool ``[n]``."""
        counts = [len(lanes) for lanes in named]
        index = np.array([self._index.get(lane, -1) for lanes in named for lane in lanes], np.int32)
        owner = np.repeat(np.arange(len(named)), counts)
        kept = index >= 0
        if not self._cropped and not kept.all():
            feature = int(owner[~kept][0])
            missing = next(lane for lane in named[feature] if lane not in self._index)
            raise SceneError(
                f"lane {self._features[feature].id} names missing {role} lane {missing}; "
                "the map is incomplete: take the scene from its original source"
            )
        offsets = np.zeros(len(named) + 1, np.int32)
        np.cumsum(np.bincount(owner[kept], minlength=len(named)), out=offsets[1:])
        return Links(offsets=offsets, index=index[kept]), kept

    def _whole(self, feature: Feature, neighbor: Neighbor) -> tuple[int, int, int, int]:
        there = self._index.get(neighbor.lane)
        last = 0 if there is None else self._features[there].num_points - 1
        return 0, feature.num_points - 1, 0, last


def lane_index(features: Sequence[Feature]) -> dict[int | str, int]:
    """Map the id of each lane to the index of its feature."""
    return {f.id: index for index, f in enumerate(features) if f.type.is_lane}


@dataclass(kw_only=True)
class SourceSignals:
    """What signalled lanes showed, one row per lane and step that has an entry."""

    step: Sequence[int]
    lane: Sequence[int]  # id in the source
    state: Sequence[int]  # SignalState
    stop: Float64  # (n, 3) m in the source's frame, where traffic stops

    def in_scene_frame(self, origin: Float64, lanes: Mapping[int | str, int], num_steps: int) -> Signals:
        """Lay the entries out as ``[S, T]``, lanes in order of first appearance.

        Args:
            lanes: Feature index of each lane id of the map.
        """
        if not len(self.lane):
            return Signals.empty(num_steps)
        ids = list(dict.fromkeys(self.lane))
        row_of = {lane: row for row, lane in enumerate(ids)}
        at = np.array([row_of[lane] for lane in self.lane]), np.array(self.step)
        state = np.zeros((len(ids), num_steps), np.int8)
        stop = np.zeros((len(ids), num_steps, 3), np.float32)
        valid = np.zeros((len(ids), num_steps), bool)
        values = np.array(self.state)
        # A later release may add states; until then they say nothing.
        state[at] = np.where((values >= 0) & (values < len(SignalState)), values, SignalState.UNKNOWN)
        stop[at] = subtract_origin(self.stop, origin)
        valid[at] = True
        lane = np.array([lanes.get(lane, -1) for lane in ids], np.int32)
        return Signals(lane=lane, lane_id=np.array(ids, np.int64), state=state, stop=stop, valid=valid)


def integer_ids(names: Sequence[object]) -> list[int]:
    """Return the ids as integers, or a running index where any of them is not one (tokens, UUIDs)."""
    try:
        return [int(str(name)) for name in names]
    except ValueError:
        return list(range(len(names)))


def regular_timestamps(num_steps: int) -> Float64:
    """Seconds since the first step for a source that samples at 10 Hz and does not say, float64 ``[T]``."""
    return np.arange(num_steps, dtype=np.float64) * 0.1


def relative_seconds(timestamps: Float64) -> Float64:
    """Seconds since the first step, float64 ``[T]``.

    Raises:
        SceneError: a timestamp is not finite or does not come after the one before.
    """
    if not np.isfinite(timestamps).all():
        raise SceneError(f"the timestamp of step {np.flatnonzero(~np.isfinite(timestamps))[0]} is not finite")
    late = np.flatnonzero(np.diff(timestamps) <= 0)
    if len(late):
        raise SceneError(f"the timestamp of step {late[0] + 1} does not come after that of step {late[0]}")
    return timestamps - timestamps[:1]
