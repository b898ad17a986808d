"""What the stories of merging, and of the held-out highways, say, and their scenes must show."""

from __future__ import annotations

import numpy as np
import pytest

from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.events import Event
from trafficgym.world.world import World
from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.feasibility import FeasibilityOptions, feasibility
from trafficgym_scenarios.interchanges import off_ramp
from trafficgym_scenarios.outcome import ego_slot, outcome

SEEDS = range(4)


def scene_of(name: str, seed: int = 0) -> Scene:
    return FAMILIES[name].sample(seed).scene


def hero_events(scene: Scene, *, ego: str = "constant_velocity") -> tuple[np.ndarray, np.ndarray]:
    """Event bits of ego and first hero at each step, ``[steps, 2]``, and the hero's phases."""
    world = World([scene], control={"all": "idm", "ego": ego})
    slots = [ego_slot(world), int(np.flatnonzero(world.hero_phase[0] >= 0)[0])]
    bits, phases = [], []
    while not world.truncated.all():
        bits.append(world.step().state[0, slots].copy())
        phases.append(int(world.hero_phase[0, slots[1]]))
    return np.array(bits), np.array(phases)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_ego_that_stays_in_a_lane_that_ends_crashes_or_leaves_the_road(seed: int) -> None:
    scenario = FAMILIES["lane-drop"].concrete({"commit": 3.4}, seed=seed)
    assert outcome(scenario, "constant_velocity").infraction


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hero_of_a_lane_drop_is_beside_the_ego_where_the_lane_ends_and_braking_lets_it_pass(seed: int) -> None:
    found = feasibility(FAMILIES["lane-drop"].sample(seed), options=FeasibilityOptions(accelerations=(-8.0,)))
    assert found.keeps_lane.collision
    assert found.is_avoidable


@pytest.mark.parametrize("name", ["weaving", "late-exit"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_hero_crosses_the_egos_lane_from_left_to_right(name: str, seed: int) -> None:
    tracks = scene_of(name, seed).tracks
    yaw, now = float(tracks.yaw[0, 10]), 10
    dx, dy = tracks.x[1] - tracks.x[0, now], tracks.y[1] - tracks.y[0, now]
    aside = dy * np.cos(yaw) - dx * np.sin(yaw)
    assert aside[now] > 3.0 and aside[-1] < -3.0
    assert (np.diff(aside[now:]) < 1e-3).all()


def test_an_exit_runs_beside_the_egos_lane_and_then_leaves() -> None:
    stage = off_ramp(np.random.default_rng(0), speed=25.0, lead_s=4.0, num_lanes=3)
    leaves = stage.ways["exit"]
    s, d = stage.path.project(leaves.path.points)
    before = s < leaves.ego_meets
    np.testing.assert_allclose(d[before], -stage.lane_width, atol=0.01)
    assert d[-1] < -15.0 and (np.diff(leaves.path.points, axis=0) ** 2).sum(1).max() < 10.0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lead_stops_because_the_ego_comes_close_and_not_otherwise(seed: int) -> None:
    scene = scene_of("full-stop", seed)
    _, phases = hero_events(scene)
    assert phases[-1] == 1
    world = World([scene], control={"all": "idm", "ego": "external"})
    hero = int(np.flatnonzero(world.hero_phase[0] >= 0)[0])
    for step in range(40):
        world.step(np.array([[[-4.0 if step < 30 else 0.0, 0.0]]], np.float32))
        assert world.hero_phase[0, hero] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_one_comes_against_the_traffic_and_no_other(seed: int) -> None:
    bits, _ = hero_events(scene_of("wrong-way", seed), ego="idm")
    assert (bits[:, 1] & Event.WRONG_WAY).all() and not (bits[:, 0] & Event.WRONG_WAY).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_debris_does_not_move_and_the_lead_passes_it_untouched(seed: int) -> None:
    scene = scene_of("debris", seed)
    things = scene.tracks.type == AgentType.OTHER
    assert 1 <= things.sum() <= 4
    world = World([scene], control={"all": "idm", "ego": "constant_velocity"})
    ego, hero = ego_slot(world), int(np.flatnonzero(world.hero_phase[0] >= 0)[0])
    start = world.state.table[0].copy()
    while not world.truncated.all():
        events = world.step()
        assert events.collision_with[0, hero] in (-1, ego)
    still = things[world.track[0]]
    np.testing.assert_array_equal(world.state.table[0, still, :2], start[still, :2])


@pytest.mark.parametrize("seed", SEEDS)
def test_who_comes_from_behind_hits_an_ego_that_stays_and_a_free_lane_is_a_way_out(seed: int) -> None:
    found = feasibility(FAMILIES["rear-end-approach"].sample(seed))
    assert found.keeps_lane.collision and found.is_avoidable
    assert found.manoeuvre is not None and (found.manoeuvre.acceleration > 0 or abs(found.manoeuvre.offset) > 1.0)


@pytest.mark.parametrize("name", ["ramp-squeeze", "forced-merge", "zipper-merge"])
@pytest.mark.parametrize("seed", SEEDS)
def test_who_merges_ends_in_the_egos_lane(name: str, seed: int) -> None:
    scene = scene_of(name, seed)
    tracks = scene.tracks
    behind = np.hypot(tracks.x[0] - tracks.x[1, -1], tracks.y[0] - tracks.y[1, -1])
    before = np.hypot(tracks.x[1] - tracks.x[0, -1], tracks.y[1] - tracks.y[0, -1])
    apart = np.hypot(tracks.x[0, 10] - tracks.x[1, 10], tracks.y[0, 10] - tracks.y[1, 10])
    assert apart > 3.0
    assert min(behind.min(), before.min()) < 1.75  # one drives where the other has been
