"""What the stories of streets and junctions say, and their scenes must show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from trafficgym.scene.scene import AgentType, Scene, SignalState
from trafficgym.scene.script import MAX_PHASES
from trafficgym.world.events import Event
from trafficgym.world.state import LENGTH, SPEED, VX, VY, WIDTH, YAW, X, Y
from trafficgym.world.world import World
from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.families.encounter import time_for
from trafficgym_scenarios.feasibility import feasibility
from trafficgym_scenarios.outcome import ego_slot, outcome

NAMES = (
    "jaywalker",
    "cyclist-from-occlusion",
    "cyclist-swerve",
    "left-across-path",
    "red-light-runner",
    "stop-sign-runner",
    "roundabout-intruder",
    "turn-into-path",
    "oncoming-overtake",
    "reversing-car",
    "door-opener",
    "u-turn",
    "pull-out",
)
SEEDS = range(4)
seeds = pytest.mark.parametrize("seed", SEEDS)


def scene_of(name: str, seed: int) -> Scene:
    return FAMILIES[name].sample(seed).scene


def play(scene: Scene, ego: str = "log") -> Iterator[tuple[np.ndarray, np.ndarray, World]]:
    """Rows of the state table of ego and first hero, and the world, after each step; first at the start."""
    world = World([scene], control={"all": "idm", "ego": ego})
    slots = [int(np.flatnonzero(world.track[0] == track)[0]) for track in (scene.sdc, min(scene.scripts))]
    yield (*world.state.table[0, slots].copy(), world)
    while not world.truncated.all():
        world.step()
        yield (*world.state.table[0, slots].copy(), world)


def seen_from(row: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """How far ahead of `row`, and how far to its left, `other` is [m]."""
    dx, dy, yaw = other[X] - row[X], other[Y] - row[Y], row[YAW]
    return float(dx * np.cos(yaw) + dy * np.sin(yaw)), float(dy * np.cos(yaw) - dx * np.sin(yaw))


@pytest.mark.parametrize("name", NAMES)
def test_what_happens_can_be_avoided(name: str) -> None:
    found = [feasibility(FAMILIES[name].sample(seed)) for seed in SEEDS]
    assert sum(one.is_avoidable for one in found) >= 3
    assert sum(one.keeps_lane.infraction or one.keeps_lane.near_miss for one in found) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_whom_the_ego_hits_is_a_hero(name: str) -> None:
    for seed in SEEDS:
        world = World([scene_of(name, seed)], control={"all": "idm", "ego": "constant_velocity"})
        ego = ego_slot(world)
        while not (world.truncated.all() or world.events.holds(Event.COLLISION)[0, ego]):
            world.step()
        other = int(world.events.collision_with[0, ego])
        assert other < 0 or world.hero_phase[0, other] >= 0


@pytest.mark.parametrize("name", NAMES)
def test_heroes_hit_nobody_but_the_ego(name: str) -> None:
    """The ego follows its lane in its log: what the hero would hit after the ego is of no account."""
    for seed in SEEDS:
        world = World([scene_of(name, seed)], control={"all": "idm", "ego": "log"})
        ego = ego_slot(world)
        heroes = np.flatnonzero(world.hero_phase[0] >= 0)
        for _ in range(80):
            world.step()
            if (np.hypot(*(world.state.table[0, heroes, :2] - world.state.table[0, ego, :2]).T) < 6.0).any():
                break
            others = world.events.collision_with[0, heroes]
            assert (others < 0).all(), (seed, others)


@seeds
def test_the_hero_runs_its_light_on_red_while_the_ego_has_green(seed: int) -> None:
    scene = scene_of("red-light-runner", seed)
    ran, ego_ran = False, False
    for _, _, world in play(scene):
        red = world.events.holds(Event.RED_LIGHT)[0]
        ran |= bool(red[world.hero_phase[0] >= 0].any())
        ego_ran |= bool(red[ego_slot(world)])
    assert ran and not ego_ran
    state = scene.signals.state
    green = (state == SignalState.GO).all(1)
    assert green.any() and ((state == SignalState.STOP).all(1) | green).all(), "nothing changes meanwhile"


@seeds
def test_the_hero_does_not_stop_at_its_sign(seed: int) -> None:
    scene = scene_of("stop-sign-runner", seed)
    assert (scene.road.stop_lanes.offsets[1:] > scene.road.stop_lanes.offsets[:-1]).any()
    assert min(hero[SPEED] for _, hero, _ in play(scene)) > 3.0


@seeds
def test_an_oncoming_hero_turns_to_its_left(seed: int) -> None:
    rows = [hero for _, hero, _ in play(scene_of("left-across-path", seed))]
    turned = np.unwrap([row[YAW] for row in rows])
    assert turned[-1] - turned[0] == pytest.approx(np.pi / 2, abs=0.1)
    ego, hero, _ = next(play(scene_of("left-across-path", seed)))
    assert np.cos(hero[YAW] - ego[YAW]) < -0.99


@seeds
def test_the_intruder_meets_an_ego_that_is_in_the_ring(seed: int) -> None:
    rows = [(ego, hero) for ego, hero, _ in play(scene_of("roundabout-intruder", seed))]
    nearest = min(rows, key=lambda both: np.hypot(*(both[0][:2] - both[1][:2])))
    assert np.hypot(*(nearest[0][:2] - nearest[1][:2])) < 5.5
    for ego in (rows[0][0], nearest[0]):
        assert 10.0 < np.hypot(ego[X], ego[Y]) < 30.0  # the ring lies about the origin
    assert np.hypot(rows[0][1][X], rows[0][1][Y]) > 25.0


@seeds
def test_who_turns_into_the_path_is_slower_than_the_ego_and_then_ahead_of_it(seed: int) -> None:
    scenario = FAMILIES["turn-into-path"].sample(seed)
    ego, hero = next(play(scenario.scene))[:2]
    assert hero[SPEED] == 0 and abs(seen_from(ego, hero)[1]) > 4.0
    assert scenario.parameters["speed"] < scenario.parameters["ego_speed"]
    last = [row for _, row, _ in play(scenario.scene)][-1]
    assert abs(seen_from(ego, last)[1]) < 1.0
    assert np.cos(last[YAW] - ego[YAW]) > 0.9


@pytest.mark.parametrize("name", ["jaywalker", "cyclist-from-occlusion"])
@seeds
def test_who_crosses_comes_through_the_egos_lane_from_side_to_side(name: str, seed: int) -> None:
    scene = scene_of(name, seed)
    hero_type = AgentType.PEDESTRIAN if name == "jaywalker" else AgentType.CYCLIST
    assert scene.tracks.type[min(scene.scripts)] == hero_type
    start = next(play(scene))[0]
    aside = np.array([seen_from(start, hero)[1] for _, hero, _ in play(scene)])
    assert abs(aside[0]) > 1.5 and np.sign(aside[0]) != np.sign(aside[-1])
    assert (np.diff(aside) * -np.sign(aside[0]) > -1e-4).all()


@seeds
def test_the_cyclist_starts_behind_the_van(seed: int) -> None:
    ego, hero, world = next(play(scene_of("cyclist-from-occlusion", seed)))
    van = next(row for row in world.state.table[0] if row[LENGTH] == pytest.approx(5.9))
    ahead, aside = seen_from(ego, hero)
    van_ahead, van_aside = seen_from(ego, van)
    assert 0 < ahead - van_ahead - 2.95 < 3.0
    assert aside + 0.9 < van_aside + van[WIDTH] / 2, "its front does not look out behind the van's road side"


@seeds
def test_the_overtaker_passes_the_slow_vehicle_and_comes_back(seed: int) -> None:
    scenario = FAMILIES["oncoming-overtake"].concrete({"wait": 1.0, "ttc": 3.8, "stays": 0.5}, seed=seed)
    scene = scenario.scene
    hero, slow = sorted(scene.scripts)
    t = scene.tracks
    yaw = float(t.yaw[slow, 10])
    ahead = (t.x[hero] - t.x[slow]) * np.cos(yaw) + (t.y[hero] - t.y[slow]) * np.sin(yaw)
    aside = (t.y[hero] - t.y[slow]) * np.cos(yaw) - (t.x[hero] - t.x[slow]) * np.sin(yaw)
    assert ahead[10] < -8.0 and ahead[-1] > 8.0
    assert (aside[np.abs(ahead) < 7.0] > 2.3).all()
    assert aside[-1] < 0.6


@seeds
def test_only_the_road_side_of_a_door_opener_grows_and_by_a_door(seed: int) -> None:
    scenario = FAMILIES["door-opener"].sample(seed)
    rows = [hero for _, hero, _ in play(scenario.scene)]
    ego = next(play(scenario.scene))[0]
    aside = np.array([seen_from(ego, row)[1] for row in rows])
    width = np.array([row[WIDTH] for row in rows])
    assert len(scenario.scene.scripts[1].phases) <= MAX_PHASES
    assert width[-1] - width[0] == pytest.approx(scenario.parameters["door"], abs=1e-3)
    np.testing.assert_allclose(aside - width / 2, aside[0] - width[0] / 2, atol=0.13)
    assert aside[-1] - width[-1] / 2 == pytest.approx(aside[0] - width[0] / 2, abs=0.01)
    # At the start the ego would pass it; then it would not.
    assert aside[0] + width[0] / 2 < -1.0
    assert aside[-1] + width[-1] / 2 > -1.0


@seeds
def test_the_reversing_car_leaves_its_place_backwards_and_stops_in_the_lane(seed: int) -> None:
    rows = list(play(scene_of("reversing-car", seed)))
    start = rows[0][0]
    aside = np.array([seen_from(start, hero)[1] for _, hero, _ in rows])
    assert (np.diff(aside) > -1e-4).all(), "towards the road"
    assert min(hero[SPEED] for _, hero, _ in rows) < -0.5
    assert rows[-1][1][SPEED] == pytest.approx(0, abs=1e-3)
    assert aside[0] + 2.25 < -1.0 < aside[-1] + 2.25


@seeds
def test_a_u_turn_ends_against_the_ego(seed: int) -> None:
    scenario = FAMILIES["u-turn"].concrete({"wait": 1.0, "speed": 5.0}, seed=seed)
    rows = [hero for _, hero, _ in play(scenario.scene)]
    turned = np.unwrap([row[YAW] for row in rows])
    assert turned[-1] - turned[0] == pytest.approx(np.pi, abs=0.3)
    assert turned.max() < turned[0] + np.pi + 0.1


@seeds
def test_who_pulls_out_moves_forward_and_ends_in_the_egos_lane(seed: int) -> None:
    rows = [(ego, hero) for ego, hero, _ in play(scene_of("pull-out", seed))]
    ego, first, last = rows[0][0], rows[0][1], rows[-1][1]
    assert first[SPEED] == 0 and seen_from(ego, first)[1] < -2.0
    assert abs(seen_from(ego, last)[1]) < 0.05
    for _, hero in rows:
        assert hero[VX] * np.cos(hero[YAW]) + hero[VY] * np.sin(hero[YAW]) > -1e-3
        assert abs(np.sin(hero[YAW] - ego[YAW])) < 0.7


@seeds
def test_a_swerving_cyclist_is_beside_the_ego_only_because_it_swerves(seed: int) -> None:
    scene = scene_of("cyclist-swerve", seed)
    ego = next(play(scene))[0]
    aside = np.array([seen_from(ego, hero)[1] for _, hero, _ in play(scene)])
    assert aside[0] + 0.35 < -1.0 < aside.max() + 0.35
    assert outcome(scene, "constant_velocity").collision


def test_an_ego_that_stands_does_not_keep_a_hero_waiting_for_ever() -> None:
    """Nobody waits for a car that does not come."""
    for name in ("jaywalker", "red-light-runner", "u-turn", "pull-out", "door-opener", "turn-into-path"):
        scene = scene_of(name, 0)
        world = World([scene], control={"all": "idm", "ego": "external"})
        hero = int(np.flatnonzero(world.hero_phase[0] >= 0)[0])
        for _ in range(80):
            world.step(np.array([[[-8.0, 0.0]]], np.float32))
        assert world.hero_phase[0, hero] > 0, name


def test_time_for_a_distance() -> None:
    assert time_for(1.0, 10.0, 2.0) == pytest.approx(1.0)  # 2 m/s^2 for 1 s is 1 m
    assert time_for(5.0, 2.0, 2.0) == pytest.approx(1.0 + 2.0)  # 1 m in the first second, then 2 m/s
