"""The main job: from scenes to a table, JSON, a page and pictures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.cli.evaluate import main
from trafficgym.cli.main import main as command
from trafficgym.errors import ConfigError, SceneError
from trafficgym.metrics import METRICS, Bootstrap
from trafficgym.report import files, plots
from trafficgym.report.evaluation import EvaluationConfig, evaluate, roll_outs
from trafficgym.report.html import render
from trafficgym.report.results import to_dict
from trafficgym.report.source import SceneSource
from trafficgym.scene.scene import RoadMap, Scene, Signals

QUICK = EvaluationConfig(policies=("log", "constant_velocity"), bootstrap=Bootstrap(num_resamples=50))


@dataclass(frozen=True, kw_only=True)
class Given(SceneSource):
    """Scenes made by a test."""

    scenes: tuple[Scene, ...]

    def open(self):
        return self.scenes, len(self.scenes)


def three_scenes():
    return tuple(make_scene(f"scene-{number}", speed=5.0 + number) for number in range(3))


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(Given(scenes=three_scenes()), QUICK)


def test_main_job_on_the_embedded_default(tmp_path, capsys):
    arguments = ["--max-scenes", "2", "--policy", "log", "--policy", "random", "--gifs", "1", "--workers", "1"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "collision [%]" in shown
    assert "random" in shown
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"results.json", "report.html", "worst-1.gif"}
    assert (tmp_path / "run" / "worst-1.gif").read_bytes()[:6] == b"GIF89a"
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    summary = {row["policy"]: row["metrics"] for row in results["summary"]}
    assert summary["log"]["ade"]["value"] == pytest.approx(0, abs=1e-4)
    assert summary["random"]["ade"]["value"] > 1
    assert list(summary["log"]) == [metric.key for metric in METRICS]


def test_numbers_depend_neither_on_the_number_of_processes_nor_on_the_order_of_scenes(evaluation):
    def numbers(result):
        found = to_dict(result)
        return {key: found[key] for key in ("summary", "differences", "histograms")}

    backwards = Given(scenes=three_scenes()[::-1])
    assert numbers(evaluate(backwards, QUICK, workers=2)) == numbers(evaluation)


def test_scenes_that_cannot_be_evaluated_are_named_and_the_others_go_on():
    whole = make_scene("whole")
    short = make_scene("short", num_steps=11)
    signals = Signals.empty(whole.num_steps)
    bare = replace(whole, id="bare", road=RoadMap.empty(), signals=signals)
    result = evaluate(Given(scenes=(short, bare, whole)), QUICK)
    problems = {outcome.scene_id: outcome.problem for outcome in result.skipped}
    assert "no future" in problems["short"]
    assert "no map" in problems["bare"]
    assert [one.scene_id for one in result.measures] == ["whole", "whole"]
    assert to_dict(result)["skipped"][0]["scene"] == "short"
    with pytest.raises(SceneError, match="none of 1 scenes can be evaluated; short: no future"):
        evaluate(Given(scenes=(short,)), QUICK)


def test_a_misspelt_selector_is_found_before_any_scene_is_driven():
    with pytest.raises(ConfigError, match="no selector is called 'movin'; did you mean 'moving'"):
        EvaluationConfig(control="vehicle movin")


def test_a_fault_in_one_scene_does_not_cost_the_others(monkeypatch):
    def fails_once(scene, policy, seeds, **_):
        if scene.id == "scene-1":
            raise ZeroDivisionError("oh")
        return original(scene, policy, seeds)

    from trafficgym.report import evaluation as module

    original = module.roll_out_batch
    monkeypatch.setattr(module, "roll_out_batch", fails_once)
    result = evaluate(Given(scenes=three_scenes()), QUICK)
    assert [(outcome.scene_id, outcome.problem) for outcome in result.skipped] == [("scene-1", "ZeroDivisionError: oh")]
    assert len(result.measures) == 4


def test_rollouts_of_a_scene_have_seeds_of_their_own_and_come_back_the_same():
    config = replace(QUICK, rollouts=2)
    first, second = roll_outs(make_scene(), "random", config)
    assert not np.array_equal(first.x, second.x)
    assert np.array_equal(first.x, roll_outs(make_scene(), "random", config)[0].x)
    assert not np.array_equal(first.x, roll_outs(make_scene("other"), "random", config)[0].x)


def test_the_page_holds_everything_and_loads_nothing(evaluation, tmp_path):
    files.write(evaluation, tmp_path, gifs=1)
    page = (tmp_path / "report.html").read_text()
    assert all(metric.label.replace("<", "&lt;").replace(">", "&gt;") in page for metric in METRICS)
    assert not re.search(r"<script|<link|@import", page)
    assert not re.search(r"url\((?!#)", page)
    loads = re.findall(r"(?:src|href)=[\"']([^\"'#:]*)[:#]", page)
    assert loads.count("data") == 1
    assert set(loads) == {"data", ""}


def test_names_from_scenes_are_no_markup():
    page = render(evaluate(Given(scenes=(make_scene("<script>x</script>"),)), QUICK), [])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_without_matplotlib_the_page_says_what_to_install(evaluation, monkeypatch):
    monkeypatch.setattr(plots, "is_available", lambda: False)
    page = render(evaluation, [])
    assert "pip install" in page
    assert "collision" in page


def test_interrupted_while_writing_leaves_the_folder_as_it_was(evaluation, tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text("of an earlier run")

    def interrupt(_evaluation):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "to_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write(evaluation, tmp_path, gifs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert (tmp_path / "results.json").read_text() == "of an earlier run"


def test_an_unwritable_folder_is_named(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file.*--out"):
        files.write(evaluation, tmp_path / "file", gifs=0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--policy", "imd"], "did you mean 'idm'"),
        (["--policy", "idm", "--policy", "idm"], "each once"),
        (["--rollouts", "0"], "rollouts is 0"),
        (["--max-scenes", "0"], "max_scenes is 0"),
        (["--workers", "0"], "--workers is 0"),
        (["--scenes", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--control", "vehicel", "--max-scenes", "1"], "did you mean 'vehicle'"),
    ],
)
def test_wrong_options_end_with_one_line_that_says_what_to_do(arguments, says, capsys, tmp_path):
    assert command(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_real_scenes(data_root, tmp_path):
    """A ScenarioNet pickle is driven and drawn; and four test-split scenes without a future are refused by name."""
    out = ["--workers", "1", "--gifs", "0", "--out", str(tmp_path)]
    scenes = data_root / "data" / "scenarionet"
    main(["--scenes", str(scenes), "--max-scenes", "1", "--policy", "log", "--policy", "idm", *out])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["summary"][0]["metrics"]["ade"]["value"] < 0.01
    with pytest.raises(SceneError, match="no future"):
        main(["--scenes", str(data_root / "data" / "gpudrive_test_split"), "--policy", "log", *out])
