"""Rollouts of scenes by a trajectory network, as the metric and the rewards want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS
from trafficgym_agents.policies.smart.simulation import as_tracks, rollout_rng
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_agents.policies.trajectory.decoding import ChoosePlan, roll_out
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork


def simulate(
    network: TrajectoryNetwork,
    scenes: Sequence[Scene],
    tokens: Sequence[SceneTokens],
    choose: ChoosePlan,
    *,
    num: int = 32,
    seed: int = 0,
    table_rows: int = TABLE_ROWS,
) -> Iterator[NDArray[np.float32]]:
    """Roll scenes out, one after the other; for arguments and what is yielded see `smart.simulation.simulate`."""
    for scene, of_scene in zip(scenes, tokens, strict=True):
        rngs = [rollout_rng(seed, scene, number) for number in range(num)]
        batch = Batch.of([of_scene], device=str(network.trunk.sizes.device))
        rollouts = roll_out(network, batch, choose, num=num, rngs=rngs, table_rows=table_rows)
        yield as_tracks(scene, of_scene, rollouts.steps)
