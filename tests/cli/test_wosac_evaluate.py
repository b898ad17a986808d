"""`trafficgym wosac evaluate`, from the words of a command line to its files and status."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.cli.main import main
from trafficgym.scene.store import SceneStore, SceneWriter
from trafficgym_scenarios import NominalConfig, nominal_scenes

FEW = ["--rollouts-per-scene", "2", "--workers", "1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "val"
    with SceneWriter(folder) as writer:
        for scene in nominal_scenes(3, config=NominalConfig(roads="highway")):
            writer.add(scene)
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_policies_on_the_embedded_default(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["wosac", "evaluate", "--max-scenes", "2", *FEW, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    for words in (
        "realism meta-metric",
        "constant_velocity",
        "log replay",
        "about 0.8",
        "off-road (0.25)",
        "minADE [m]",
    ):
        assert words in said
    assert "2 rollouts of each scene are scored together" in said
    assert {path.name for path in out.iterdir()} == {"report.html", "results.json"}
    found = results(out)
    assert [row["policy"] for row in found["summary"]] == ["idm", "constant_velocity", "random"]
    assert found["command"][:3] == ["trafficgym", "wosac", "evaluate"]
    assert all(row["score"]["metametric"] < found["oracle"]["score"]["metametric"] for row in found["summary"])


def test_recorded_by_evaluate_packed_and_scored_from_both(tmp_path):
    """One policy three ways: driven by the command, from its rollout file, and from the packed submission."""
    store = tmp_path / "val"
    with SceneWriter(store) as writer:
        writer.add(make_scene("made"))
    recording = ["evaluate", "--scenes", str(store), "--policy", "random", "--control", "all", "--rollouts", "32"]
    assert main([*recording, "--save-rollouts", "--gifs", "0", "--workers", "1", "--out", str(tmp_path / "run")]) == 0
    rollouts, archive = tmp_path / "run" / "rollouts.arrow", tmp_path / "packed.tar.gz"
    words = ["--account-name", "a@b.org", "--method-name", "random", "--authors", "A", "--num-model-parameters", "0K"]
    packing = ["wosac", "pack", str(rollouts), "--scenes", str(store), *words, "--closed-loop", "--num-shards", "2"]
    assert main([*packing, "--out", str(archive)]) == 0
    scores = []
    for what in (["--policy", "random"], ["--rollouts", str(rollouts)], ["--rollouts", str(archive)]):
        assert main(["wosac", "evaluate", str(store), *what, "--workers", "1", "--out", str(tmp_path / "out")]) == 0
        scores.append(results(tmp_path / "out")["summary"][0]["score"])
    assert scores[0] == scores[1] == scores[2]
    assert results(tmp_path / "out")["summary"][0]["policy"] == "packed"


def test_status_says_whether_rollouts_lack_scenes(store, tmp_path, capsys):
    recording = ["evaluate", "--scenes", str(store), "--policy", "idm", "--control", "all", "--rollouts", "2"]
    run, out = tmp_path / "run", tmp_path / "out"
    main([*recording, "--max-scenes", "2", "--save-rollouts", "--gifs", "0", "--workers", "1", "--out", str(run)])
    scoring = ["wosac", "evaluate", str(store), "--rollouts", str(run / "rollouts.arrow"), *FEW, "--out", str(out)]
    assert main(scoring) == 1
    said = capsys.readouterr().out
    assert "Means are over 2 scenes; 1 were left out, 1 of them because of the rollouts." in said
    assert f"{SceneStore(store)[2].id}: no rollouts by 'idm' were recorded" in said
    assert results(out)["skipped"][0]["fault"] == "rollouts"
    assert main([*scoring, "--max-scenes", "2"]) == 0


def test_scenes_that_are_too_short_are_no_fault_of_the_command(tmp_path, capsys):
    with SceneWriter(tmp_path / "mixed") as writer:
        for scene in (make_scene("short", num_steps=50), make_scene("whole")):
            writer.add(scene)
    arguments = ["wosac", "evaluate", str(tmp_path / "mixed"), "--policy", "idm", *FEW, "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "short: scene 'short' has 50 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--policy", "imd"], "did you mean 'idm'"),
        (["--policy", "idm", "--policy", "idm"], "each once"),
        (["--rollouts-per-scene", "0"], "rollouts_per_scene is 0"),
        (["--config", "2026"], "did you mean '2025'"),
        (["--config", "2025_scenario_gen"], "scores whole scenes"),
        (["--workers", "0"], "--workers is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--max-scenes", "0"], "max_scenes is 0"),
        (["/nowhere/at/all"], "/nowhere/at/all"),
        (["--rollouts", "/nowhere/at/all"], "there is no such file or folder of rollouts"),
    ],
)
def test_wrong_options_end_with_one_line_that_says_what_to_do(arguments, says, capsys, tmp_path):
    assert main(["wosac", "evaluate", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("year", ["2025", "2024"])
def test_the_official_submission_scores_what_the_official_code_gives(year, data_root, tmp_path):
    data = data_root / "data"
    scenes = data / "womd" / "motion_data_one_scenario.tfrecord"
    rollouts = ["--rollouts", str(data / "wosac" / "test_submission.binproto")]
    assert main(["wosac", "evaluate", str(scenes), *rollouts, "--config", year, "--out", str(tmp_path)]) == 0
    score = results(tmp_path)["summary"][0]["score"]
    golden = json.loads((data_root / "golden" / "wosac" / "metrics.json").read_text())
    kind = {"2025": "2025_sim_agents", "2024": "2024"}[year]
    official = golden[kind]["official_test_submission"]["637f20cafde22ff8"]["metrics"]
    compared = [name for name in official if name in score and isinstance(official[name], float)]
    assert {"metametric", "offroad_indication_likelihood", "simulated_collision_rate"} <= set(compared)
    np.testing.assert_allclose([score[name] for name in compared], [official[name] for name in compared], atol=1e-4)


def test_real_scenes_do_not_depend_on_processes(data_root, tmp_path):
    scenes = str(data_root / "data" / "womd_converted")
    found = []
    for workers in ("1", "2"):
        arguments = ["wosac", "evaluate", scenes, "--policy", "idm", "--max-scenes", "2", "--workers", workers]
        assert main([*arguments, "--out", str(tmp_path)]) == 0
        one = results(tmp_path)
        found.append({key: one[key] for key in ("summary", "oracle", "histograms", "scenes")})
    assert found[0] == found[1]
    assert 0.5 < found[0]["oracle"]["score"]["metametric"] < 0.95
