"""A generated road: its map, and what the map does not say: ways through it, where they meet, and who goes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import RoadMap, Signals
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.signal_plan import SignalPhase, SignalPlan

Array = NDArray[np.float64]
Rule = Literal["signal", "all_way_stop", "stop", "yield"]

CLOSE = 2.3
"""Two ways meet where their centre lines are closer than this [m]: less than the narrowest lane."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A line across a route where one may have to wait."""

    s: float  # m along the route; the front bumper stays before it
    rule: Rule
    lane: int  # feature that begins at the line; the one that a signal shows


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """One way through the road, from where it enters to where it leaves, along centres of lanes.

    It is named ``<from>-><to>:<lane>`` after the ends of the road and the lane that it enters by, 0 being the
    rightmost, or ``<from>:<lane>`` where both ends have the same name: ``south->west:0``, ``main:1``.
    """

    name: str
    lanes: tuple[int, ...]  # features, in driving order
    cuts: tuple[float, ...]  # m along the path: where each lane begins, and where the last one ends
    path: Path
    left: str | None = None  # the first route to come beside it in the same direction; see `Road.side_by_side`
    right: str | None = None
    opposite: str | None = None  # nearest route against it on its left, where there is no median
    limits: tuple[float, ...]  # m/s, one for each lane
    lane_width: float  # m, of its first lane
    stops: tuple[Stop, ...] = ()

    @property
    def speed_limit(self) -> float:
        """The highest limit along it, m/s."""
        return max(self.limits)

    def limit(self, s: ArrayLike) -> Array:
        """Speed limit at `s`, m/s."""
        lane = np.searchsorted(self.cuts[1:-1], np.asarray(s, np.float64), side="right")
        return np.asarray(self.limits)[lane]


