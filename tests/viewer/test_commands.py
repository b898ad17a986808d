"""`trafficgym record` and `view` on a file of scenes."""

from __future__ import annotations

from pathlib import Path

import pygame
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.cli.main import main
from trafficgym.errors import ConfigError
from trafficgym.scene import sources
from trafficgym.viewer.playlist import find_scene


@pytest.fixture(autouse=True)
def _two_scenes(monkeypatch):
    scenes = [make_scene("abc1"), make_scene("abd2", num_steps=30)]
    monkeypatch.setattr(sources, "open_scenes", lambda source: scenes)


def test_record_writes_the_step_asked_for(tmp_path, capsys):
    out = tmp_path / "a.png"
    options = ["--scene", "abd", "--size", "200", "100", "--step", "5", "--follow", "sdc", "--policy", "idm"]
    assert main(["record", "store", str(out), *options]) == 0
    assert pygame.image.load(out).get_size() == (200, 100)
    assert capsys.readouterr().out.strip() == str(out)


def test_record_writes_every_step_of_the_log(tmp_path):
    assert main(["record", "store", str(tmp_path / "a.png"), "--scene", "1", "--size", "64", "64"]) == 0
    assert len(list(tmp_path.iterdir())) == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scene", "xyz"], "no such scene among 2"),
        (["--scene", "ab"], "2 scenes begin so"),
        (["--policy", "idmm"], "did you mean 'idm'"),
        (["--follow", "7"], "100, 101, 102"),
        (["--step", "91"], "steps 0 to 90"),
    ],
)
def test_a_wrong_option_is_explained(tmp_path, capsys, options, message):
    assert main(["record", "store", str(tmp_path / "a.png"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_view_opens_and_closes():
    pygame.display.init()
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q, mod=0))
    assert main(["view", "store", "--size", "200", "200"]) == 0


def test_an_id_wins_over_a_number():
    scenes = [make_scene("1"), make_scene("0")]
    assert find_scene(scenes, "0") == 1
    with pytest.raises(ConfigError, match="no such scene"):
        find_scene(scenes, "2")


def test_real_scenes_are_drawn(data_root, monkeypatch, tmp_path: Path):
    monkeypatch.undo()
    for number, folder in enumerate(("womd/motion_data_one_scenario.tfrecord", "argoverse2", "scenarionet_nuscenes")):
        out = tmp_path / f"{number}.png"
        assert main(["record", str(data_root / "data" / folder), str(out), "--step", "10"]) == 0
        colors = {tuple(c) for c in pygame.surfarray.array3d(pygame.image.load(out))[::5, ::5].reshape(-1, 3)}
        assert len(colors) > 10
