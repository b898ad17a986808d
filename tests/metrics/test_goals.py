"""Who gets where he is told: cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.world.micro import Box, micro_scene
from trafficgym.errors import ConfigError
from trafficgym.metrics.goals import (
    GoalMisses,
    WomdThresholds,
    controllability,
    evaluated_tracks,
    goal_misses,
    logged_goals,
    miss_rate,
)

ALL = np.ones(3, bool)


def rollouts() -> np.ndarray:
    """Two rollouts of three agents over four steps, x, y, z, yaw: along x in metres, the second 3 m aside."""
    found = np.zeros((2, 3, 4, 4), np.float32)
    found[..., 0] = np.arange(4) * 10.0
    found[1, :, :, 1] = 3.0
    return found


def test_passing_and_final() -> None:
    """Goals: where all are at the third step; 1.9 m beside the end; 2.1 m beyond it."""
    goals = np.array([[20.0, 0.0], [30.0, -1.9], [32.1, 0.0]])
    soft, hard = (goal_misses(rollouts(), goals, ALL, criterion=c) for c in ("soft", "hard"))  # type: ignore[arg-type]
    assert soft.missed.tolist() == [[False, False, True], [True, True, True]]
    assert hard.missed.tolist() == [[True, False, True], [True, True, True]]
    assert (soft.rate, hard.rate) == (4 / 6, 5 / 6)
    wider = goal_misses(rollouts(), goals, ALL, within=3.0)
    assert wider.missed.tolist() == [[False, False, False], [False, True, True]]


def test_exactly_there() -> None:
    """2 m away is there."""
    assert (
        goal_misses(rollouts(), np.tile([32.0, 0.0], (3, 1)), ALL, criterion="hard").missed[0].tolist() == [False] * 3
    )


def test_who_has_no_goal_or_is_not_evaluated_does_not_count() -> None:
    goals = np.array([[20.0, 0.0], [np.nan, np.nan], [500.0, 0.0]])
    found = goal_misses(rollouts(), goals, np.array([True, True, False]))
    assert found.valid.tolist() == [True, False, False]
    assert found.missed.tolist() == [[False] * 3, [True, False, False]]
    assert found.rate == 0.5
    nobody = goal_misses(rollouts(), goals, np.array([False, True, False]))
    assert nobody.rate is None
    assert miss_rate([found, nobody]) == 0.5


def test_rates_of_several_scenes_are_over_cases() -> None:
    """One miss of two, and none of six: an eighth."""
    one = GoalMisses(np.array([[True], [False]]), np.array([True]))
    other = GoalMisses(np.zeros((2, 3), bool), np.ones(3, bool))
    assert miss_rate([one, other]) == 1 / 8


def test_thresholds_of_womd() -> None:
    """The box is 3 m to each side and 6 m ahead and back at 11 m/s, half of it at 1.4 m/s, along the goal's heading.

    6.2 m/s is half way between, and has 0.75 of it.
    """
    thresholds = WomdThresholds(yaw=np.array([0.0, 0.0, np.pi / 2]), speed=np.array([20.0, 0.0, 6.2]))
    for away, inside in (
        ((5.9, 2.9), [True, False, False]),
        ((2.9, 1.4), [True, True, False]),
        ((2.2, 4.4), [False, False, True]),
        ((2.3, 4.4), [False, False, False]),
        ((0.0, 3.1), [False, False, True]),
        ((-6.1, 0.0), [False, False, False]),
    ):
        at = np.zeros((1, 3, 1, 2))
        at[..., :] = away
        found = goal_misses(at, np.zeros((3, 2)), ALL, within=thresholds)
        assert (~found.missed[0]).tolist() == inside, away


def log() -> Any:
    """Turns left and ends at step 7; stands; is gone "now"; appears later; has no future."""
    valid = np.ones((5, 10), bool)
    valid[0, 8:] = valid[2, 2:] = valid[3, :4] = valid[4, 3:] = False
    x = np.arange(10.0)
    boxes = [Box(x=x.tolist(), y=(2 * x).tolist(), yaw=(0.1 * x).tolist(), speed=4.0, sdc=True), Box(x=5.0, y=6.0)]
    boxes += [Box(x=9.0), Box(x=9.0), Box(x=9.0, to_predict=True)]
    boxes = [replace(box, valid=there.tolist()) for box, there in zip(boxes, valid, strict=True)]
    return micro_scene(*boxes, num_steps=10, current_step=2)


def test_goals_of_logs() -> None:
    scene = log()
    np.testing.assert_array_equal(logged_goals(scene), [[7, 14], [5, 6], *[[np.nan] * 2] * 3])
    thresholds = WomdThresholds.of(scene)
    np.testing.assert_allclose(thresholds.yaw[:2], [0.7, 0.0], atol=1e-6)
    np.testing.assert_allclose(thresholds.speed[:2], [4.0, 0.0], atol=1e-6)
    assert evaluated_tracks(scene).tolist() == [True, False, False, False, True]


def test_controllability() -> None:
    """Of two scenes: three agents pass in one rollout of two, two of them at the end; and nobody has a goal."""
    goals = np.array([[20.0, 0.0], [30.0, 0.0], [30.0, 0.0]])
    nobody = np.full((3, 2), np.nan)
    found = controllability([rollouts()] * 2, [goals, nobody], [ALL, ALL])
    assert found == (pytest.approx(2 / 6), 3 / 6, 3)
    assert controllability([rollouts()], [nobody], [ALL]) == (None, None, 0)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="criterion is 'harsh'; it is 'soft' or 'hard'"):
        goal_misses(rollouts(), np.zeros((3, 2)), ALL, criterion="harsh")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"rollouts have shape .*, goals \(2, 2\), agents \(3,\)"):
        goal_misses(rollouts(), np.zeros((2, 2)), ALL)
