"""Whatever scene there is can be tokenised."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.agents.smart.small_vocabulary import small_vocabulary
from trafficgym.scene.readers import find_sources, read
from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.preprocess import MOST_LEARNERS
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_scenarios.families import find_family
from trafficgym_scenarios.nominal import nominal_scene

FOLDERS = {
    "womd_converted": 2,
    "gpudrive": 2,
    "gpudrive_test_split": 1,
    "scenarionet_20s": 1,
    "scenarionet_nuscenes": 1,
    "nocturne": 1,
    "argoverse2": 1,
}


def check(scene: Scene) -> None:
    """Arrays are finite and as long as they should be, codes known, masks honest, every agent has a history."""
    vocabulary = small_vocabulary()
    sizes = np.array(vocabulary.sizes)
    for frame in ("scene", "source"):
        tokens = Tokenizer(vocabulary, frame=frame)(scene, train=True, rng=np.random.default_rng(0))  # type: ignore[arg-type]
        road, agents = tokens.map, tokens.agents
        assert len(road) > 100
        assert np.isfinite(road.points).all() and np.isfinite(road.yaw).all()
        assert road.type.min() >= 0 and road.type.max() < 10 and road.polygon.max() < 4 and road.light.max() < 5
        piece = np.linalg.norm(np.diff(road.points, axis=1), axis=-1)
        assert piece.max() < 2.6
        assert agents.valid.shape == agents.token.shape == agents.raw_valid.shape == (len(agents), 18)
        assert (agents.token < sizes[agents.type][:, None]).all() and (agents.token >= 0).all()
        for values, mask in (("xy", "valid"), ("yaw", "valid"), ("raw_xy", "raw_valid"), ("path", "path_valid")):
            array = getattr(agents, values)
            assert array.dtype == np.float32 and np.isfinite(array).all()
            assert (array[~getattr(agents, mask)] == 0).all()
        assert agents.learns.sum() <= MOST_LEARNERS
        assert (agents.valid <= agents.raw_valid).all()
    everyone = Tokenizer(vocabulary)(scene).agents
    assert everyone.valid[:, 1].all()


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_scenes(data_root: Path, folder: str) -> None:
    sources = find_sources([data_root / "data" / folder])
    scenes = (item for source in sources for item in read(source) if isinstance(item, Scene))
    for scene in islice(scenes, FOLDERS[folder]):
        check(scene)


def test_generated_scenes() -> None:
    check(nominal_scene(0))
    check(find_family("hard-brake").sample(0).scene)
