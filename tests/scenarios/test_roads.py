from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import shapely

from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import AgentType, RoadType, Scene, SignalState, Tracks
from trafficgym.world.events import Event
from trafficgym.world.world import World, WorldConfig
from trafficgym_scenarios.roads import (
    ROADS,
    BranchOptions,
    HighwayOptions,
    IntersectionOptions,
    Interval,
    LaneDropOptions,
    Path,
    RampOptions,
    Road,
    RoundaboutOptions,
    SignalPhase,
    SignalPlan,
    StreetOptions,
    WeavingOptions,
    check_road,
)

LONG = ("highway", "on_ramp", "off_ramp", "merge", "fork", "lane_drop", "weaving")
OPTIONS = {
    HighwayOptions: "highway",
    RampOptions: "on_ramp",
    BranchOptions: "merge",
    LaneDropOptions: "lane_drop",
    StreetOptions: "street",
    IntersectionOptions: "four_way",
    RoundaboutOptions: "roundabout",
}


def make(kind: str, seed: int = 0, **options: object) -> Road:
    cls = next((cls for cls, name in OPTIONS.items() if name == kind), None)
    return ROADS[kind](np.random.default_rng(seed), cls(**options) if cls and options else None)


def drive(road: Road, xy: np.ndarray, yaw: np.ndarray, length: float = 4.8, width: float = 2.0) -> list[np.ndarray]:
    """Replay boxes at xy ``[A, T, 2]``; returns for each step the bits of the events that hold, ``[A]``."""
    num, steps = yaw.shape
    even = dict.fromkeys(("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height"), np.zeros((num, steps)))
    even |= {"x": xy[..., 0], "y": xy[..., 1], "yaw": (yaw + np.pi) % (2 * np.pi) - np.pi}
    even |= {"vx": 9 * np.cos(yaw), "vy": 9 * np.sin(yaw), "z": np.full((num, steps), 0.8)}
    even |= {"length": np.full((num, steps), length), "width": np.full((num, steps), width)}
    even |= {"height": np.full((num, steps), 1.6)}
    none = np.zeros(num, bool)
    scene = Scene(
        id=road.kind,
        source="generated",
        origin=np.zeros(3),
        timestamps=0.1 * np.arange(steps),
        current_step=0,
        tracks=Tracks(
            id=np.arange(num),
            type=np.full(num, AgentType.VEHICLE, np.int8),
            valid=np.ones((num, steps), bool),
            is_sdc=none,
            to_predict=none,
            of_interest=none,
            difficulty=np.zeros(num, np.int8),
            **{name: np.ascontiguousarray(value, np.float32) for name, value in even.items()},
        ),
        road=road.map,
        signals=road.signals(steps, start_s=3.0),
    )
    world = World([scene], control="log", config=WorldConfig(watch_log=True))
    slots = np.argsort(world.track[0][:num])
    held = [world.events.state[0, slots].copy()]
    for _ in range(steps - 1):
        held.append(world.step().state[0, slots].copy())
    return held


@pytest.mark.parametrize("kind", ROADS)
def test_every_road_is_sound(kind):
    for seed in range(30):
        check_road(make(kind, seed))


def test_strips_that_are_nearly_collinear_are_all_paved():
    check_road(make("lane_drop", 107))  # GEOS lost a piece of it


