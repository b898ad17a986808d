"""Nominal traffic: what a learner, and who scores it, may rely on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import AgentType, Scene, scenes_equal
from trafficgym.scene.store import SceneStore
from trafficgym.scene.writer import SceneWriter
from trafficgym.world.dynamics import Bicycle, TargetPose
from trafficgym.world.events import Event
from trafficgym.world.roll_out import roll_out
from trafficgym.world.world import World, WorldConfig
from trafficgym_scenarios.nominal import NominalConfig, expert_policy, nominal_scene, nominal_scenes
from trafficgym_scenarios.nominal.judge import FAULTS, events_of
from trafficgym_scenarios.nominal.scenes import scene_of
from trafficgym_scenarios.nominal.statistics import traffic_statistics
from trafficgym_scenarios.roads import ROADS, Interval

KINDS = tuple(ROADS)
LONG = NominalConfig(num_steps=201)


def world_events(scene: Scene) -> int:
    """Bits that a world finds when everybody follows the log from its first step to its last."""
    world = World([scene], control="log", config=WorldConfig(watch_log=True, start_step=0))
    found = int(np.bitwise_or.reduce(world.events.state, axis=None))
    while not world.truncated.all():
        found |= int(np.bitwise_or.reduce(world.step().state, axis=None))
    return found


def digest(scene: Scene) -> str:
    t = scene.tracks
    parts = (t.x, t.y, t.yaw, t.vx, t.vy, t.valid, t.to_predict, scene.road.xyz, scene.signals.state)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def boxes(scene: Scene, step: int) -> NDArray[np.object_]:
    """Footprints of those who are there at `step`, as polygons."""
    t = scene.tracks
    there = t.valid[:, step]
    x, y, yaw, length, width = (getattr(t, name)[there, step] for name in ("x", "y", "yaw", "length", "width"))
    forward = np.stack([np.cos(yaw), np.sin(yaw)], -1)[:, None] * length[:, None, None] / 2
    left = np.stack([-np.sin(yaw), np.cos(yaw)], -1)[:, None] * width[:, None, None] / 2
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    return shapely.polygons(np.stack([x, y], -1)[:, None] + corners[:, :1] * forward + corners[:, 1:] * left)


@pytest.mark.parametrize("kind", KINDS)
def test_the_world_finds_no_fault_in_the_logs(kind: str) -> None:
    for seed in range(6):
        scene = nominal_scene(seed, NominalConfig(roads=kind, num_steps=201 if seed < 2 else 91))
        assert not Event(world_events(scene)) & FAULTS, scene.id


def test_the_quick_judge_finds_what_a_world_finds() -> None:
    scene = nominal_scene(3, NominalConfig(roads="four_way"))
    t = scene.tracks
    x = t.x.copy()
    x[1, 40:] = t.x[0, 40:]
    y = t.y.copy()
    y[1, 40:] = t.y[0, 40:]
    crashed = replace(scene, tracks=replace(t, x=x, y=y))
    found = events_of(crashed)
    assert found[0, 40] & Event.COLLISION and not found[0, 39] & Event.COLLISION
    assert int(np.bitwise_or.reduce(found, axis=None)) & FAULTS == world_events(crashed) & FAULTS


def test_same_seed_same_bytes() -> None:
    for kind in ("weaving", "four_way"):
        config = NominalConfig(roads=kind)
        assert digest(nominal_scene(5, config)) == digest(nominal_scene(5, config))
        assert digest(nominal_scene(5, config)) != digest(nominal_scene(6, config))


def test_scenes_by_seed_are_a_sequence() -> None:
    scenes = nominal_scenes(3, seed=7)
    assert len(scenes) == 3
    assert scenes_equal(scenes[1], nominal_scene(8)) is None
    assert [scene.id for scene in scenes[1:]] == [nominal_scene(8).id, scenes[-1].id]
    with pytest.raises(IndexError):
        scenes[3]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_nobody_touches_anybody(seed: int) -> None:
    """By Shapely, which knows nothing of the world's events."""
    scene = nominal_scene(seed)
    for step in range(0, scene.num_steps, 3):
        agents = boxes(scene, step)
        pairs = shapely.STRtree(agents).query(agents, predicate="intersects")
        assert_array_equal(pairs[0], pairs[1], err_msg=f"step {step}: a box meets another than itself")


