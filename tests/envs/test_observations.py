"""What agents see, in scenes where it can be worked out on paper."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, Light, micro_scene, straight
from trafficgym.envs.observations import (
    AGENT_FEATURES,
    EGO_FEATURES,
    ROAD_FEATURES,
    SIGNAL_FEATURES,
    ObservationConfig,
    Observer,
)
from trafficgym.errors import ConfigError
from trafficgym.scene.readers import read
from trafficgym.scene.scene import Scene, SignalState
from trafficgym.world.road_index import RoadIndex
from trafficgym.world.world import World, WorldConfig

Blocks = dict[str, np.ndarray]
EXACT = ObservationConfig(agents=4, road_points=8, signals=3, road_order="nearest")


def see(
    scene: Scene, config: ObservationConfig = EXACT, *, control: Any = None, steps: int = 0, agent: int = 0
) -> Blocks:
    """What an agent sees after some steps without action, block by block."""
    world = World([scene], control=control or {0: "external"})
    for _ in range(steps):
        world.step(np.zeros((1, world.num_agents, 2), np.float32))
    return {k: v[0, agent] for k, v in config.split(Observer(world, config).observe()).items()}


def named(block: np.ndarray, features: tuple[str, ...], item: int) -> dict[str, float]:
    return dict(zip(features, block[:, item].tolist(), strict=True))


def test_the_ego_sees_itself_and_its_goal_in_its_own_frame() -> None:
    """It faces north at 6 m/s; its log ends 20 m north and 10 m east of it: 20 m ahead, 10 m to the right."""
    scene = micro_scene(Box(x=[5, 10, 15], y=[7, 17, 27], yaw=math.pi / 2, speed=6.0, length=5.0, width=2.5))
    ego = dict(zip(EGO_FEATURES, see(scene)["ego"].tolist(), strict=True))
    assert ego == pytest.approx(
        {
            "speed": 6 / 30,
            "acceleration": 0,
            "yaw_rate": 0,
            "length": 5 / 20,
            "width": 2.5 / 5,
            "goal_x": 20 / 200,
            "goal_y": -10 / 200,
        },
        abs=1e-6,
    )
    assert see(micro_scene(Box(speed=6.0)))["ego"][5:].tolist() == [0, 0]  # it has no goal


def test_acceleration_and_yaw_rate_are_those_of_the_last_step() -> None:
    world = World([micro_scene(Box(speed=10.0), num_steps=9)], dynamics=None)
    world.step(np.array([[[3.0, 0.1]]], np.float32))
    ego = EXACT.split(Observer(world, EXACT).observe())["ego"][0, 0]
    assert ego[1] == pytest.approx(0.3, abs=1e-4)
    assert ego[2] == pytest.approx(10 * math.tan(0.1) / (0.6 * 4), abs=1e-4)  # Euler: at the speed before


def test_an_agent_10_m_ahead_and_2_m_to_the_left() -> None:
    """The ego faces west, so that is at x - 10, y - 2; it faces south there, which is 90 degrees to the left."""
    ego, other = Box(x=50, y=20, yaw=-math.pi), Box(x=40, y=18, yaw=-math.pi / 2, speed=3.0, length=1.0, width=0.5)
    agents = see(micro_scene(ego, other))["agents"]
    expected = {
        "x": 0.1,
        "y": 0.02,
        "cos_yaw": 0,
        "sin_yaw": 1,
        "speed": 0.1,
        "length": 0.05,
        "width": 0.1,
    }
    assert named(agents, AGENT_FEATURES, 0) == pytest.approx(expected, abs=1e-6)
    assert not agents[:, 1:].any()


def test_agents_come_nearest_first_and_those_too_far_not_at_all() -> None:
    boxes = [Box(x=30), Box(x=-20), Box(y=10), Box(x=101), Box(x=99), Box(x=15, valid=False)]
    scene = micro_scene(Box(), *boxes)
    assert (see(scene)["agents"][:2].T * 100).tolist() == pytest.approx(
        np.array([[0, 10], [-20, 0], [30, 0], [99, 0]]), abs=1e-4
    )
    few = see(scene, replace(EXACT, agents=2))["agents"]
    assert few[0].tolist() == pytest.approx([0, -0.2], abs=1e-6)
    near = see(scene, replace(EXACT, agent_radius=25.0))["agents"]
    assert near[0].tolist() == pytest.approx([0, -20 / 25, 0, 0], abs=1e-6)
    kept = see(scene, replace(EXACT, agents=2, agent_order="slot"))["agents"]
    assert kept[:2].T.tolist() == pytest.approx(np.array([[-0.2, 0], [0, 0.1]]), abs=1e-6)


def test_equally_far_agents_come_in_the_order_of_their_slots() -> None:
    scene = micro_scene(Box(), Box(x=10), Box(y=10), Box(x=-10), Box(y=-10))
    for order in ("nearest", "slot"):
        agents = see(scene, replace(EXACT, agents=3, agent_order=order))["agents"]  # type: ignore[arg-type]
        assert agents[:2].T.tolist() == pytest.approx(np.array([[0.1, 0], [0, 0.1], [-0.1, 0]]), abs=1e-6)


def crowd(places: np.ndarray) -> Scene:
    return micro_scene(Box(), *(Box(x=float(x), y=float(y)) for x, y in places), num_steps=1, current_step=0)


place = st.tuples(st.integers(-12, 12), st.integers(-12, 12)).map(lambda p: (p[0] * 3.0, p[1] * 3.0))


@settings(max_examples=100, deadline=None)
@given(
    places=st.lists(place, min_size=1, max_size=40),
    room=st.integers(0, 12),
    noise=st.sampled_from([0.0, 1e-6]),
    order=st.sampled_from(["nearest", "slot"]),
)
def test_the_nearest_are_those_of_a_full_sort(
    places: list[tuple[float, float]], room: int, noise: float, order: Any
) -> None:
    """Many equal and nearly equal distances; what lies behind the block of agents must stay as it was."""
    xy = np.array(places, np.float32) + noise * np.arange(len(places))[:, None]
    config = ObservationConfig(agents=room, road_points=3, signals=1, agent_radius=30.0, agent_order=order)
    found = see(crowd(xy), config)
    away = (xy.astype(np.float32) ** 2).sum(1)
    nearest = np.argsort(away, kind="stable")[: (away <= 900).sum()][:room]
    expected = np.zeros((2, room), np.float32)
    expected[:, : len(nearest)] = (xy[nearest] if order == "nearest" else xy[np.sort(nearest)]).T / 30
    if noise and order == "slot":
        assert sorted(np.hypot(*found["agents"][:2])) == pytest.approx(sorted(np.hypot(*expected)), abs=1e-5)
    else:
        assert np.hypot(*found["agents"][:2]) == pytest.approx(np.hypot(*expected), abs=1e-5)
        if not noise:
            assert found["agents"][:2] == pytest.approx(expected, abs=1e-6)
    assert not found["road"].any()
    assert not found["signals"].any()


def test_no_room_at_all() -> None:
    config = ObservationConfig(agents=0, road_points=0, signals=0)
    world = World([make_scene(num_agents=20)])
    assert config.size == 7
    for order in ("rings", "nearest"):
        out = np.full((1, 21, 7), 9.0, np.float32)
        Observer(world, replace(config, road_order=order)).observe(out[:, :20])  # type: ignore[arg-type]
        assert (out[:, 20] == 9).all()
        assert (np.abs(out[:, :20]) <= 1).all()


def test_road_points_lie_where_the_road_is() -> None:
    """An edge along y = -3, eastward; the ego at (10, 1, 2) faces north: the edge is behind it and runs to its right.

    Points are the middles of stretches of 4 m: x = 2, 6, 10, ...; the nearest one is at (10, -3).
    """
    scene = micro_scene(Box(x=10, y=1, yaw=math.pi / 2, floor=2.0), edges=[[(x, -3.0, 1.5) for x in range(41)]])
    road = see(scene)["road"]
    expected = {
        "x": -4 / 100,
        "y": 0,
        "cos_direction": 0,
        "sin_direction": -1,
        "z": -0.5 / 10,
        "length": 4 / 10,
        "type": 16 / 21,
    }
    assert named(road, ROAD_FEATURES, 0) == pytest.approx(expected, abs=1e-6)
    assert sorted(road[1, 1:3].tolist()) == pytest.approx([-0.04, 0.04])
    far = np.hypot(road[0], road[1])
    assert np.all(np.diff(far) >= -1e-6)
    assert not see(scene, replace(EXACT, road_radius=3.9))["road"].any()


def points_seen(blocks: Blocks) -> list[tuple[float, ...]]:
    road = blocks["road"]
    return sorted(map(tuple, road[:, road.any(0)].T.round(5).tolist()))


def test_rings_see_the_same_points_as_an_exact_search_where_all_fit(data_root: Path) -> None:
    scene = next(s for s in read(next((data_root / "data/womd").glob("*.tfrecord"))) if isinstance(s, Scene))
    index = RoadIndex(scene)
    config = ObservationConfig(agents=0, signals=0, road_points=index.points.shape[1], road_radius=3000.0)
    for agent in (0, 7):
        rings = see(scene, config, control="external", agent=agent)
        nearest = see(scene, replace(config, road_order="nearest"), control="external", agent=agent)
        assert points_seen(rings) == points_seen(nearest)
        assert len(points_seen(rings)) > 1000


def test_rings_go_outward_ring_by_ring_of_cells(data_root: Path) -> None:
    """When not all fit, what is left out is no nearer than a ring (5 m, and the diagonal of a cell) inside the last."""
    scene = next(s for s in read(next((data_root / "data/womd").glob("*.tfrecord"))) if isinstance(s, Scene))
    index, config = RoadIndex(scene), ObservationConfig(agents=0, signals=0, road_points=100)
    road = see(scene, config, control="external")["road"]
    world = World([scene])
    away = np.abs(index.points[:2] - np.array([[world.state.x[0, 0]], [world.state.y[0, 0]]])).max(0)
    seen = np.hypot(road[0], road[1]) * 100
    assert (np.sort(away)[:100] <= seen.max()).all()
    assert np.sum(away < seen.max() / math.sqrt(2) - 2 * 5.0) <= 100


def test_signals_show_what_they_show() -> None:
    states = [SignalState.ARROW_STOP, SignalState.FLASHING_CAUTION, SignalState.GO, SignalState.UNKNOWN]
    lanes = [[(-20.0, 4.0 * i), (150.0, 4.0 * i)] for i in range(4)]
    lights = [Light(lane=i, stop=(30.0, 4.0 * i), shows=[s] * 3) for i, s in enumerate(states)]
    signals = see(micro_scene(Box(x=0), lanes=lanes, lights=lights))["signals"]
    assert signals.T.tolist() == pytest.approx(
        np.array([[0.3, 0, 1, 0, 0], [0.3, 0.04, 0, 1, 0], [0.3, 0.08, 0, 0, 1]]), abs=1e-6
    )
    assert len(SIGNAL_FEATURES) == 5
    few = see(micro_scene(Box(y=9.0), lanes=lanes, lights=lights), replace(EXACT, signals=1))["signals"]
    assert few[:, 0].tolist() == pytest.approx([0.3, -0.01, 0, 0, 1], abs=1e-6)


def test_signals_change_with_time_and_end_with_their_recording() -> None:
    light = Light(lane=0, stop=(30.0, 0.0), shows=[SignalState.STOP, SignalState.GO])
    scene = micro_scene(Box(), lanes=[[(-20, 0), (50, 0)]], lights=[light], num_steps=2)
    world = World([scene], config=WorldConfig(horizon=9))
    observer, seen = Observer(world, EXACT), []
    for _ in range(3):
        seen.append(EXACT.split(observer.observe())["signals"][0, 0, 2:, 0].tolist())
        world.step(np.zeros((1, 1, 2)))
    assert seen == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_everything_is_clipped() -> None:
    fast = Box(x=straight(0, 500, 3), speed=90.0, length=60.0, width=30.0)
    config = replace(EXACT, agent_radius=10.0)
    blocks = see(micro_scene(fast, Box(x=7.0, y=7.0, floor=60.0, speed=-90.0)), config)
    assert blocks["ego"][[0, 3, 4]].tolist() == [1, 1, 1]
    assert blocks["agents"][4, 0] == -1
    for block in blocks.values():
        assert np.abs(block).max(initial=0) <= 1


def moved(scene: Scene, angle: float, x: float, y: float) -> Scene:
    """The scene turned about the origin and then shifted."""
    cos, sin = math.cos(angle), math.sin(angle)

    def turn(u: np.ndarray, v: np.ndarray, dx: float = 0, dy: float = 0) -> tuple[np.ndarray, np.ndarray]:
        u, v = u.astype(np.float64), v.astype(np.float64)
        return (u * cos - v * sin + dx).astype(np.float32), (u * sin + v * cos + dy).astype(np.float32)

    t, xyz, stop = scene.tracks, scene.road.xyz.copy(), scene.signals.stop.copy()
    (tx, ty), (vx, vy) = turn(t.x, t.y, x, y), turn(t.vx, t.vy)
    yaw = ((t.yaw + angle + math.pi) % math.tau - math.pi).astype(np.float32)
    xyz[:, 0], xyz[:, 1] = turn(xyz[:, 0], xyz[:, 1], x, y)
    stop[..., 0], stop[..., 1] = turn(stop[..., 0], stop[..., 1], x, y)
    return replace(
        scene,
        tracks=replace(t, x=tx, y=ty, vx=vx, vy=vy, yaw=yaw),
        road=replace(scene.road, xyz=xyz),
        signals=replace(scene.signals, stop=stop),
    )


@pytest.mark.parametrize(("angle", "x", "y"), [(0.0, 37.3, -12.9), (1.1, 0.0, 0.0), (-2.7, 200.0, 90.0)])
def test_turning_and_shifting_the_scene_changes_nothing(angle: float, x: float, y: float) -> None:
    """With the exact search; rings are cells of the scene's own grid, which does not turn with it.

    As many road points as there are, since which of two equally far ones comes first is left to rounding.
    """
    scene = make_scene(num_agents=5)
    uneven = scene.tracks.x + 1.7 * np.arange(5, dtype=np.float32)[:, None] ** 2
    scene = replace(scene, tracks=replace(scene.tracks, x=uneven))
    config = ObservationConfig(road_points=400, road_radius=300.0, road_order="nearest", agents=4, signals=1)
    assert RoadIndex(scene).points.shape[1] < 400
    for agent in range(5):
        one = see(scene, config, control="external", steps=3, agent=agent)
        two = see(moved(scene, angle, x, y), config, control="external", steps=3, agent=agent)
        for name in ("ego", "agents", "signals"):
            np.testing.assert_allclose(two[name], one[name], atol=1e-5)
        order = [np.lexsort(b["road"].round(3)[[6, 1, 0]]) for b in (one, two)]
        np.testing.assert_allclose(np.sort(np.hypot(*two["road"][:2])), np.sort(np.hypot(*one["road"][:2])), atol=1e-5)
        first, second = (b["road"][:, o] for b, o in zip((one, two), order, strict=True))
        np.testing.assert_allclose(second[2:].sum(1), first[2:].sum(1), atol=1e-2)


def test_the_dead_see_nothing_and_are_not_seen() -> None:
    scene = micro_scene(Box(speed=10.0), Box(x=5.5), Box(y=9.0), num_steps=21)
    world = World([scene], control={0: "external", 2: "external"}, config=WorldConfig(on_infraction="terminate"))
    observer = Observer(world, EXACT, num_agents=3)
    for _ in range(4):
        world.step(np.zeros((1, 2, 2)))
    out = observer.observe()
    assert not out[0, 0].any()
    assert not out[0, 2].any()  # nobody's row
    agents = EXACT.split(out)["agents"][0, 1]
    assert agents.any(0).tolist() == [True, False, False, False]


def test_memory_never_changes_what_is_seen() -> None:
    """Random walks through resets to other scenes: an observer with a past sees what a new one sees."""
    rng = np.random.default_rng(0)
    scenes = [make_scene(num_agents=n, speed=s) for n, s in ((3, 10.0), (9, 20.0), (1, 5.0))]
    scenes += [micro_scene(*(Box(x=4.0 * i, y=7.0 * i, speed=9.0) for i in range(12)), num_steps=40)]
    world = World([scenes[0], scenes[1]], config=WorldConfig(on_infraction="terminate", horizon=30))
    for config in (EXACT, ObservationConfig(agents=5, road_points=20), replace(EXACT, agent_order="slot")):
        observer = Observer(world, config, num_agents=12)
        for step in range(60):
            if step % 7 == 6:
                which = rng.random(2) < 0.6
                world.reset(which, scenes=[scenes[k] for k in rng.integers(4, size=which.sum())])
                observer.forget(which)
            world.step(rng.normal(0, 3, (2, world.num_agents, 2)))
            assert np.array_equal(observer.observe(), Observer(world, config, num_agents=12).observe())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_of_an_observer_sees_the_same(duplicate: Any) -> None:
    config = ObservationConfig(agents=3, road_points=20)
    world = World([make_scene()])
    observer = Observer(world, config)
    observer.observe()
    other = duplicate(observer)
    assert not set(observer._memory.rings.ravel()) & set(other._memory.rings.ravel())
    for _ in range(30):
        for o in (observer, other):
            o.world.step(np.zeros((1, 3, 2)))
        assert np.array_equal(observer.observe(), other.observe())


def test_split_gives_views_of_any_batch() -> None:
    config = ObservationConfig(agents=3, road_points=5, signals=2)
    assert config.size == 7 + 21 + 35 + 10
    flat = np.arange(2 * 4 * config.size, dtype=np.float32).reshape(2, 4, -1)
    parts = config.split(flat)
    assert {k: v.shape for k, v in parts.items()} == {
        "ego": (2, 4, 7),
        "agents": (2, 4, 7, 3),
        "road": (2, 4, 7, 5),
        "signals": (2, 4, 5, 2),
    }
    assert all(np.shares_memory(v, flat) for v in parts.values())
    assert np.concatenate([v.reshape(2, 4, -1) for v in parts.values()], -1).tolist() == flat.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agents": -1}, "agents is -1; it must be a whole number, 0 or more"),
        ({"road_radius": 0.0}, "road_radius is 0.0; it must be positive"),
        ({"road_order": "nearst"}, "road_order is 'nearst'; it is 'rings' or 'nearest'"),
        ({"agent_order": "far"}, "agent_order is 'far'"),
    ],
)
def test_sizes_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ObservationConfig(**options)


def test_real_scenes_stay_within_the_space(data_root: Path) -> None:
    files = sorted((data_root / "data/gpudrive").glob("*.json.gz"))[:30:15]
    scenes = [s for file in files for s in islice(read(file), 1) if isinstance(s, Scene)]
    world = World(scenes)
    rng = np.random.default_rng(0)
    config = ObservationConfig()
    observer = Observer(world, config)
    for _ in range(40):
        world.step(rng.normal(0, 2, (len(scenes), world.num_agents, 2)))
        out = observer.observe()
        assert np.isfinite(out).all()
        assert np.abs(out).max() <= 1