@pytest.mark.parametrize("kind", ROADS)
def test_the_same_seed_gives_the_same_bytes(kind):
    one, other = make(kind, 5), make(kind, 5)
    for field in fields(one.map):
        a, b = getattr(one.map, field.name), getattr(other.map, field.name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else np.array_equal(a.index, b.index), field.name
    assert list(one.routes) == list(other.routes)
    assert one.signal_plan == other.signal_plan
    assert not np.array_equal(one.map.xyz, make(kind, 6).map.xyz)


@pytest.mark.parametrize("kind", ROADS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_world_finds_every_route_on_the_road_and_in_its_direction(kind, seed):
    road = make(kind, seed)
    share = np.linspace(0, 1, 200)
    paths = [route.path for route in road.routes.values()]
    held = drive(
        road,
        np.stack([path.xy(share * path.length) for path in paths]),
        np.stack([path.yaw(share * path.length) for path in paths]),
    )
    for step, bits in enumerate(held):
        for name, bit in zip(road.routes, bits, strict=True):
            assert not bit & (Event.OFF_ROAD | Event.WRONG_WAY), (name, share[step] * road.routes[name].path.length)


@pytest.mark.parametrize("kind", ROADS)
def test_the_world_and_the_polygon_agree_on_what_is_off_road(kind):
    road = make(kind, 2)
    rng = np.random.default_rng(0)
    ring = np.concatenate([np.asarray(ring.coords) for ring in (road.drivable.exterior, *road.drivable.interiors)])
    xy = ring[rng.integers(len(ring), size=600)] + rng.normal(0, 3, (600, 2))
    points = shapely.points(xy)
    edge = shapely.distance(road.drivable.boundary, points)
    xy, points = xy[edge > 0.1], points[edge > 0.1]  # the box has a size
    held = drive(road, xy[None], rng.uniform(-3, 3, (1, len(xy))), length=0.1, width=0.1)
    is_off = np.array([bool(bits[0] & Event.OFF_ROAD) for bits in held])
    assert np.array_equal(is_off, ~shapely.contains(road.drivable, points))
    assert 100 < is_off.sum() < len(xy) - 100


@pytest.mark.parametrize("kind", [*LONG, "roundabout"])
def test_against_a_route_it_is_the_wrong_way(kind):
    road = make(kind, 3)
    routes = road.routes.values()
    s = np.linspace(10, 60, 20)
    held = drive(
        road,
        np.stack([route.path.xy(s) for route in routes]),
        np.stack([route.path.yaw(s) + np.pi for route in routes]),
    )
    assert all((bits & Event.WRONG_WAY).all() for bits in held)


@pytest.mark.parametrize("kind", LONG)
def test_a_highway_is_long_enough_for_20_s(kind):
    assert max(route.path.length for route in make(kind).routes.values()) >= 1499


def test_names_of_the_routes():
    assert list(make("highway", num_lanes=Interval(3, 3)).routes) == ["main:0", "main:1", "main:2"]
    assert set(make("on_ramp", num_lanes=Interval(2, 2)).routes) == {"main:0", "main:1", "ramp->main:0"}
    off = ROADS["off_ramp"](np.random.default_rng(0), RampOptions(num_lanes=Interval(2, 2)))
    assert set(off.routes) == {"main:0", "main:1", "main->exit:0"}
    weaving = ROADS["weaving"](np.random.default_rng(0), WeavingOptions(num_lanes=Interval(2, 2)))
    assert set(weaving.routes) == {"main:0", "main:1", "ramp->exit:0"}
    merge = make("merge", num_lanes=Interval(2, 2), num_branch=Interval(2, 2))
    assert set(merge.routes) == {"main:0", "main:1", "branch->main:0", "branch->main:1"}
    fork = ROADS["fork"](np.random.default_rng(0), BranchOptions(num_lanes=Interval(2, 2), num_branch=Interval(2, 2)))
    assert set(fork.routes) == {"main->right:0", "main->right:1", "main->left:1", "main->left:2"}
    one_lane = make("four_way", num_lanes=Interval(1, 1), turn_lanes="never")
    ends = ("east", "north", "west", "south")
    assert set(one_lane.routes) == {f"{a}->{b}:0" for a in ends for b in ends if a != b}
    roundabout = make("roundabout", num_arms=Interval(4, 4))
    assert set(roundabout.routes) == {f"{a}->{b}:0" if a != b else f"{a}:0" for a in ends for b in ends}


def test_neighbours():
    highway = make("highway", num_lanes=Interval(3, 3))
    route = highway.route("main:1")
    assert (route.left, route.right, route.opposite) == ("main:2", "main:0", None)
    assert highway.side_by_side("main:1", "main:2") == (0.0, pytest.approx(route.path.length))
    assert highway.side_by_side("main:0", "main:2") is None
    ramp = make("on_ramp")
    start, end = ramp.side_by_side("ramp->main:0", "main:0")
    assert 150 <= end - start <= 285
    assert ramp.route("ramp->main:0").left == "main:0"
    street = make("street", num_lanes=Interval(2, 2))
    assert street.route("south->north:1").opposite == "north->south:1"
    assert street.route("south->north:0").left == "south->north:1"
    assert street.route("south->north:0").opposite is None
    junction = make("four_way", num_lanes=Interval(2, 2), turn_lanes="never")
    assert junction.route("south->north:0").left == "south->north:1"
    assert junction.route("south->west:1").right in ("south->east:0", "south->north:0")


def test_merging_routes_meet_where_the_ramp_ends():
    road = make("on_ramp")
    s_main, s_ramp = road.conflicts("main:0", "ramp->main:0")
    at_main, at_ramp = road.route("main:0").path.xy(s_main), road.route("ramp->main:0").path.xy(s_ramp)
    assert np.hypot(*(at_main - at_ramp)) < 2.5
    (meeting,) = road.meetings("main:0", "ramp->main:0")
    assert meeting.merges
    assert meeting.first == "a"
    assert road.conflicts("main:1", "ramp->main:0") is None
    (meeting,) = make("merge", num_branch=Interval(1, 1)).meetings("main:0", "branch->main:0")
    assert meeting.first is None


def test_crossing_routes_meet_in_the_middle():
    road = make("four_way", num_lanes=Interval(1, 1), turn_lanes="never", control="yield", skew=Interval(0, 0))
    s, its = road.conflicts("south->north:0", "west->east:0")
    assert np.hypot(*road.route("south->north:0").path.xy(s)) < 4
    assert np.hypot(*road.route("west->east:0").path.xy(its)) < 4
    assert road.meetings("south->north:0", "west->east:0")[0].first == "b"
    assert road.meetings("west->south:0", "south->east:0") == ()
    assert road.conflicts("south->north:0", "south->west:0") is None
    assert road.meetings("east->south:0", "west->east:0")[0].first == "b"  # who turns left gives way


def test_in_a_roundabout_the_ring_goes_first():
    road = make("roundabout", num_arms=Interval(4, 4))
    meetings = road.meetings("south->north:0", "west->north:0")
    assert [(m.first, m.merges) for m in meetings] == [("b", True)]
    both = road.meetings("south->west:0", "north->east:0")
    assert [m.first for m in both] == ["b", "a"]
    (stop,) = road.route("south->north:0").stops
    assert stop.rule == "yield"
    assert stop.s < meetings[0].s_a[1]


def test_everybody_at_a_signal_can_stop_and_is_seen_crossing_red():
    road = make("four_way", 1, control="signal", num_lanes=Interval(2, 2), turn_lanes="always")
    plan = road.signal_plan
    assert plan is not None
    for route in road.routes.values():
        (stop,) = route.stops
        assert stop.rule == "signal"
        signal = plan.lanes.index(stop.lane)
        state = road.signals(2, start_s=0.0)
        assert np.allclose(state.stop[signal, 0, :2], route.path.xy(stop.s), atol=0.01)
    states = road.signals(int(10 * plan.cycle)).state
    go = np.isin(states, (SignalState.GO, SignalState.ARROW_GO))
    assert go.any(1).all()
    assert not go.all(1).any()
    for a, b in ((a, b) for a in road.routes for b in road.routes if a < b and road.conflicts(a, b)):
        one, other = (plan.lanes.index(road.route(name).stops[0].lane) for name in (a, b))
        assert not (go[one] & go[other]).any(), (a, b)
    s = road.routes["south->north:0"].stops[0].s - 2.4 + np.arange(-5, 5) + 0.5
    path = road.routes["south->north:0"].path
    held = drive(road, path.xy(s)[None], path.yaw(s)[None])
    shown = road.signals(10, start_s=3.0).state[plan.lanes.index(road.routes["south->north:0"].stops[0].lane), 0]
    assert any(bits[0] & Event.RED_LIGHT for bits in held) == (shown == SignalState.STOP)


def test_phases_of_a_plan():
    plan = SignalPlan(
        phases=(SignalPhase(duration=10, green=(7,), walk=("east",)), SignalPhase(duration=5, green=(7, 8))),
        lanes=(7, 8),
        arrows=(False, True),
        yellow=3.0,
        all_red=1.0,
    )
    assert plan.cycle == 23
    go, caution, stop = SignalState.GO, SignalState.CAUTION, SignalState.STOP
    time = [0, 11, 13.5, 15, 20, 22.5, 23]
    assert plan.states(time)[0].tolist() == [go] * 7  # green in both phases: it never ends
    arrow = (
        [SignalState.ARROW_STOP] * 3 + [SignalState.ARROW_GO, SignalState.ARROW_CAUTION] + [SignalState.ARROW_STOP] * 2
    )
    assert plan.states(time)[1].tolist() == arrow
    assert plan.walk("east", time).tolist() == [True, False, False, False, False, False, True]
    alone = replace(plan, phases=(plan.phases[0], SignalPhase(duration=5, green=(8,))))
    assert alone.states(time)[0].tolist() == [go, caution, stop, stop, stop, stop, go]


@pytest.mark.parametrize(("control", "signs"), [("all_way_stop", 4), ("two_way_stop", 2), ("yield", 0), ("signal", 0)])
def test_who_waits_at_an_intersection(control, signs):
    road = make("four_way", control=control)
    assert (road.map.type == RoadType.STOP_SIGN).sum() == signs
    assert len(road.map.stop_lanes.index) >= 3 * signs
    waiting = {name.split("-")[0] for name, route in road.routes.items() if route.stops}
    assert waiting == (
        {"north", "south"} if control in ("two_way_stop", "yield") else {"north", "south", "east", "west"}
    )
    assert set(road.crosswalks) == {"north", "south", "east", "west"}


def test_crosswalks_reach_from_edge_to_edge():
    for kind, options in (("street", {"crosswalk": "always"}), ("four_way", {}), ("three_way", {})):
        road = ROADS[kind](np.random.default_rng(4), OPTIONS_OF[kind](**options))
        assert road.crosswalks
        for crosswalk in road.crosswalks.values():
            for end in (crosswalk.start, crosswalk.end):
                assert shapely.Point(end).distance(road.drivable.boundary) < 0.05
            assert road.drivable.buffer(0.05).contains(crosswalk.path.line)
            assert crosswalk.polygon.area == pytest.approx(3.0 * crosswalk.path.length)


OPTIONS_OF = {"street": StreetOptions, "four_way": IntersectionOptions, "three_way": IntersectionOptions}


def test_a_path_gives_back_what_it_was_asked_for():
    angle = np.linspace(0, np.pi, 80)
    path = Path(40 * np.column_stack([np.cos(angle), np.sin(angle)]))
    assert path.length == pytest.approx(40 * np.pi, rel=1e-3)
    assert np.allclose(path.curvature(np.linspace(0, path.length, 9)), 1 / 40, rtol=1e-3)
    s, d = np.array([0.0, 5.0, 60.0, 120.0]), np.array([0.0, 2.0, -3.0, 1.0])
    back_s, back_d = path.project(path.xy(s, d))
    assert np.allclose(back_s, s, atol=0.05)
    assert np.allclose(back_d, d, atol=0.02)
    assert np.allclose(path.xy(-2.0), path.xy(0.0) - 2 * np.array([0.0, 1.0]), atol=0.02)
    assert np.allclose(path.project(path.xy(path.length + 5.0, 1.0)), (path.length + 5.0, 1.0), atol=0.01)
    with pytest.raises(ConfigError, match="two or more points"):
        Path([[0.0, 0.0], [0.0, 0.0]])


def test_limits_along_a_route():
    road = make("on_ramp", limits=(30.0,), ramp_limit=Interval(15.0, 15.0, "m/s"))
    route = road.route("ramp->main:0")
    assert route.limit(0.0) == 15
    assert route.limit([10.0, route.path.length]).tolist() == [15, 30]
    assert route.speed_limit == 30


def test_a_broken_road_is_found():
    road = make("four_way")
    moved = road.map.xyz.copy()
    moved[road.map.offsets[0] + 3] += 30.0
    with pytest.raises(SceneError, match="lane 0"):
        check_road(replace(road, map=replace(road.map, xyz=moved)))
    with pytest.raises(SceneError, match="predecessor"):
        check_road(replace(road, map=replace(road.map, predecessors=road.map.successors)))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (HighwayOptions, {"shoulder": Interval(0.0, 1.0)}, "shoulder runs from 0 to 1"),
        (HighwayOptions, {"shape": "strait"}, "did you mean 'straight'"),
        (HighwayOptions, {"num_lane": Interval(1, 2)}, "did you mean 'num_lanes'"),
        (HighwayOptions, {"length": Interval(300, 400, "m")}, "between 1000 and 5000 m"),
        (HighwayOptions, {"limits": (120.0,)}, "looks like km/h"),
        (HighwayOptions, {"limits": ()}, "at least one"),
        (RampOptions, {"parallel": Interval(700, 900, "m")}, "raise length"),
        (BranchOptions, {"at": Interval(0.8, 0.9)}, "does not fit"),
        (RampOptions, {"ramp_limit": Interval(40, 60, "km/h")}, "give it in m/s"),
        (HighwayOptions, {"num_lanes": 3}, "give an Interval"),
        (LaneDropOptions, {"side": "rigth"}, "did you mean 'right'"),
        (StreetOptions, {"parking": "sometimes"}, "known: always, any, never"),
        (IntersectionOptions, {"control": "stop"}, "known: all_way_stop"),
        (IntersectionOptions, {"pocket": Interval(40, 150, "m")}, "pocket runs"),
        (RoundaboutOptions, {"num_arms": Interval(5, 5)}, "num_arms runs"),
    ],
)
def test_options_that_make_no_sense(cls, options, message):
    with pytest.raises(ConfigError, match=message):
        cls(**options)


def test_intervals():
    assert Interval(2, 2).draw(np.random.default_rng(0)) == 2
    with pytest.raises(ConfigError, match="empty or reversed"):
        Interval(3.0, 2.0, "m")
    with pytest.raises(ConfigError, match="km/h"):
        Interval(50, 130, "m/s")
    with pytest.raises(ConfigError, match="did you mean 'main:0'"):
        make("highway").route("main0")
