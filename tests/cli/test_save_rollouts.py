"""`trafficgym evaluate --save-rollouts`: the same file whatever the number of processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.cli.main import main
from trafficgym.errors import StoreError
from trafficgym.metrics import Bootstrap
from trafficgym.report.evaluation import EvaluationConfig, evaluate, roll_outs
from trafficgym.report.source import SceneSource
from trafficgym.scene.scene import RoadMap, Scene, Signals
from trafficgym.world.rollout_file import RolloutFile, RolloutWriter

CONFIG = EvaluationConfig(policies=("random", "log"), rollouts=3, control="all", bootstrap=Bootstrap(num_resamples=10))


@dataclass(frozen=True, kw_only=True)
class Given(SceneSource):
    """Scenes made by a test."""

    scenes: tuple[Scene, ...]

    def open(self):
        return self.scenes, len(self.scenes)


def bare(id: str) -> Scene:
    """A scene that cannot be evaluated."""
    whole = make_scene(id)
    return replace(whole, road=RoadMap.empty(), signals=Signals.empty(whole.num_steps))


def test_the_file_holds_every_rollout_in_the_order_of_the_scenes_and_policies(tmp_path: Path) -> None:
    scenes = tuple(make_scene(id, num_agents=2) for id in ("c", "a", "b"))
    source = Given(scenes=(scenes[0], bare("bare"), *scenes[1:]))
    evaluate(source, CONFIG, save_rollouts=tmp_path / "one/r.arrow")
    evaluate(source, CONFIG, workers=2, save_rollouts=tmp_path / "two/r.arrow")
    assert (tmp_path / "one/r.arrow").read_bytes() == (tmp_path / "two/r.arrow").read_bytes()
    for folder in ("one", "two"):
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["r.arrow"]
    file = RolloutFile(tmp_path / "one/r.arrow")
    assert file.scene_ids == ("c", "a", "b")
    assert file.policies == ("random", "log")
    for scene in scenes:
        expected = roll_outs(scene, "random", CONFIG)
        found = file.read(scene.id, "random")
        np.testing.assert_array_equal(found.motion[..., 0], [one.x for one in expected])
        assert found.seed.tolist() == [one.seed for one in expected]
        assert found.is_simulated.all()


def test_the_numbers_are_the_same_as_without_it(tmp_path: Path) -> None:
    source = Given(scenes=(make_scene("made"),))
    assert evaluate(source, CONFIG, save_rollouts=tmp_path / "r.arrow").rows == evaluate(source, CONFIG).rows


def test_a_scene_that_comes_twice_is_kept_once(tmp_path: Path) -> None:
    scene = make_scene("made")
    evaluate(Given(scenes=(scene, scene)), CONFIG, save_rollouts=tmp_path / "r.arrow")
    assert RolloutFile(tmp_path / "r.arrow").num_rollouts("made", "log") == 3


def test_a_full_disk_stops_it_and_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r.arrow").write_bytes(b"of an earlier run")

    def full(self: RolloutWriter, rollouts: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(RolloutWriter, "add", full)
    with pytest.raises(StoreError, match="no space left"):
        evaluate(Given(scenes=(make_scene("made"),)), CONFIG, save_rollouts=tmp_path / "r.arrow")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of an earlier run"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = [
        "--max-scenes",
        "2",
        "--policy",
        "constant_velocity",
        "--rollouts",
        "2",
        "--gifs",
        "0",
        "--workers",
        "1",
    ]
    assert main(["evaluate", *arguments, "--out", str(out), "--save-rollouts"]) == 0
    assert f"wrote {out / 'rollouts.arrow'}" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"results.json", "report.html", "rollouts.arrow"}
    file = RolloutFile(out / "rollouts.arrow")
    assert [file.num_rollouts(id) for id in file.scene_ids] == [2, 2]
    (tmp_path / "file").write_text("")
    assert main(["evaluate", *arguments, "--out", str(tmp_path / "file/x"), "--save-rollouts"]) == 2
    assert "cannot be written" in capsys.readouterr().err
