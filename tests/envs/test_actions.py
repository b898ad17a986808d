"""From what learners choose to what the dynamics do."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from trafficgym.envs.actions import DYNAMICS, ActionSpace, make_dynamics
from trafficgym.errors import ConfigError
from trafficgym.world.dynamics import Bicycle, Verlet


def test_minus_one_to_one_spans_the_bounds() -> None:
    space = ActionSpace(Bicycle(max_acceleration=4.0, max_steering=0.2))
    actions = np.array([[-1, 1], [0, 0], [0.5, -0.5], [3, -3]], np.float32)
    expected = [[-4, 0.2], [0, 0], [2, -0.1], [4, -0.2]]
    kept = actions.copy()
    np.testing.assert_allclose(space.physical(actions), expected, atol=1e-6)
    assert np.array_equal(actions, kept)  # the learner's array is its own


@pytest.mark.parametrize("name", DYNAMICS)
def test_normalised_is_the_inverse(name: str) -> None:
    space = ActionSpace(make_dynamics(name))
    batch = space.batched(3, 4)
    batch.seed(0)
    actions = batch.sample()
    assert actions.shape == (3, 4, *space.shape)
    back = space.normalised(space.physical(actions))
    np.testing.assert_allclose(back, actions, atol=1e-5)
    assert back.dtype == space.dtype == space.space.dtype
    assert space.space.contains(back[0, 0])


def test_bins_stay_as_they_are() -> None:
    space = ActionSpace(Verlet())
    assert space.space == spaces.MultiDiscrete([13, 13])
    assert space.physical(np.array([[0, 12]])).tolist() == [[0.0, 12.0]]


def test_a_number_that_is_not_finite_stays_so_for_the_world_to_refuse() -> None:
    assert np.isnan(ActionSpace(Bicycle()).physical(np.array([[np.nan, 0]])))[0, 0]


def test_misspelt_dynamics() -> None:
    with pytest.raises(ConfigError, match="no dynamics are called 'bicyle'; did you mean 'bicycle'"):
        make_dynamics("bicyle")
