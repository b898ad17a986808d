"""Building a road lane by lane: features and how they are linked go in, a `Road` comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Links, RoadMap, RoadType
from trafficgym_scenarios.roads.area import drivable_area, rings, strip
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.road import Crosswalk, Road, Route, Rule, SignalPlan, Stop

Array = NDArray[np.float64]

APRON = 8.0
"""m that the asphalt goes on beyond lanes that begin or end at the end of the road, so that a truck's rear is on it."""


@dataclass(frozen=True, kw_only=True)
class LaneStyle:
    """What lanes have in common."""

    width: float  # m
    limit: float  # m/s
    shoulder: float  # m of asphalt beyond the lane on either side
    type: RoadType = RoadType.LANE_SURFACE_STREET


@dataclass(kw_only=True)
class _Lane:
    points: Array
    style: LaneStyle
    interpolating: bool
    rank: int
    next: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    facing: list[int] = field(default_factory=list)
    enters: tuple[str, int] | None = None
    leaves: str | None = None
    rule: Rule | None = None
    waits_after: float = 0.0


class RoadBuilder:
    """Collects lanes, which become the first features of the map in their order, and everything around them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.signal_plan: SignalPlan | None = None
        self._lanes: list[_Lane] = []
        self._lines: list[tuple[RoadType, Array]] = []
        self._stop_signs: list[tuple[Array, list[int]]] = []
        self._crosswalks: dict[str, Crosswalk] = {}
        self._asphalt: list[shapely.Polygon] = []

    def lane(self, points: ArrayLike, style: LaneStyle, *, interpolating: bool = False, rank: int = 0) -> int:
        """Add a lane along a centre line ``[n, 2]`` m; returns its feature. Its asphalt is to be paved as well."""
        xy = np.asarray(points, np.float64)
        self._lanes.append(_Lane(points=xy, style=style, interpolating=interpolating, rank=rank))
        return len(self._lanes) - 1

    def pave_lane(self, points: ArrayLike, style: LaneStyle, *, enters: bool = False, leaves: bool = False) -> None:
        """Asphalt for a lane and its shoulders, and beyond its ends where it enters or leaves the road."""
        width, aprons = style.width + 2 * style.shoulder, (APRON if enters else 0.0, APRON if leaves else 0.0)
        self.pave(strip(np.asarray(points, np.float64), width, before=aprons[0], after=aprons[1]))

    def link(self, lane: int, *following: int) -> None:
        """`lane` leads into each of the `following`."""
        self._lanes[lane].next += following

    def beside(self, *lanes: int) -> None:
        """These lanes lie side by side over their whole length, from right to left, in one direction."""
        for right, left in pairwise(lanes):
            self._lanes[right].left.append(left)
            self._lanes[left].right.append(right)

    def facing(self, a: int, b: int) -> None:
        """Each of the two lanes has the other, which runs against it, on its left."""
        self._lanes[a].facing.append(b)
        self._lanes[b].facing.append(a)

    def enters(self, name: str, lanes: Sequence[int]) -> None:
        """Traffic comes in by these lanes, from right to left, at the end of the road called `name`."""
        for number, lane in enumerate(lanes):
            self._lanes[lane].enters = (name, number)

    def leaves(self, name: str, lanes: Sequence[int]) -> None:
        """Traffic goes out by these lanes at the end of the road called `name`."""
        for lane in lanes:
            self._lanes[lane].leaves = name

    def set_rank(self, lane: int, rank: int) -> None:
        """Give a lane right of way over lanes of lower rank, where it meets them."""
        self._lanes[lane].rank = rank

    def waits(self, rule: Rule, *lanes: int, after: float = 0.0) -> None:
        """Whoever enters these lanes may have to wait `after` so many metres, 0 being where they begin."""
        for lane in lanes:
            self._lanes[lane].rule, self._lanes[lane].waits_after = rule, after

    def line(self, points: ArrayLike, type: RoadType) -> None:
        """Paint a line ``[n, 2]`` m."""
        self._lines.append((type, np.asarray(points, np.float64)))

    def stop_sign(self, at: ArrayLike, lanes: Sequence[int]) -> None:
        """Put a stop sign at a point ``[2]`` m; it governs those who enter `lanes`."""
        self._stop_signs.append((np.asarray(at, np.float64), list(lanes)))

    def crosswalk(self, name: str, start: Array, end: Array, width: float) -> None:
        """Let pedestrians cross between two points ``[2]`` m."""
        ends = [(float(x), float(y)) for x, y in (start, end)]
        self._crosswalks[name] = Crosswalk(name=name, start=ends[0], end=ends[1], width=width)

    def pave(self, area: shapely.Polygon) -> None:
        """Lay asphalt here."""
        self._asphalt.append(area)

    def points(self, lane: int) -> Array:
        """Centre line of a lane, ``[n, 2]`` m."""
        return self._lanes[lane].points

    def road(self, *, rounding: float = 0.0) -> Road:
        """The finished road.

        Args:
            rounding: Radius that corners of its outer edge are filled up to, m.

        Raises:
            ConfigError: its lanes do not hang together.
        """
        area = drivable_area(self._asphalt, rounding)
        features = [(int(lane.style.type), lane.points) for lane in self._lanes]
        features += [(int(kind), xy) for kind, xy in self._lines]
        for k, ring in enumerate(rings(area)):
            features.append((int(RoadType.EDGE_MEDIAN if k else RoadType.EDGE_BOUNDARY), ring))
        for crosswalk in self._crosswalks.values():
            features.append((int(RoadType.CROSSWALK), np.asarray(crosswalk.polygon.exterior.coords)))
        features += [(int(RoadType.STOP_SIGN), at[None]) for at, _ in self._stop_signs]
        num = len(features)
        routes = list(self._routes())
        users: dict[int, list[Route]] = {i: [] for i in range(len(self._lanes))}
        for route in routes:
            for lane in route.lanes:
                users[lane].append(route)
        return Road(
            kind=self.kind,
            map=self._map(features),
            routes={route.name: self._with_neighbors(route, users) for route in routes},
            drivable=area,
            lane_width=_padded([lane.style.width for lane in self._lanes], num, np.float64),
            rank=_padded([lane.rank for lane in self._lanes], num, np.int8),
            crosswalks=self._crosswalks,
            signal_plan=self.signal_plan,
        )

    def _map(self, features: list[tuple[int, Array]]) -> RoadMap:
        num, lanes = len(features), self._lanes
        flat = np.concatenate([xy for _, xy in features])
        before: list[list[int]] = [[] for _ in lanes]
        for i, lane in enumerate(lanes):
            for j in lane.next:
                before[j].append(i)
        rest: list[list[int]] = [[] for _ in range(num - len(lanes))]
        signs = [governed for _, governed in self._stop_signs]
        return RoadMap(
            xyz=np.column_stack([flat, np.zeros(len(flat))]).astype(np.float32),
            offsets=np.cumsum([0] + [len(xy) for _, xy in features]).astype(np.int32),
            id=np.arange(1, num + 1, dtype=np.int64),
            type=np.array([kind for kind, _ in features], np.int8),
            speed_limit=_padded([lane.style.limit for lane in lanes], num, np.float32),
            interpolating=_padded([lane.interpolating for lane in lanes], num, np.bool_),
            successors=Links.from_lists([lane.next for lane in lanes] + rest),
            predecessors=Links.from_lists(before + rest),
            left_neighbors=self._neighbors([lane.left + lane.facing for lane in lanes] + rest),
            right_neighbors=self._neighbors([lane.right for lane in lanes] + rest),
            stop_lanes=Links.from_lists([[] for _ in range(num - len(signs))] + signs),
        )

    def _neighbors(self, lists: list[list[int]]) -> Links:
        spans = [
            [0, len(self.points(own)) - 1, 0, len(self.points(other)) - 1]
            for own, others in enumerate(lists)
            for other in others
        ]
        return Links.from_lists(lists, spans)

    def _routes(self) -> Iterator[Route]:
        """Every way from an entering lane to a leaving one, without changing lane."""
        for i, lane in enumerate(self._lanes):
            if lane.enters is not None:
                for way in self._ways(i):
                    yield self._route(way)

    def _ways(self, start: int) -> Iterator[tuple[int, ...]]:
        open_: list[tuple[int, ...]] = [(start,)]
        while open_:
            way = open_.pop()
            last = self._lanes[way[-1]]
            if last.leaves is not None:
                yield way
            elif not last.next:
                raise ConfigError(f"lane {way[-1]} of this {self.kind} leads nowhere")
            open_ += [(*way, j) for j in reversed(last.next) if j not in way]

    def _route(self, way: tuple[int, ...]) -> Route:
        lanes = [self._lanes[i] for i in way]
        assert lanes[0].enters is not None
        (origin, number), goal = lanes[0].enters, lanes[-1].leaves
        points = np.concatenate([lanes[0].points, *(lane.points[1:] for lane in lanes[1:])])
        path = Path(points)
        ends = np.cumsum([len(lane.points) - 1 for lane in lanes])
        cuts = [0.0, *path.at[ends].tolist()]
        rules = [(s + lane.waits_after, lane.rule, i) for s, lane, i in zip(cuts, lanes, way, strict=False)]
        return Route(
            name=f"{origin}:{number}" if goal == origin else f"{origin}->{goal}:{number}",
            lanes=way,
            cuts=tuple(cuts),
            path=path,
            limits=tuple(lane.style.limit for lane in lanes),
            lane_width=lanes[0].style.width,
            stops=tuple(Stop(s=s, rule=rule, lane=i) for s, rule, i in rules if rule is not None),
        )

    def _with_neighbors(self, route: Route, users: Mapping[int, Sequence[Route]]) -> Route:
        lanes = [self._lanes[i] for i in route.lanes]
        return replace(
            route,
            left=self._beside(route, [lane.left for lane in lanes], users),
            right=self._beside(route, [lane.right for lane in lanes], users),
            opposite=self._beside(route, [lane.facing for lane in lanes], users),
        )

    def _beside(self, route: Route, near: list[list[int]], users: Mapping[int, Sequence[Route]]) -> str | None:
        """The first route that is next to `route`; of several, the one that stays for longest, to the same end."""
        first = next((set(lanes) for lanes in near if lanes), set())
        shared = {other.name: 0.0 for lane in first for other in users[lane]}
        goal = self._lanes[route.lanes[-1]].leaves
        for start, end, lanes in zip(route.cuts, route.cuts[1:], near, strict=False):
            for other in (other for lane in lanes for other in users[lane] if other.name in shared):
                same_end = self._lanes[other.lanes[-1]].leaves == goal
                shared[other.name] += (end - start) * (1.001 if same_end else 1.0)
        return max(shared, key=lambda name: shared[name]) if shared else None


def _padded(values: Sequence[float], num: int, dtype: type) -> NDArray:
    out: NDArray = np.zeros(num, dtype)
    out[: len(values)] = values
    return out
