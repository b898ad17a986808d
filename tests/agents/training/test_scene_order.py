"""Every scene has its turn, whoever takes it."""

from __future__ import annotations

import numpy as np
import pytest

from trafficgym.errors import ConfigError
from trafficgym_agents.training.scene_order import SceneOrder
from trafficgym_agents.training.worker import Worker


def test_an_epoch_takes_every_scene_once_in_an_order_of_its_own() -> None:
    order = SceneOrder(num_scenes=12, batch=4, seed=5)
    epochs = [np.concatenate([order.scenes(3 * epoch + i) for i in range(3)]) for epoch in range(2)]
    assert [order.epoch(step) for step in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert not np.array_equal(*epochs)


def test_workers_share_what_one_would_take() -> None:
    alone = SceneOrder(num_scenes=11, batch=4, seed=5)
    for step in range(6):
        shares = [SceneOrder(num_scenes=11, batch=4, seed=5, worker=Worker(rank, 2)).scenes(step) for rank in range(2)]
        assert sorted(np.concatenate(shares)) == sorted(alone.scenes(step))
        assert len(shares[0]) == len(shares[1]) == 2


def test_batches_that_cannot_be_filled_or_shared_are_refused() -> None:
    with pytest.raises(ConfigError, match="a batch of 8 scenes is more than there are: 7"):
        SceneOrder(num_scenes=7, batch=8)
    with pytest.raises(ConfigError, match="a batch of 5 scenes cannot be shared evenly by 2 workers"):
        SceneOrder(num_scenes=7, batch=5, worker=Worker(0, 2))