@dataclass(frozen=True, kw_only=True, eq=False)
class Crosswalk:
    """Where pedestrians cross, from edge to edge."""

    name: str
    start: tuple[float, float]  # m, on the road's edge
    end: tuple[float, float]
    width: float  # m

    @property
    def path(self) -> Path:
        """From `start` to `end`."""
        return Path([self.start, self.end])

    @property
    def polygon(self) -> shapely.Polygon:
        """Its area."""
        return shapely.LineString([self.start, self.end]).buffer(self.width / 2, cap_style="flat")


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A stretch in which two routes are too close for two vehicles side by side."""

    s_a: tuple[float, float]  # m along the first route: from where to where
    s_b: tuple[float, float]
    first: Literal["a", "b"] | None
    """Which of the two has right of way; None: whoever comes first."""
    merges: bool
    """Whether they go on as one; else they cross."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Road:
    """A road that was generated."""

    kind: str
    """Its name in `ROADS`."""
    map: RoadMap
    routes: Mapping[str, Route]
    drivable: shapely.Polygon
    """Everything within the edges, which are its rings."""
    lane_width: Array
    """``[F]`` m, 0 for features that are no lanes."""
    rank: NDArray[np.int8]
    """``[F]`` right of way where lanes meet: the higher goes first."""
    crosswalks: Mapping[str, Crosswalk] = field(default_factory=dict)
    signal_plan: SignalPlan | None = None

    def route(self, name: str) -> Route:
        """The route of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.routes:
            raise ConfigError(f"road {self.kind!r} has no route {name!r}; {nearest_key(name, self.routes)}")
        return self.routes[name]

    def signals(self, num_steps: int, start_s: float = 0.0) -> Signals:
        """The signals of a scene at 10 Hz that begins at `start_s` of the plan's cycle; empty without a plan."""
        plan = self.signal_plan
        if plan is None:
            return Signals.empty(num_steps)
        lanes = np.array(plan.lanes, np.int32)
        stop = self.map.xyz[self.map.offsets[lanes]]
        return Signals(
            lane=lanes,
            lane_id=self.map.id[lanes],
            state=plan.states(start_s + 0.1 * np.arange(num_steps)),
            stop=np.repeat(stop[:, None], num_steps, axis=1),
            valid=np.ones((len(lanes), num_steps), bool),
        )

    def conflicts(self, a: str, b: str) -> tuple[float, float] | None:
        """Where two routes first cross or merge: m along `a` and along `b`; None where they never do.

        Where they cross it is the crossing point; where they merge, the place from which their centre lines are
        closer than `CLOSE`.
        """
        for meeting in self.meetings(a, b):
            if meeting.merges:
                return meeting.s_a[0], meeting.s_b[0]
            return sum(meeting.s_a) / 2, sum(meeting.s_b) / 2
        return None

    def meetings(self, a: str, b: str) -> tuple[Meeting, ...]:
        """Every place where two routes cross or merge, in the order of `a`.

        Stretches that they share from a common lane on, until they part, are none.
        """
        one, other = self.route(a), self.route(b)
        found = []
        for i, lane in enumerate(one.lanes):
            for j, its in enumerate(other.lanes):
                if lane in other.lanes or its in one.lanes:
                    continue
                near = self._near(lane, its)
                if near is not None:
                    (a0, a1), (b0, b1), merges = near
                    rank = int(self.rank[lane]) - int(self.rank[its])
                    found.append(
                        Meeting(
                            s_a=(one.cuts[i] + a0, one.cuts[i] + a1),
                            s_b=(other.cuts[j] + b0, other.cuts[j] + b1),
                            first=None if rank == 0 else ("a" if rank > 0 else "b"),
                            merges=merges,
                        )
                    )
        return tuple(sorted(found, key=lambda meeting: meeting.s_a))

    def side_by_side(self, a: str, b: str) -> tuple[float, float] | None:
        """The stretch of `a` in which `b` runs in a lane next to it, in the same direction: m; None: there is none."""
        one, other = self.route(a), self.route(b)
        beside = [
            i
            for i, lane in enumerate(one.lanes)
            for links in (self.map.left_neighbors, self.map.right_neighbors)
            if set(links.of(lane).tolist()) & set(other.lanes)
        ]
        return (one.cuts[min(beside)], one.cuts[max(beside) + 1]) if beside else None

    def lane_path(self, lane: int) -> Path:
        """Centre line of a lane feature."""
        if lane not in self._paths:
            self._paths[lane] = Path(self.map.points(lane)[:, :2])
        return self._paths[lane]

    @cached_property
    def _paths(self) -> dict[int, Path]:
        return {}

    @cached_property
    def _known(self) -> dict[tuple[int, int], tuple[tuple[float, float], tuple[float, float], bool] | None]:
        return {}

    def _near(self, a: int, b: int) -> tuple[tuple[float, float], tuple[float, float], bool] | None:
        """From where to where two lanes are too close, along each, and whether they end as one."""
        if (a, b) not in self._known:
            self._known[a, b] = _near(self.lane_path(a), self.lane_path(b))
        return self._known[a, b]


def _near(a: Path, b: Path) -> tuple[tuple[float, float], tuple[float, float], bool] | None:
    p, q = a.points, b.points
    if (p.min(0) > q.max(0) + CLOSE).any() or (q.min(0) > p.max(0) + CLOSE).any():
        return None
    if np.hypot(*(p[0] - q[0])) < CLOSE or np.hypot(*(p[-1] - q[0])) < CLOSE or np.hypot(*(q[-1] - p[0])) < CLOSE:
        return None  # they part, or one follows the other
    close = np.hypot(*np.moveaxis(p[:, None] - q[None], 2, 0)) < CLOSE
    if not close.any():
        return None
    on_a, on_b = np.flatnonzero(close.any(1)), np.flatnonzero(close.any(0))
    merges = bool(np.hypot(*(p[-1] - q[-1])) < 0.01)
    return (
        (float(a.at[on_a[0]]), float(a.at[on_a[-1]])),
        (float(b.at[on_b[0]]), float(b.at[on_b[-1]])),
        merges,
    )


__all__ = ["Crosswalk", "Meeting", "Path", "Road", "Route", "Rule", "SignalPhase", "SignalPlan", "Stop"]
