"""Where logical scenarios are set: generated roads, as the ego finds them."""

from __future__ import annotations

import shapely
from numpy.random import Generator

from trafficgym_scenarios.roads.highways import HighwayOptions, sample_highway
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.road import Road, Route
from trafficgym_scenarios.scenario import Need, Parameters, Setting
from trafficgym_scenarios.stage import CURRENT_STEP, NUM_STEPS, Stage, Way

BEHIND_M = 140.0
"""Road behind the ego: for its second of history, and for who comes from behind."""
_WIDEST = 40.0


def stage_on(
    road: Road, route: str, start: float, *, ways: dict[str, Way] | None = None, phase_s: float = 0.0
) -> Stage:
    """A road as seen from `start` metres along one of its routes.

    Args:
        phase_s: Where the cycle of its signals is at the first step [s].
    """
    own = road.route(route)
    left, right = _beside(road, own, own.left, start), _beside(road, own, own.right, start)
    return Stage(
        road=road.map,
        path=own.path,
        start=start,
        lane_width=own.lane_width,
        speed_limit=float(own.limit(start)),
        left=left,
        right=right,
        opposite=None if own.opposite is None else _offset(own, road.route(own.opposite), start),
        edge_right=-_to_edge(road, own, start, -1),
        edge_left=_to_edge(road, own, start, 1),
        ways=ways or {},
        signals=None if road.signal_plan is None else road.signals(NUM_STEPS, phase_s),
    )


def way_across(road: Road, ego_route: str, route: str) -> Way:
    """Another route of the road, and where it meets that of the ego.

    Raises:
        ValueError: they do not meet.
    """
    meeting = road.conflicts(ego_route, route)
    if meeting is None:
        raise ValueError(f"routes {ego_route!r} and {route!r} of {road.kind!r} do not meet")
    other = road.route(route)
    return Way(
        path=other.path,
        ego_meets=meeting[0],
        meets=meeting[1],
        lane_width=other.lane_width,
        speed_limit=other.speed_limit,
    )


def highway(
    rng: Generator, *, speed: float, needs_left: bool = False, needs_right: bool = False, curved: bool = False
) -> Stage:
    """A highway of two to four lanes, the ego in any lane that has what is needed beside it.

    Args:
        speed: Of the ego [m/s]; the road is long enough for it.
        curved: A curve or an S; otherwise straight.
    """
    least = 1 + needs_left + needs_right
    num = int(rng.integers(max(2, least), 5))
    length = max(1000.0, BEHIND_M + (NUM_STEPS - CURRENT_STEP) * 0.1 * speed + 260.0)
    options = HighwayOptions(
        shape=("curve", "s")[int(rng.integers(2))] if curved else "straight",
        num_lanes=Interval(num, num),
        length=Interval(length, length, "m"),
    )
    road = sample_highway(rng, options)
    lane = int(rng.integers(1 if needs_right else 0, num - 1 if needs_left else num))
    return stage_on(road, f"main:{lane}", BEHIND_M)


def on_highway(*, left: bool = False, right: bool = False) -> Setting:
    """A straight `highway`, with a lane on the ego's left or right where the story needs one."""

    def generate(p: Parameters, rng: Generator) -> Stage:
        return highway(rng, speed=p["ego_speed"], needs_left=left, needs_right=right)

    needs: dict[Need, bool] = {"left": left, "right": right}
    return Setting(generate=generate, needs=tuple(name for name, needed in needs.items() if needed))


def _beside(road: Road, own: Route, name: str | None, start: float) -> float | None:
    """Offset of a route in the same direction, if it is a lane's width away here."""
    if name is None:
        return None
    offset = _offset(own, road.route(name), start)
    return offset if 0.5 * own.lane_width < abs(offset) < 1.8 * own.lane_width else None


def _offset(own: Route, other: Route, start: float) -> float:
    """How far to the left of a route another one runs, at `start` [m]."""
    s, _ = other.path.project(own.path.xy(start))
    _, d = own.path.project(other.path.xy(s))
    return float(d)


def _to_edge(road: Road, own: Route, start: float, side: int) -> float:
    """From a route to the edge of the road on its left (side 1) or right (-1), at `start` [m]."""
    ray = shapely.LineString(own.path.xy([start, start], [0.0, side * _WIDEST]))
    edge = ray.intersection(road.drivable.boundary)
    return _WIDEST if edge.is_empty else float(shapely.distance(shapely.Point(ray.coords[0]), edge))
