from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity, box

from tests.metrics.make_rollout import drive
from trafficgym.metrics import encounters
from trafficgym.metrics.criticality import conflicts, contact_time
from trafficgym.metrics.trajectories import simulated

# Vehicles are 4 m long and 2 m wide.


def first_step(*vehicles):
    """TTC and DRAC of each vehicle at the first step."""
    rollout = drive(*vehicles)
    ttc, drac = conflicts(simulated(rollout), rollout.is_simulated)
    return ttc[:, 0], drac[:, 0]


def test_follower_closing_at_5_with_a_gap_of_20():
    ttc, drac = first_step({"x": 0, "vx": 15}, {"x": 24, "vx": 10})
    assert ttc == pytest.approx([4, 4])
    assert drac[0] == pytest.approx(25 / 40)
    assert drac[1] == -np.inf  # the leader could brake as it likes


def test_follower_that_falls_back_or_keeps_its_gap_has_no_conflict():
    assert np.isinf(first_step({"x": 0, "vx": 10}, {"x": 24, "vx": 10})[0]).all()
    assert np.isinf(first_step({"x": 0, "vx": 9}, {"x": 24, "vx": 10})[0]).all()


def test_head_on_both_must_brake():
    ttc, drac = first_step({"x": 0, "vx": 10}, {"x": 44, "vx": -10, "yaw": -np.pi})
    assert ttc == pytest.approx([2, 2])
    assert drac == pytest.approx([5, 5])  # 20 m/s over 40 m


def test_the_next_lane_is_no_conflict():
    assert np.isinf(first_step({"x": 0, "vx": 20}, {"x": 24, "y": 2.01, "vx": 0})[0]).all()
    assert first_step({"x": 0, "vx": 20}, {"x": 24, "y": 1.99, "vx": 0})[0] == pytest.approx([1, 1])


def test_crossing_at_a_right_angle():
    # The crossing car's front must come from 7 to 1 m south of the lane's middle; at 3 m/s after 2 s the first car,
    # which needs 2.0 to 2.6 s to pass (front at -20, 10 m/s, 4 m long, 2 m wide), is just there.
    ttc, _ = first_step({"x": -23, "vx": 10}, {"x": 0, "y": -9, "vy": 3, "yaw": np.pi / 2})
    assert ttc == pytest.approx([2, 2])


def test_under_a_bridge_nobody_meets():
    high, low = {"x": 24, "vx": 0, "z": 6}, {"x": 0, "vx": 10}
    assert np.isinf(first_step(low, high)[0]).all()
    assert encounters(drive(low, high)).pet.num == 0


def test_overlap_has_ttc_0_and_no_drac():
    rollout = drive({"x": 0, "vx": 5}, {"x": 3, "vx": 5})
    found = encounters(rollout)
    assert found.ttc.value.tolist() == [0, 0]
    assert found.pet.value.tolist() == [0, 0]
    assert found.drac.num == 0


def test_worst_moment_over_the_rollout():
    # Gap 46 m, closing at 5 m/s for 8 s: 6 m remain at the last step, which is TTC 1.2 s and DRAC 25/12.
    found = encounters(drive({"x": 0, "vx": 15}, {"x": 50, "vx": 10}))
    assert found.ttc.value == pytest.approx([1.2, 1.2], abs=1e-4)
    assert found.drac.value[0] == pytest.approx(25 / 12, abs=1e-3)
    assert found.drac.valid.tolist() == [True, False]


def test_pet_of_a_crossing_is_the_time_from_leaving_to_entering_the_crossing_square():
    # Car 0 leaves the 2 x 2 m square when its centre is 3 m past it, 0.3 s after the middle; car 1, two seconds
    # later, enters it 0.3 s before its own middle: 2 - 0.6 = 1.4 s.
    rollout = drive({"x": -20, "vx": 10}, {"y": -40, "vy": 10, "yaw": np.pi / 2})
    assert encounters(rollout).pet.value == pytest.approx([1.4, 1.4], abs=0.11)
    assert encounters(rollout).pet.value[0] >= 1.4 - 1e-6  # rounded up to a step


def test_pet_of_a_follower_is_its_time_gap():
    rollout = drive({"x": 0, "vx": 10}, {"x": 19, "vx": 10})
    assert encounters(rollout).pet.value == pytest.approx([1.5, 1.5], abs=0.11)


def test_pet_beyond_its_horizon_is_no_encounter():
    assert encounters(drive({"x": -10, "vx": 10}, {"y": -75, "vy": 10, "yaw": np.pi / 2})).pet.num == 0


def test_only_measured_agents_have_values_but_all_are_met():
    rollout = replace(drive({"x": 0, "vx": 15}, {"x": 24, "vx": 10}), is_simulated=np.array([True, False]))
    found = encounters(rollout)
    assert found.ttc.valid.tolist() == [True, False]
    assert found.pet.valid.tolist() == [True, False]


def test_who_has_left_is_met_no_more():
    rollout = drive({"x": 0, "vx": 15}, {"x": 24, "vx": 10})
    present = rollout.present.copy()
    present[1] = False
    assert encounters(replace(rollout, present=present)).ttc.num == 0


place, rate = st.floats(-15, 15), st.floats(-8, 8)


@settings(max_examples=200)
@given(place, place, rate, rate, st.floats(-3, 3), st.floats(-3, 3))
def test_contact_time_agrees_with_moving_polygons(dx, dy, dvx, dvy, yaw_a, yaw_b):
    """Shapely finds the boxes apart just before the contact time and touching just after it."""

    def place_box(yaw, x, y):
        return affinity.translate(affinity.rotate(box(-2, -1, 2, 1), yaw, use_radians=True, origin=(0, 0)), x, y)

    cos_sin = [f(yaw) for yaw in (yaw_a, yaw_b) for f in (np.cos, np.sin)]
    time = contact_time(dx, dy, dvx, dvy, *cos_sin[:2], 2.0, 1.0, *cos_sin[2:], 2.0, 1.0)

    def pair(t):
        return place_box(yaw_a, 0, 0), place_box(yaw_b, dx + dvx * t, dy + dvy * t)

    if np.isinf(time):
        assert all(shapely.intersection(*pair(t)).area < 1e-6 for t in np.linspace(0, 20, 100))
    else:
        assert shapely.distance(*pair(time + 1e-6)) < 1e-4
        assert time == 0 or all(shapely.distance(*pair(t)) > 0 for t in np.linspace(0, time, 20)[:-1])
