"""Realism over many scenes: numbers, what is left out and why, and the page."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError, SceneError
from trafficgym.metrics.bootstrap import Bootstrap
from trafficgym.metrics.wosac import Realism, fill_gaps
from trafficgym.report import plots
from trafficgym.report.evaluation import rollout_seed
from trafficgym.report.realism import RealismConfig, evaluate_realism
from trafficgym.report.realism_files import write
from trafficgym.report.realism_html import remarks, render
from trafficgym.report.realism_pooled import Pooled, worst_agents
from trafficgym.report.realism_results import finite, to_dict
from trafficgym.report.realism_rollouts import RolloutFiles, open_rollouts
from trafficgym.report.source import SceneSource
from trafficgym.scene.scene import RoadMap, Scene, Signals
from trafficgym.world.roll_out import roll_out
from trafficgym.world.rollout_file import RolloutWriter
from trafficgym_scenarios import NominalConfig, nominal_scenes
from trafficgym_scenarios.roads import Interval

BOOTSTRAP = Bootstrap(num_resamples=50)
QUICK = RealismConfig(policies=("idm", "random"), rollouts_per_scene=3, bootstrap=BOOTSTRAP)
FROM_FILE = {"rollouts_per_scene": 3, "bootstrap": BOOTSTRAP}


@dataclass(frozen=True, kw_only=True)
class Given(SceneSource):
    """Scenes made by a test."""

    scenes: tuple[Scene, ...]

    def open(self):
        return self.scenes, len(self.scenes)


@pytest.fixture(scope="module")
def scenes():
    return tuple(nominal_scenes(3, config=NominalConfig(roads="highway", num_agents=Interval(8, 12))))


@pytest.fixture(scope="module")
def evaluation(scenes):
    return evaluate_realism(Given(scenes=scenes), QUICK)


def record(path: Path, scenes, *, num: int = 3, control: str = "all", policy: str = "random") -> Path:
    with RolloutWriter(path) as writer:
        for scene in scenes:
            seeds = [rollout_seed(0, scene.id, number) for number in range(num)]
            writer.add([roll_out(scene, policy, seed=seed, control=control) for seed in seeds])
    return path


def values(row):
    return row.policy, row.score.as_dict(), row.interval, row.difference


def numbers(evaluation):
    found = to_dict(evaluation)
    return {key: found[key] for key in ("summary", "oracle", "histograms", "scenes")}


def test_numbers_are_those_of_the_metric(scenes, evaluation):
    """32 rollouts, stacked by hand in the scene frame."""
    scene = scenes[1]
    realism = Realism(scene)
    runs = [roll_out(scene, "random", seed=rollout_seed(0, scene.id, number)) for number in range(3)]
    motion = np.stack(
        [np.stack([getattr(run, name) for name in ("x", "y", "z", "yaw", "vx", "vy")], -1) for run in runs]
    )
    present = np.stack([run.present for run in runs])
    rows = realism.tracks
    rollouts = fill_gaps(motion[:, rows], present[:, rows])[:, :, 1:]
    expected = realism.score(rollouts, realism.ids)
    found = evaluation.scored[1].policies[1]
    assert (found.policy, evaluation.scored[1].scene_id) == ("random", scene.id)
    assert found.score.metametric == expected.metametric
    assert found.score.likelihoods == expected.likelihoods
    mean = np.mean([outcome.policies[1].score.metametric for outcome in evaluation.scored])
    assert evaluation.rows[1].score.metametric == pytest.approx(mean, abs=1e-15)


def test_neither_processes_nor_the_order_of_scenes_change_a_number(scenes, evaluation):
    assert numbers(evaluate_realism(Given(scenes=scenes), QUICK, workers=2)) == numbers(evaluation)


@pytest.mark.parametrize("policy", ["log", "idm", "constant_velocity"])
def test_policies_that_are_simulated_once_do_not_draw(policy, scenes):
    first, second = (roll_out(scenes[0], policy, seed=seed) for seed in (1, 2))
    for name in ("x", "y", "yaw"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_a_policy_and_the_file_of_its_rollouts_score_the_same(scenes, evaluation, tmp_path):
    path = record(tmp_path / "rollouts.arrow", scenes)
    found = evaluate_realism(Given(scenes=scenes), RealismConfig(rollouts=path, **FROM_FILE))
    (row,) = found.rows
    assert values(row) == values(evaluation.rows[1])
    more = record(tmp_path / "more.arrow", scenes, num=5)  # of which the first three are scored
    (first,) = evaluate_realism(Given(scenes=scenes), RealismConfig(rollouts=more, **FROM_FILE)).rows
    assert values(first) == values(row)


def test_policies_and_recorded_rollouts_stand_side_by_side(scenes, evaluation, tmp_path):
    record(tmp_path / "a.arrow", scenes[:1])
    record(tmp_path / "b.arrow", scenes[1:])
    config = RealismConfig(policies=("idm",), rollouts=tmp_path, **FROM_FILE)
    found = evaluate_realism(Given(scenes=scenes), config, workers=2)
    assert [values(row) for row in found.rows] == [values(row) for row in evaluation.rows]
    with pytest.raises(ConfigError, match="holds rollouts by 'random'"):
        evaluate_realism(Given(scenes=scenes), replace(config, policies=("random",)))


def test_rollouts_that_cannot_be_scored_are_named_and_the_others_go_on(scenes, tmp_path):
    with RolloutWriter(tmp_path / "r.arrow") as writer:
        writer.add([roll_out(scenes[0], "random", seed=seed, control="all") for seed in range(3)])
        writer.add([roll_out(scenes[1], "random", seed=seed, control="sdc") for seed in range(3)])
        writer.add([roll_out(scenes[2], "random", seed=seed, control="all") for seed in range(2)])
        writer.add([roll_out(make_scene("elsewhere"), "random", seed=seed, control="all") for seed in range(3)])
    lacking = make_scene("lacking")
    found = evaluate_realism(
        Given(scenes=(*scenes, lacking)), RealismConfig(rollouts=tmp_path / "r.arrow", **FROM_FILE)
    )
    assert [outcome.scene_id for outcome in found.scored] == [scenes[0].id]
    reasons = {outcome.scene_id: outcome.problem for outcome in found.skipped}
    assert "follow their logs" in reasons[scenes[1].id]
    assert "--control all" in reasons[scenes[1].id]
    assert "has 2 rollouts where 3 are asked for" in reasons[scenes[2].id]
    assert "no rollouts by 'random' were recorded" in reasons["lacking"]
    assert all(outcome.is_fault_of_rollouts for outcome in found.skipped)
    assert found.unknown == ("elsewhere",)
    assert "Means are over 1 scenes; 3 were left out, 3 of them because of the rollouts." in remarks(found)


def test_recorded_ids_that_are_not_those_of_the_scene(tmp_path):
    scene = make_scene("made")
    other = replace(scene, tracks=replace(scene.tracks, id=scene.tracks.id + 1))
    path = record(tmp_path / "r.arrow", [other])
    with pytest.raises(SceneError, match=r"none of 1 scenes can be scored; made: .*lack 1 of 3 objects.*100"):
        evaluate_realism(Given(scenes=(scene,)), RealismConfig(rollouts=path, **FROM_FILE))


def test_scenes_that_cannot_be_scored_are_left_out_with_the_reason():
    whole, short = make_scene("whole"), make_scene("short", num_steps=60)
    tracks = replace(whole.tracks, is_sdc=np.zeros(3, bool), to_predict=np.zeros(3, bool))
    nobody = replace(whole, id="nobody", tracks=tracks)
    found = evaluate_realism(Given(scenes=(short, whole, nobody)), QUICK)
    reasons = {outcome.scene_id: outcome.problem for outcome in found.skipped}
    assert "has 60 steps" in reasons["short"]
    assert "nothing to evaluate" in reasons["nobody"]
    assert not any(outcome.is_fault_of_rollouts for outcome in found.skipped)
    assert [row.score.num_scenes for row in found.rows] == [1, 1]
    with pytest.raises(SceneError, match="none of 1 scenes can be scored; short: "):
        evaluate_realism(Given(scenes=(short,)), QUICK)


def test_a_scene_without_road_edges_is_scored_over_the_rest_and_says_so(tmp_path, recwarn):
    whole = make_scene("whole")
    bare = replace(whole, id="bare", road=RoadMap.empty(), signals=Signals.empty(whole.num_steps))
    found = evaluate_realism(Given(scenes=(whole, bare)), QUICK)
    assert found.missing == {"distance_to_road_edge": 1, "offroad_indication": 1}
    assert any("1 of 2 scenes have no distance to road edge" in remark for remark in remarks(found))
    assert not [warning for warning in recwarn if "road edge" in str(warning.message)]  # the table has it
    alone = evaluate_realism(Given(scenes=(bare,)), QUICK)
    write(alone, tmp_path)
    assert "offroad_indication_likelihood" not in (tmp_path / "results.json").read_text().split('"features"')[0]
    assert strict(tmp_path / "results.json")["summary"][0]["score"]["metametric"] > 0


def test_losses_of_features_add_up_to_the_distance_to_the_replay(evaluation):
    weights = {name: feature.weight for name, feature in QUICK.config.features.items()}
    for row in evaluation.rows:
        oracle = evaluation.oracle.score
        lost = sum(weights[name] * (oracle.likelihoods[name] - row.score.likelihoods[name]) for name in weights)
        assert lost == pytest.approx(oracle.metametric - row.score.metametric, abs=1e-12)
        assert row.difference.value == pytest.approx(-lost, abs=1e-12)


def test_pooled_histograms_count_every_sample_once(scenes, evaluation):
    pooled = Pooled.of(evaluation)
    evaluated = sum(len(Realism(scene).evaluated) for scene in scenes)
    assert pooled.simulated["idm"]["distance_to_nearest_object"].sum() == evaluated * 80 * 3
    assert pooled.simulated["idm"]["linear_speed"].sum() == evaluated * 79 * 3
    assert pooled.simulated["idm"]["linear_acceleration"].sum() == evaluated * 78 * 3
    assert pooled.simulated["random"]["collision_indication"].sum() == evaluated * 3
    assert pooled.logged["offroad_indication"].tolist() == [evaluated, 0]
    for name, curve in pooled.log_likelihood["idm"].items():
        counting = sum(outcome.counting[name] for outcome in evaluation.scored)
        total = np.nansum(curve * counting) / counting.sum()
        assert total < 0, name


def test_the_worst_agents_lose_most(evaluation):
    agents = worst_agents(evaluation, 1, 5)
    lost = [agent.lost for agent in agents]
    assert lost == sorted(lost, reverse=True)
    assert lost[0] == pytest.approx(sum(agents[0].by_feature.values()))
    assert lost[0] > max(agent.lost for agent in worst_agents(evaluation, 0, 5))  # IDM drives better than chance


def strict(path: Path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_files(evaluation, tmp_path):
    assert [path.name for path in write(evaluation, tmp_path, ["trafficgym"])] == ["report.html", "results.json"]
    results = strict(tmp_path / "results.json")
    assert results["command"] == ["trafficgym"]
    assert results["config"]["wosac"] == "2025"
    assert [row["policy"] for row in results["summary"]] == ["idm", "random"]
    first = results["scenes"][0]["policies"]["idm"]
    assert first["oracle"]["metametric"] > first["metametric"]
    assert len(first["agents"]) == len(evaluation.scored[0].policies[0].agents)


def test_what_is_not_finite_becomes_null():
    assert finite({"a": [float("nan"), 1.0, (float("inf"), 2)], "b": "nan"}) == {
        "a": [None, 1.0, [None, 2]],
        "b": "nan",
    }


def test_the_page_holds_everything_and_loads_nothing(evaluation, monkeypatch):
    page = render(evaluation)
    assert page.count("<svg") == 3
    for text in ("log replay", "minADE", "time to collision", "Worst agents", evaluation.scored[0].scene_id):
        assert text in page
    assert not re.search(r"<script|<link|@import", page)
    assert not re.search(r"url\((?!#)", page)
    monkeypatch.setattr(plots, "is_available", lambda: False)
    assert "pip install" in render(evaluation)


def test_names_from_scenes_are_no_markup():
    page = render(evaluate_realism(Given(scenes=(make_scene("<script>x</script>"),)), QUICK))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_folders_of_something_else_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ConfigError, match=r"holds neither files of rollouts.*nor shards"):
        open_rollouts(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        open_rollouts(tmp_path / "nowhere")


def test_the_same_rollouts_in_two_files_are_refused(scenes, tmp_path):
    for name in ("a.arrow", "b.arrow"):
        record(tmp_path / name, scenes[:1])
    assert isinstance(open_rollouts(tmp_path), RolloutFiles)
    with pytest.raises(SceneError, match=r"both in .*a\.arrow and in .*b\.arrow"):
        evaluate_realism(Given(scenes=scenes[:1]), RealismConfig(rollouts=tmp_path, **FROM_FILE))
