"""Frames from log, rollout and world agree with where they come from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.viewer.make_frame import make_frame
from trafficgym.viewer import frame_of_log, frame_of_rollout, frame_of_world
from trafficgym.viewer.clip import Clip
from trafficgym.viewer.frame import Frame
from trafficgym.world.roll_out import roll_out
from trafficgym.world.state import Driver
from trafficgym.world.world import World


def test_a_rollout_of_the_log_looks_like_the_log():
    scene = make_scene()
    rollout = roll_out(scene, "log")
    for t in (0, 1, rollout.num_steps - 1):
        ran, logged = frame_of_rollout(rollout, t), frame_of_log(scene, rollout.start_step + t)
        np.testing.assert_array_equal(ran.present, logged.present)
        np.testing.assert_allclose(ran.x, logged.x, atol=1e-3)
        np.testing.assert_array_equal(ran.id, logged.id)
        assert ran.time_s == pytest.approx(logged.time_s)
        assert ran.lamps is not None and ran.lamps.state[0] == scene.signals.state[0, rollout.start_step + t]


def test_a_simulated_agent_has_the_logs_pose_as_its_ghost():
    scene = make_scene()
    rollout = roll_out(scene, "constant_velocity")
    frame = frame_of_rollout(rollout, 40)
    assert frame.ghosts is not None and frame.ghosts.valid.all()
    np.testing.assert_array_equal(frame.ghosts.x, scene.tracks.x[:, 50])
    assert set(frame.controller) == {Driver.CONSTANT_VELOCITY}
    assert frame.trails is not None and frame.trails.xy.shape == (3, 20, 2)
    np.testing.assert_array_equal(frame.trails.xy[:, -1, 0], frame.x)


def test_a_world_is_drawn_as_it_stands_and_the_frame_keeps_it():
    scene = make_scene()
    world = World([scene, make_scene(num_agents=2)], control="constant_velocity")
    before = frame_of_world(world, 0)
    x = before.x.copy()
    for _ in range(10):
        world.step()
    np.testing.assert_array_equal(before.x, x)
    after = frame_of_world(world, 0)
    moved = after.x[after.present] - x[after.present]
    np.testing.assert_allclose(moved, 10.0, atol=0.05)  # one second at 10 m/s
    assert after.time_s == pytest.approx(2.0)
    assert sorted(after.id[after.present]) == [100, 101, 102]
    assert after.id[after.focus] == 100


def test_a_scene_without_a_future_can_be_shown_beyond_its_end():
    scene = make_scene(num_steps=11)
    rollout = roll_out(scene, "constant_velocity")
    frame = frame_of_rollout(rollout, rollout.num_steps - 1)
    assert frame.ghosts is None and frame.lamps is None
    assert frame.time_s == pytest.approx(0.1 * (10 + rollout.num_steps - 1))


def test_between_two_steps_things_are_half_way_and_turn_the_short_way():
    a = make_frame((0.0, 0.0, math.pi - 0.1), (5.0, 0.0, 0.0))
    b = make_frame((1.0, 2.0, -math.pi + 0.1), (9.0, 0.0, 0.0), present=np.array([True, False]))

    def frame(step: int) -> Frame:
        return replace((a, b)[step], time_s=float(step))

    half = Clip(scene=make_scene(), num_steps=2, frame=frame).at(0.5)
    assert (half.x[0], half.y[0], half.time_s) == pytest.approx((0.5, 1.0, 0.5))
    assert half.yaw[0] == pytest.approx(math.pi, abs=1e-5)
    assert half.x[1] == 5.0, "what is gone in the next step stays where it was"