@pytest.mark.parametrize("kind", ["highway", "roundabout", "four_way"])
def test_velocity_is_the_change_of_position_and_a_bicycle_can_follow(kind: str) -> None:
    scene = nominal_scene(2, NominalConfig(roads=kind))
    t = scene.tracks
    for position, velocity in ((t.x, t.vx), (t.y, t.vy)):
        assert_allclose(np.diff(position, axis=1) / 0.1, velocity[:, 1:], atol=2e-3)
    followed = roll_out(scene, expert_policy(scene, "log"), dynamics=Bicycle())
    away = np.hypot(followed.x - followed.log("x"), followed.y - followed.log("y"))
    assert away[t.type == AgentType.VEHICLE].max() < 0.3


def test_the_sdc_is_in_the_midst_and_the_nearest_are_to_be_predicted() -> None:
    for scene in nominal_scenes(6, seed=30):
        t, sdc = scene.tracks, scene.sdc
        assert sdc is not None and scene.source == "generated" and scene.current_step == 10
        assert t.type[sdc] == AgentType.VEHICLE and (t.x[sdc, 10], t.y[sdc, 10]) == (0.0, 0.0)
        assert t.to_predict.sum() == min(8, t.valid.all(1).sum() - 1) and not t.to_predict[sdc]
        assert t.valid[t.to_predict | t.is_sdc].all()


def test_other_types_are_predicted_too() -> None:
    config = NominalConfig(roads="four_way", pedestrians=Interval(0.2, 0.2), cyclists=Interval(0.15, 0.15))
    t = nominal_scene(1, config).tracks
    predicted = set(t.type[t.to_predict].tolist())
    assert predicted >= {AgentType.VEHICLE} and predicted & {AgentType.PEDESTRIAN, AgentType.CYCLIST}


@pytest.mark.parametrize("kind", ["merge", "four_way", "street"])
def test_the_expert_with_the_noise_of_the_log_drives_the_log(kind: str) -> None:
    scene = nominal_scene(4, NominalConfig(roads=kind))
    again = roll_out(scene, expert_policy(scene, "log"), dynamics=TargetPose())
    there = again.log("valid")
    for name in ("x", "y", "yaw", "vx", "vy"):
        assert_array_equal(getattr(again, name)[there], again.log(name)[there])


def test_the_expert_with_fresh_noise_drives_another_way_without_faults() -> None:
    scene = nominal_scene(4, NominalConfig(roads="four_way"))
    first, again, other = (roll_out(scene, expert_policy(scene, seed), dynamics=TargetPose()) for seed in (1, 1, 2))
    assert_array_equal(first.x, again.x)
    assert np.abs(first.x - other.x).max() > 0.5
    assert np.abs(first.x[:, 1] - first.log("x")[:, 1]).max() < 0.1
    assert not (first.state & np.uint8(Event.COLLISION | Event.OFF_ROAD)).any()


def test_the_worlds_of_a_batch_have_noise_of_their_own() -> None:
    scene = nominal_scene(4, NominalConfig(roads="street"))
    world = World([scene, scene], control=expert_policy(scene, 1), dynamics=TargetPose())
    for _ in range(30):
        world.step()
    assert np.abs(world.state.x[0] - world.state.x[1]).max() > 0.05


def test_the_expert_reacts_to_whoever_stands_in_its_way() -> None:
    scene = nominal_scene(1, NominalConfig(roads="highway"))
    expert, sdc = expert_policy(scene, 0), scene.sdc
    assert sdc is not None
    world = World([scene], control={"all": expert, "sdc": "external"}, dynamics=Bicycle())
    for _ in range(70):
        world.step(np.array([[[-4.0 if world.state.speed[0, 0] > 0 else 0.0, 0.0]]]))
        assert not world.events.holds(Event.COLLISION).any()


