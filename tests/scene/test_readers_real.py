"""The real files: everything loads, and what must hold of a scene from any source does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trafficgym.scene.readers import Skipped, find_sources, load_scene, read
from trafficgym.scene.scene import AgentType, Scene

# JSON takes a tenth of a second a scene, so that one in eight stands for all; 1 reads every file.
EVERY = 1 if os.environ.get("TRAFFICGYM_TEST_FULL") == "1" else 8
SCENES_IN = {
    "argoverse2": 1, "gpudrive": 95, "gpudrive_test_split": 4, "nocturne": 77, "scenarionet": 20,
    "scenarionet_20s": 7, "scenarionet_nuscenes": 3, "womd_converted": 27,
}  # fmt: skip


def check(scene: Scene) -> None:
    """Arrays are contiguous, positions near the origin, and what drives faster than 3 m/s heads where it drives."""
    tracks = scene.tracks
    for part in (tracks, scene.road, scene.signals):
        arrays = {name: value for name, value in vars(part).items() if isinstance(value, np.ndarray)}
        assert [name for name, array in arrays.items() if not array.flags.c_contiguous] == []
    assert np.abs(tracks.x[tracks.valid]).max() < 1000
    assert np.abs(scene.road.xyz).max(initial=0) < 3000
    assert ((tracks.yaw >= -np.float32(np.pi)) & (tracks.yaw < np.float32(np.pi))).all()
    moving = tracks.valid & (np.hypot(tracks.vx, tracks.vy) > 3) & (tracks.type == AgentType.VEHICLE)[:, None]
    turn = (tracks.yaw - np.arctan2(tracks.vy, tracks.vx))[moving]
    if len(turn) > 20:
        assert np.median(np.abs(np.angle(np.exp(1j * turn)))) < 0.1


@pytest.mark.parametrize("folder", SCENES_IN)
def test_every_scene_loads(data_root: Path, folder: str) -> None:
    sources = find_sources([data_root / "data" / folder])
    sample = sources if folder == "womd_converted" else sources[::EVERY]
    items = [item for path in sample for item in read(path)]
    skipped = [str(item) for item in items if isinstance(item, Skipped)]
    assert not skipped
    for item in items:
        assert isinstance(item, Scene)
        check(item)
    expected = SCENES_IN[folder]
    assert len(items) == expected if folder == "womd_converted" or EVERY == 1 else len(sources) == expected


def test_the_original_womd_scene(data_root: Path) -> None:
    """Its tracks and signalled lanes are counted in the data's README."""
    scene = load_scene(data_root / "data" / "womd" / "motion_data_one_scenario.tfrecord")
    assert (scene.id, scene.num_agents, scene.num_steps) == ("637f20cafde22ff8", 83, 91)
    assert (scene.signals.num_signals, scene.current_step) == (12, 10)
    assert scene.road.has_lane_graph
    assert (scene.signals.lane >= 0).all()


def test_tf_example_is_refused(data_root: Path) -> None:
    folder = data_root / "data" / "womd" / "tf_example"
    (item,) = read(find_sources([folder])[0])
    assert isinstance(item, Skipped)
    assert str(item) == (
        "motion_data_one_example.tfrecord: record 0 holds a tf.Example; "
        'trafficgym reads Scenario protos (the "scenario" folder of WOMD).'
    )


def test_logged_steps_are_where_the_velocity_leads(data_root: Path) -> None:
    """Displacement per 0.1 s agrees with the velocity: units of both, in every source, over vehicles that move."""
    for folder in SCENES_IN:
        scene = load_scene(find_sources([data_root / "data" / folder])[0])
        tracks = scene.tracks
        both = tracks.valid[:, 1:] & tracks.valid[:, :-1] & (np.hypot(tracks.vx, tracks.vy)[:, 1:] > 3)
        dt = np.diff(scene.timestamps)
        speed = (np.hypot(np.diff(tracks.x), np.diff(tracks.y)) / dt)[both]
        if len(speed):
            assert np.median(np.abs(speed - np.hypot(tracks.vx, tracks.vy)[:, 1:][both])) < 0.5, folder
