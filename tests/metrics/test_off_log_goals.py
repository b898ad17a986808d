"""Goals off the log: where logs would go on, where other lanes lead."""

from __future__ import annotations

import numpy as np
import pytest

from tests.world.micro import Box, micro_scene
from trafficgym.errors import ConfigError
from trafficgym.metrics.off_log_goals import kinematic_goals, manoeuvre_goals
from trafficgym.scene.scene import AgentType, Scene

STEPS = 91
TIME = 0.1 * np.arange(STEPS)


def box(speed: float, yaw_rate: float = 0.0, kind: AgentType = AgentType.VEHICLE, y: float = 0.0) -> Box:
    """Along x from (0, y), or round a circle to the left."""
    yaw = yaw_rate * TIME
    if not yaw_rate:
        return Box(x=(speed * TIME).tolist(), y=y, speed=speed, kind=kind)
    radius = speed / yaw_rate
    x, left = radius * np.sin(yaw), y + radius * (1 - np.cos(yaw))
    return Box(x=x.tolist(), y=left.tolist(), yaw=yaw.tolist(), speed=speed, kind=kind)


def test_before_the_end_goals_are_the_log() -> None:
    scene = micro_scene(box(10.0), box(10.0, 0.1), num_steps=STEPS, current_step=10)
    tracks = scene.tracks
    for seconds, step in ((0.0, 90), (-1.0, 80), (-3.0, 60)):
        want = np.stack([tracks.x[:, step], tracks.y[:, step]], -1)
        np.testing.assert_array_equal(kinematic_goals(scene, seconds), want)
    assert np.isnan(kinematic_goals(scene, -8.0)).all()  # "now", which is no future


def test_after_the_end_goals_go_on_as_the_log_did() -> None:
    """Straight on, round the circle, and standing; a pedestrian along its velocity, however it turns."""
    walker = box(1.0, 0.2, AgentType.PEDESTRIAN)
    scene = micro_scene(box(10.0), box(10.0, 0.1), box(0.0), walker, num_steps=STEPS, current_step=10)
    found = kinematic_goals(scene, 3.0)
    radius, angle = 100.0, 0.1 * 12.0
    want = [[120.0, 0.0], [radius * np.sin(angle), radius * (1 - np.cos(angle))], [0.0, 0.0]]
    np.testing.assert_allclose(found[:3], want, atol=0.01)
    x, y, course = 5 * np.sin(1.8), 5 * (1 - np.cos(1.8)), 1.8
    np.testing.assert_allclose(found[3], [x + 3 * np.cos(course), y + 3 * np.sin(course)], atol=0.01)


def test_seconds_are_a_number() -> None:
    with pytest.raises(ConfigError, match="seconds are nan"):
        kinematic_goals(micro_scene(box(1.0), num_steps=STEPS), float("nan"))


def fork(*boxes: Box) -> Scene:
    """A lane along x that forks at x = 40, straight on and to the left, and one that runs beside it, 3.5 m to the left
    up to x = 40.
    """
    straight, on = [(2.0 * k, 0.0) for k in range(21)], [(40 + 2.0 * k, 0.0) for k in range(60)]
    left, beside = [(40.0 + k, 1.0 * k) for k in range(100)], [(2.0 * k, 3.5) for k in range(21)]
    return micro_scene(
        *boxes, lanes=[straight, on, left, beside], successors=[[1, 2], [], [], []], num_steps=STEPS, current_step=10
    )


def drawn(scene: Scene) -> np.ndarray:
    """Goals of the first track under several seeds; lanes are sampled about every metre."""
    return np.stack([manoeuvre_goals(scene, np.random.default_rng(seed))[0] for seed in range(12)])


def test_another_branch() -> None:
    """At 10 m/s it goes 80 m from x = 10, straight on: 50 m up the branch that it did not take; the lane beside has
    ended by then.
    """
    np.testing.assert_allclose(drawn(fork(box(10.0))), np.tile(40 * np.eye(1, 2) + 50 * np.sqrt(0.5), (12, 1)), atol=1)


def test_another_lane() -> None:
    """At 2.5 m/s it goes 20 m from x = 2.5, and ends before the fork: the same way on the lane beside."""
    np.testing.assert_allclose(drawn(fork(box(2.5))), np.tile([22.5, 3.5], (12, 1)), atol=1)


def test_among_several_one_is_drawn() -> None:
    """The lane to the left and that to the right."""
    both = micro_scene(
        box(6.0),
        lanes=[[(2.0 * k, y) for k in range(60)] for y in (0.0, 3.5, -3.5)],
        successors=[[], [], []],
        num_steps=STEPS,
        current_step=10,
    )
    assert {round(float(y), 1) for y in drawn(both)[:, 1]} == {3.5, -3.5}


def test_nobody_who_has_no_other_way() -> None:
    """Slow; no vehicle; away from all lanes; where there is no road."""
    slow, cyclist, away = box(1.0), box(10.0, kind=AgentType.CYCLIST), box(10.0, y=-30.0)
    assert np.isnan(manoeuvre_goals(fork(slow, cyclist, away), np.random.default_rng(0))).all()
    nowhere = micro_scene(box(10.0), num_steps=STEPS, current_step=10)
    assert np.isnan(manoeuvre_goals(nowhere, np.random.default_rng(0))).all()