def test_the_expert_is_found_again_for_a_scene_from_a_store(tmp_path: Path) -> None:
    config = NominalConfig(roads="street")
    scene = nominal_scene(0, config)
    with SceneWriter(tmp_path / "store") as writer:
        writer.add(scene)
    stored = SceneStore(tmp_path / "store")[0]
    again = roll_out(stored, expert_policy(stored, "log", config), dynamics=TargetPose())
    assert_array_equal(again.x, again.log("x"))


def test_what_has_no_expert_says_so() -> None:
    scene = nominal_scene(0, NominalConfig(roads="street"))
    with pytest.raises(SceneError, match="not made by nominal_scene"):
        expert_policy(replace(scene, id="elsewhere"))
    with pytest.raises(SceneError, match="of version 0"):
        expert_policy(replace(scene, id=scene.id.replace("nominal-1", "nominal-0")))
    with pytest.raises(ConfigError, match="give that as `config`"):
        expert_policy(scene, config=NominalConfig(roads="highway"))
    moved = replace(scene, tracks=replace(scene.tracks, x=scene.tracks.x + np.float32(1.0)))
    with pytest.raises(SceneError, match="was changed"):
        expert_policy(moved)
    other = nominal_scene(1, NominalConfig(roads="street"))
    with pytest.raises(ConfigError, match="make one for each"):
        roll_out(other, expert_policy(scene), dynamics=TargetPose())


def test_nobody_moves_before_the_signal_and_pedestrians_cross() -> None:
    config = NominalConfig(roads="four_way", num_steps=201, pedestrians=Interval(0.3, 0.3))
    walked = signalled = 0
    for seed in range(12):
        scene, _ = scene_of(seed, config)
        t = scene.tracks
        pedestrian = t.type == AgentType.PEDESTRIAN
        walked += int((np.hypot(t.x[:, -1] - t.x[:, 0], t.y[:, -1] - t.y[:, 0])[pedestrian] > 5.0).sum())
        signalled += scene.signals.num_signals > 0
    assert walked >= 15 and signalled >= 1


def test_traffic_looks_like_traffic() -> None:
    highway = traffic_statistics(nominal_scenes(8, config=replace(LONG, roads="highway")))
    assert 20.0 < np.median(highway.speed) < 32.0
    assert 1.2 < np.median(highway.time_gap) < 3.0 and np.percentile(highway.time_gap, 1) > 0.5
    assert np.percentile(np.abs(highway.acceleration), 99) < 2.0
    assert 0.02 < highway.lane_changes_per_km < 1.0
    crossing = traffic_statistics(nominal_scenes(8, config=replace(LONG, roads="four_way")))
    assert 5.0 < np.median(crossing.speed) < 14.0
    assert -3.0 < np.percentile(crossing.acceleration, 1) < -1.0 < 1.0 < np.percentile(crossing.acceleration, 99) < 3.0
    assert 1.0 < np.median(crossing.walking_speed) < 1.7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"roads": "motorway"}, "no kind of road is called 'motorway'"),
        ({"roads": ()}, "roads is empty"),
        ({"num_steps": 10}, "num_steps"),
        ({"num_agents": Interval(0, 5)}, "num_agents"),
        ({"pedestrians": Interval(0.2, 0.7), "cyclists": Interval(0.0, 0.4)}, "leave no vehicles"),
        ({"road": "highway"}, "did you mean 'roads'"),
        ({"spacing": Interval(1.0, 5.0, "m")}, "spacing"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(change: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        NominalConfig(**change)


def test_too_many_for_the_road_is_said() -> None:
    with pytest.raises(SceneError, match="no room"):
        nominal_scene(0, NominalConfig(roads="street", num_agents=Interval(100, 100)))
    with pytest.raises(ConfigError, match="whole number"):
        nominal_scene(-1)
