"""`trafficgym wosac pack` and `validate`: from scenes to a valid submission, and what they say where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.metrics.wosac.make_submission import record, write_rollouts
from tests.scene.make_scene import make_scene
from trafficgym.cli.main import main
from trafficgym.scene.store import SceneWriter

WHO = [
    *("--account-name", "somebody@example.org", "--method-name", "made", "--authors", "A. Author", "B. Author"),
    *("--num-model-parameters", "7M", "--affiliation", "nowhere", "--description", "made up"),
    *("--method-link", "https://example.org", "--closed-loop"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a store of two scenes and their rollouts."""
    monkeypatch.chdir(tmp_path)
    scenes = [make_scene(f"scene-{number}") for number in range(2)]
    with SceneWriter("val") as writer:
        for scene in scenes:
            writer.add(scene)
    write_rollouts(Path("r.arrow"), [record(scene) for scene in scenes])
    return tmp_path


def test_from_scenes_to_a_valid_submission(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = ["--policy", "idm", "--control", "all", "--rollouts", "32", "--gifs", "0", "--workers", "1", "--out", "idm"]
    assert main(["evaluate", "--scenes", "val", *drive, "--save-rollouts"]) == 0
    assert main(["wosac", "pack", "idm/rollouts.arrow", "--scenes", "val", *WHO, "--out", "sub/x.tar.gz"]) == 0
    assert "wrote sub/x.tar.gz: 2 scenarios in 150 shards, " in capsys.readouterr().out
    assert main(["wosac", "validate", "sub/x.tar.gz", "--scenes", "val", "--strict", "--json", "found.json"]) == 0
    assert capsys.readouterr().out == "sub/x.tar.gz: valid: 2 scenarios in 150 shards, 0 errors, 0 warnings\n"
    found = json.loads(Path("found.json").read_text())
    assert found["ok"] is True
    assert found["metadata"]["authors"] == ["A. Author", "B. Author"]
    assert found["metadata"]["uses_public_model_pretraining"] is False


def test_a_submission_that_is_not_valid_is_status_1_and_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = [make_scene(f"scene-{number}", num_agents=4) for number in range(3)]
    with SceneWriter("other") as writer:
        for scene in scenes:
            writer.add(scene)
    assert main(["wosac", "pack", "r.arrow", "--scenes", "val", *WHO]) == 0
    capsys.readouterr()
    assert main(["wosac", "validate", "submission.tar.gz", "--scenes", "other", "--json", "x.json", "--show", "2"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("error: submission.binproto-00000-of-00150: scenario scene-0: agents missing")
    assert said[2:] == [
        "and 1 more errors",
        "submission.tar.gz: not valid: 2 scenarios in 150 shards, 3 errors, 0 warnings",
    ]
    errors = json.loads(Path("x.json").read_text())["errors"]
    assert [(one["scenario_id"], one["reason"]) for one in errors] == [
        ("scene-0", "missing_agents"),
        ("scene-1", "missing_agents"),
        ("scene-2", "missing_scenario"),
    ]


def test_strict_counts_warnings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wosac", "pack", "r.arrow", "--scenes", "val", *WHO, "--num-shards", "2"]) == 0
    assert main(["wosac", "validate", "submission.tar.gz"]) == 0
    said = capsys.readouterr().out
    assert "warning: has 2 shards; the challenge's page asks for 150" in said
    assert "not compared with scenes (--scenes)" in said
    assert main(["wosac", "validate", "submission.tar.gz", "--strict"]) == 1


def test_the_official_test_submission(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_root / "data/wosac/test_submission.binproto"
    assert main(["wosac", "validate", str(path), "--scenes", str(data_root / "data/womd")]) == 0
    assert "test_submission.binproto: valid: 1 scenarios in 1 shards, 0 errors" in capsys.readouterr().out


def test_pack_refuses_what_the_server_would_refuse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rollouts(Path("few.arrow"), [record(make_scene("scene-0"), 31)])
    assert main(["wosac", "pack", "few.arrow", "--scenes", "val", *WHO]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "error: scenario scene-0: has 31 rollouts; it must have exactly 32",
        "error: scenario scene-1: has no rollouts",
        "submission.tar.gz: not written, since the server would refuse it",
    ]
    assert not Path("submission.tar.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["validat", "x"], "no command `trafficgym wosac validat`; did you mean 'validate'"),
        (["validate", "nowhere.tar.gz"], "nowhere.tar.gz: cannot be read"),
        (["validate", "r.arrow", "--scenes", "nowhere"], "nowhere"),
        (["validate", "r.arrow", "--show", "-1"], "--show is -1"),
        (["pack", "nowhere.arrow", "--scenes", "val", *WHO], "nowhere.arrow: cannot be read"),
        (["pack", "r.arrow", "--scenes", "val", *WHO[:-1]], "pass --closed-loop"),
        (["pack", "r.arrow", "--scenes", "val", *WHO, "--policy", "mad"], "did you mean 'made'"),
        (["pack", "r.arrow", "--scenes", "val", *WHO, "--num-shards", "0"], "num_shards is 0"),
        (["pack", "r.arrow", "--scenes", "val", *WHO, "--out", "x.zip"], "x.zip: the server takes"),
    ],
)
def test_wrong_use_is_status_2(
    arguments: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["wosac", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert not [path for path in folder.iterdir() if "tar.gz" in path.name]


def test_many_problems_are_shown_up_to_a_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = [make_scene(f"many-{number:03d}", num_agents=1) for number in range(30)]
    write_rollouts(Path("many.arrow"), [record(scene, 1) for scene in scenes])
    assert main(["wosac", "pack", "many.arrow", "--scenes", "val", *WHO]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 22
    assert said[-2] == "and 12 more errors"  # 2 scenes without rollouts, 30 that are none of the scenes


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["wosac"])
    assert leaving.value.code == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("evaluate", "validate", "pack"))
    with pytest.raises(SystemExit) as leaving:
        main(["wosac", "pack", "--help"])
    assert leaving.value.code == 0
    assert "trafficgym wosac pack" in capsys.readouterr().out
