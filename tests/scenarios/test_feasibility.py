"""Which scenarios could have been avoided."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenarios.make_scenario import SPEED, actor, braking_lead, cutting_in, scene_with
from tests.world.micro import Box, micro_scene, straight
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym_scenarios.families import find_family
from trafficgym_scenarios.feasibility import FeasibilityOptions, feasibility, unavoidable_share
from trafficgym_scenarios.outcome import outcome


def road_of_one_lane(*boxes: Box) -> Scene:
    edges = [[(-60, -1.8), (400, -1.8)], [(400, 1.8), (-60, 1.8)]]
    lanes = [[(-50, 0), (50, 0)], [(50, 0), (400, 0)]]
    return micro_scene(*boxes, lanes=lanes, edges=edges, speed_limit=25.0, successors=[[1], []], num_steps=81)


def test_a_mild_cut_in_is_avoidable_and_a_hopeless_one_is_not() -> None:
    mild = feasibility(scene_with(cutting_in(15.0, SPEED - 4.0, duration=3.0)))
    assert mild.is_avoidable and mild.manoeuvre is not None and mild.num_safe > 5
    assert mild.constant_velocity.infraction and mild.keeps_lane.near_miss
    hopeless = feasibility(scene_with(cutting_in(2.0, SPEED - 15.0, duration=0.8), needs_left=False))
    assert not hopeless.is_avoidable and hopeless.manoeuvre is None and hopeless.num_safe == 0


def test_a_stopped_car_is_avoidable_as_long_as_there_is_room_to_brake() -> None:
    # From 20 m/s, 8 m/s^2 need 25 m, the ramp of the first step included.
    ego = Box(x=straight(0.0, 20.0, 81), speed=20.0, sdc=True)
    for gap, avoidable in ((30.0, True), (20.0, False)):
        found = feasibility(road_of_one_lane(ego, Box(x=gap + 4.0)))
        assert found.is_avoidable is avoidable
        assert found.start_s == 0.0  # there is no trigger to wait for
        if found.manoeuvre is not None:
            assert (found.manoeuvre.acceleration, found.manoeuvre.offset) == (-8.0, 0.0)


def test_it_starts_a_reaction_time_after_the_trigger() -> None:
    scene = scene_with(braking_lead(1.0, 8.0))
    soon, late = (feasibility(scene, options=FeasibilityOptions(reaction_s=t)) for t in (0.3, 1.5))
    assert soon.keeps_lane.trigger_s == (pytest.approx(1.6, abs=0.11),)
    assert soon.start_s == pytest.approx(soon.keeps_lane.trigger_s[0] + 0.3)
    assert late.start_s == pytest.approx(soon.start_s + 1.2)
    assert soon.num_safe > late.num_safe


def test_doing_nothing_ends_the_same_as_when_it_is_played() -> None:
    for other in (braking_lead(1.5, 6.0), cutting_in(8.0, SPEED - 3.0, duration=2.0), actor(70.0, SPEED)):
        scene = scene_with(other)
        found, played = feasibility(scene).constant_velocity, outcome(scene, "constant_velocity")
        assert (found.collision, found.off_road) == (played.collision, played.off_road)
        assert found.min_ttc == pytest.approx(played.min_ttc, abs=0.01)
        assert found.trigger_s == played.trigger_s


def test_an_outcome_says_when_and_how_near() -> None:
    # At 10 m/s the front is 20 m away from a box that stands: they touch after 2 s, and are 1 s apart after 1 s.
    ego, stands = Box(x=straight(0.0, 10.0, 81), speed=10.0, sdc=True), Box(x=24.0)
    crashed = outcome(road_of_one_lane(ego, stands), "constant_velocity")
    assert crashed.collision and crashed.near_miss and crashed.min_ttc == 0.0
    assert crashed.infraction_s == pytest.approx(2.1, abs=0.11)
    passed = outcome(road_of_one_lane(ego), "constant_velocity")
    assert not passed.infraction and passed.min_ttc == np.inf and passed.infraction_s is None and passed.trigger_s == ()


def test_same_scene_same_verdict() -> None:
    scene = scene_with(cutting_in(5.0, SPEED - 6.0, duration=2.0))
    assert feasibility(scene) == feasibility(scene)


def test_bad_input_is_named() -> None:
    with pytest.raises(ConfigError, match="has no SDC"):
        feasibility(road_of_one_lane(Box(x=straight(0.0, 10.0, 81), speed=10.0)))
    with pytest.raises(ConfigError, match="did you mean 'reaction_s'"):
        FeasibilityOptions(reaction=0.3)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="accelerations is empty"):
        FeasibilityOptions(accelerations=())
    with pytest.raises(ConfigError, match="nobody to act"):
        outcome(road_of_one_lane(Box(sdc=True)), "external")


def test_the_unavoidable_share_is_that_of_the_scenarios_drawn() -> None:
    family, rigid = find_family("tailgater"), FeasibilityOptions(accelerations=(-8.0,))
    drawn = [feasibility(family.sample(seed), options=rigid) for seed in range(5, 13)]
    share = np.mean([not one.is_avoidable for one in drawn])
    assert unavoidable_share(family, 8, 5, options=rigid) == share
    assert share > 0
    assert unavoidable_share(find_family("hard-brake"), 4) == 0
    with pytest.raises(ConfigError, match="num is 0"):
        unavoidable_share(family, 0)
