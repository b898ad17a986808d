"""Which objects of a scene are to be simulated: exactly those that are valid at step 10."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.scene import Scene
from trafficgym.scene.store import SceneStore

CURRENT_STEP = 10
"""The last step of the history; steps 11 to 90 are simulated."""
Ids = NDArray[np.int64]


class SimulatedObjects:
    """The ids of the objects to be simulated, by scenario: those valid at step 10."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes

    @cached_property
    def scenario_ids(self) -> frozenset[str]:
        return frozenset(self._scenes.ids if isinstance(self._scenes, SceneStore) else self._by_id)

    def of(self, scenario_id: str) -> Ids:
        """Ids of one scenario's objects, ascending; of a store only this scene is read."""
        if isinstance(self._scenes, SceneStore):
            return simulated_ids(self._scenes[scenario_id])
        return self._by_id[scenario_id]

    @cached_property
    def _by_id(self) -> dict[str, Ids]:
        return {scene.id: simulated_ids(scene) for scene in self._scenes}


def simulated_ids(scene: Scene) -> Ids:
    """Ids of the objects to be simulated, ascending.

    Raises:
        SceneError: the scene has no step 10, or "now" is another one.
    """
    if scene.current_step != CURRENT_STEP:
        raise SceneError(
            f"scene {scene.id!r} has its current step at {scene.current_step}; a Sim Agents submission is made from "
            f"scenes of the Waymo Open Motion Dataset, where it is {CURRENT_STEP}"
        )
    return np.sort(scene.tracks.id[scene.tracks.valid[:, CURRENT_STEP]])
