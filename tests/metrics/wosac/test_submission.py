"""Submissions: the official one is valid, and each broken variant of it is refused for the right reason."""

from __future__ import annotations

import copy
import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.metrics.wosac.make_submission import FIELDS, Draft, draft_scenario, write_archive
from tests.scene.make_scene import make_scene
from trafficgym.errors import SceneError
from trafficgym.metrics.wosac import sim_agents_pb2 as pb
from trafficgym.metrics.wosac.submission import Report, SubmissionError, messages, read, validate
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym.scene.store import SceneStore, SceneWriter

NAME = "submission.binproto-00000-of-00001"
Change = Callable[[Draft], object]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene("made")


@pytest.fixture(params=["generated", "official"])
def valid(request: pytest.FixtureRequest, scene: Scene) -> tuple[Draft, list[Scene]]:
    """A valid shard and its scenes; the official test submission, and a generated one."""
    if request.param == "generated":
        return Draft([draft_scenario(scene)]), [scene]
    data = request.getfixturevalue("data_root") / "data"
    draft = Draft.parse((data / "wosac/test_submission.binproto").read_bytes())
    return draft, list(open_scenes(data / "womd"))


def reasons(report: Report) -> dict[str, str]:
    """Text of the first error for each reason."""
    return {one.reason: str(one) for one in reversed(report.errors)}


def check(draft: Draft, scenes: list[Scene] | None, folder: Path) -> Report:
    """Validate a draft as a single shard."""
    path = folder / NAME
    path.write_bytes(draft.to_bytes())
    return validate(path, scenes)


def test_the_official_test_submission_is_valid(data_root: Path) -> None:
    report = validate(data_root / "data/wosac/test_submission.binproto", open_scenes(data_root / "data/womd"))
    assert report.ok, report.errors
    assert (report.kind, report.num_shards, report.num_scenarios) == ("file", 1, 1)
    missing = {str(one).split(": ")[1].split(" is ")[0] for one in report.warnings}
    assert missing == {
        "account_name",
        "uses_lidar_data",
        "uses_camera_data",
        "uses_public_model_pretraining",
        "num_model_parameters",
        "acknowledge_complies_with_closed_loop_requirement",
    }


def test_its_trajectories_are_those_that_the_official_code_read(data_root: Path) -> None:
    (scenario,) = read(data_root / "data/wosac/test_submission.binproto")
    golden = np.load(data_root / "golden/wosac" / scenario.scenario_id / "official_test_submission_rollouts.npz")
    order = np.argsort(golden["object_ids"])
    ids, trajectories = scenario.trajectories()
    np.testing.assert_array_equal(ids, golden["object_ids"][order])
    np.testing.assert_array_equal(trajectories, golden["traj"][:, order])


def test_encoding_gives_the_bytes_of_protobuf(valid: tuple[Draft, list[Scene]]) -> None:
    message = pb.SimAgentsChallengeSubmission.FromString(valid[0].to_bytes()).scenario_rollouts[0]
    found = messages.decode(message)
    trajectories = np.stack([one.trajectories() for one in found.joint_scenes])
    assert messages.encode(found.scenario_id, found.joint_scenes[0].object_id, trajectories) == message


@pytest.mark.parametrize("id", [0, 1, 127, 128, 2**31 - 1, -1, -(2**31)])
def test_any_32_bit_id_round_trips(id: int) -> None:
    trajectories = np.arange(2 * 1 * 80 * 4, dtype=np.float32).reshape(2, 1, 80, 4)
    message = messages.encode("x", np.array([id]), trajectories)
    first = pb.ScenarioRollouts.FromString(message).joint_scenes[0].simulated_trajectories[0]
    assert pb.SimulatedTrajectory.FromString(first).object_id == id
    ids, back = messages.decode(message).trajectories()
    np.testing.assert_array_equal(ids, [id])
    np.testing.assert_array_equal(back, trajectories)


def test_trajectories_of_an_unusual_layout_are_read_alike(scene: Scene, tmp_path: Path) -> None:
    """Values that are not packed, and the optional fields that this challenge ignores."""
    draft = Draft([draft_scenario(scene)])
    usual = messages.decode(pb.SimAgentsChallengeSubmission.FromString(draft.to_bytes()).scenario_rollouts[0])
    one = draft.scenarios[0].rollouts[0][1]
    packed = pb.SimulatedTrajectory.FromString(one.SerializeToString())
    packed.ClearField("center_x")
    unpacked = b"".join(b"\x15" + np.float32(x).tobytes() for x in one.center_x)  # field 2, 32 bits each
    width = b"\x3d" + np.float32(2).tobytes()  # field 7
    joint = pb.JointScene(
        simulated_trajectories=[
            packed.SerializeToString() + unpacked + width if i == 1 else row.SerializeToString()
            for i, row in enumerate(draft.scenarios[0].rollouts[0])
        ]
    )
    scenario = pb.ScenarioRollouts(scenario_id="made", joint_scenes=[joint])
    found = messages.decode(scenario.SerializeToString())
    np.testing.assert_array_equal(found.joint_scenes[0].values, usual.joint_scenes[0].values)
    np.testing.assert_array_equal(found.joint_scenes[0].object_id, usual.joint_scenes[0].object_id)


def trajectory(draft: Draft) -> pb.SimulatedTrajectory:
    return draft.scenarios[0].rollouts[3][1]


def resize(one: pb.SimulatedTrajectory, num: int, names: tuple[str, ...] = FIELDS) -> None:
    for name in names:
        values = [*getattr(one, name), 0.0][:num]
        one.ClearField(name)
        getattr(one, name).extend(values)


def assign(values, index: int, value: float) -> None:
    values[index] = value


BROKEN: dict[str, tuple[Change, str, str]] = {
    "wrong agent": (
        lambda d: setattr(trajectory(d), "object_id", 999999),
        "unknown_agents",
        r"agents that are not to be simulated .*: 999999 in rollout 3; 1 of 32 rollouts",
    ),
    "agent missing": (
        lambda d: [rollout.pop(1) for rollout in d.scenarios[0].rollouts],
        "missing_agents",
        r"agents missing .*: \d+ in rollout 0; 32 of 32 rollouts",
    ),
    "agent twice": (
        lambda d: d.scenarios[0].rollouts[3].append(trajectory(d)),
        "repeated_agents",
        r"agents that are there more than once: \d+ in rollout 3",
    ),
    "31 rollouts": (lambda d: d.scenarios[0].rollouts.pop(), "num_rollouts", "has 31 rollouts .* exactly 32"),
    "33 rollouts": (
        lambda d: d.scenarios[0].rollouts.append(d.scenarios[0].rollouts[0]),
        "num_rollouts",
        "has 33 rollouts .* exactly 32",
    ),
    "no rollouts": (lambda d: d.scenarios[0].rollouts.clear(), "num_rollouts", "has 0 rollouts"),
    "79 steps": (
        lambda d: resize(trajectory(d), 79),
        "num_steps",
        "not exactly 80 steps for agents: .* in rollout 3",
    ),
    "81 steps": (
        lambda d: resize(trajectory(d), 81),
        "num_steps",
        "not exactly 80 steps for agents: .* in rollout 3",
    ),
    "lengths differ": (
        lambda d: resize(trajectory(d), 79, ("heading",)),
        "unequal_fields",
        r"center_x, center_y, center_z and heading differ in length for agents: \d+ in rollout 3",
    ),
    "not a number": (
        lambda d: assign(trajectory(d).center_y, 40, np.nan),
        "not_finite",
        r"not finite for agents: \d+ in rollout 3; 1 of 32",
    ),
    "infinite": (lambda d: assign(trajectory(d).heading, 79, np.inf), "not_finite", r"not finite for agents: \d+"),
    "unknown scenario": (lambda d: setattr(d.scenarios[0], "id", "0123"), "unknown_scenario", "scenario 0123: is none"),
    "scenario twice": (
        lambda d: d.scenarios.append(d.scenarios[0]),
        "repeated_scenario",
        f"scenario .*: is there twice, first in {NAME}",
    ),
    "no scenario id": (
        lambda d: setattr(d.scenarios[0], "id", ""),
        "scenario_id",
        "number 1 has no scenario_id",
    ),
    "no scenario": (lambda d: d.scenarios.clear(), "empty", "holds no scenario"),
    "no type": (lambda d: d.metadata.ClearField("submission_type"), "submission_type", "is not set; it must be 1"),
    "other type": (lambda d: setattr(d.metadata, "submission_type", 2), "submission_type", "is 2; it must be 1"),
    "no account": (lambda d: d.metadata.ClearField("account_name"), "metadata", "account_name is not set"),
    "no method": (lambda d: d.metadata.ClearField("unique_method_name"), "metadata", "unique_method_name is not set"),
    "no authors": (lambda d: d.metadata.ClearField("authors"), "metadata", "authors is not set"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_variant_is_refused_with_the_right_words(
    what: str, valid: tuple[Draft, list[Scene]], tmp_path: Path
) -> None:
    draft, scenes = copy.deepcopy(valid[0]), valid[1]
    assert check(draft, scenes, tmp_path).ok
    change, reason, words = BROKEN[what]
    change(draft)
    report = check(draft, scenes, tmp_path)
    assert not report.ok
    expected = {reason}
    expected |= {"missing_agents"} if reason == "unknown_agents" else set()
    expected |= {"missing_scenario"} if reason in ("unknown_scenario", "scenario_id") else set()
    found = reasons(report)
    assert set(found) == expected
    assert re.search(words, found[reason])
    if reason in ("num_steps", "not_finite", "missing_agents", "num_rollouts"):
        assert f"{NAME}: scenario {scenes[0].id}: " in found[reason]


@pytest.mark.parametrize(
    "name",
    [
        "uses_lidar_data",
        "uses_camera_data",
        "uses_public_model_pretraining",
        "num_model_parameters",
        "acknowledge_complies_with_closed_loop_requirement",
    ],
)
def test_what_the_server_asks_for_is_an_error_in_an_archive_and_a_warning_elsewhere(
    name: str, scene: Scene, tmp_path: Path
) -> None:
    draft = Draft([draft_scenario(scene)])
    draft.metadata.ClearField(name)
    report = validate(write_archive(tmp_path / "x.tar.gz", {NAME: draft.to_bytes()}), [scene])
    assert [one.reason for one in report.errors] == ["metadata"]
    assert f"{name} is not set; the server" in str(report.errors[0])
    raw = check(draft, [scene], tmp_path)
    assert raw.ok
    assert [str(one) for one in raw.warnings] == [str(one) for one in report.errors]


def test_open_loop_is_refused_in_an_archive(scene: Scene, tmp_path: Path) -> None:
    draft = Draft([draft_scenario(scene)])
    draft.metadata.acknowledge_complies_with_closed_loop_requirement = False
    report = validate(write_archive(tmp_path / "x.tar.gz", {NAME: draft.to_bytes()}), [scene])
    assert "closed-loop simulations only" in reasons(report)["metadata"]


def test_all_problems_are_reported_and_not_only_the_first(tmp_path: Path) -> None:
    scenes = [make_scene(f"scene-{number}") for number in range(4)]
    draft = Draft([draft_scenario(scene) for scene in scenes[:3]])
    draft.scenarios[0].rollouts.pop()
    resize(draft.scenarios[0].rollouts[0][0], 70)
    draft.scenarios[1].rollouts[5].pop()
    report = check(draft, scenes, tmp_path)
    assert [(one.scenario_id, one.reason) for one in report.errors] == [
        ("scene-0", "num_rollouts"),
        ("scene-0", "num_steps"),
        ("scene-1", "missing_agents"),
        ("scene-3", "missing_scenario"),
    ]
    assert report.to_dict()["errors"][3]["scenario_id"] == "scene-3"


def test_only_objects_that_are_valid_at_step_10_are_wanted(scene: Scene, tmp_path: Path) -> None:
    late = copy.deepcopy(scene)
    late.tracks.valid[1, :11] = False  # appears later
    late.tracks.valid[2, 11:] = False  # is lost later
    assert check(Draft([draft_scenario(late)]), [late], tmp_path).ok
    report = check(Draft([draft_scenario(scene)]), [late], tmp_path)
    assert f": {scene.tracks.id[1]} in rollout 0; 32 of 32" in reasons(report)["unknown_agents"]


def test_without_scenes_the_rest_is_checked(scene: Scene, tmp_path: Path) -> None:
    draft = Draft([draft_scenario(scene)])
    report = check(draft, None, tmp_path)
    assert report.ok
    assert not report.is_against_scenes
    trajectory(draft).object_id = 999999
    trajectory(draft).center_x[0] = np.inf
    found = reasons(check(draft, None, tmp_path))
    assert set(found) == {"agents_differ", "not_finite"}
    assert re.search(r"agents that are not in every rollout: 101, 999999 in rollout 3", found["agents_differ"])


def test_a_store_gives_the_same_answer_as_its_scenes(tmp_path: Path) -> None:
    scenes = [make_scene(f"scene-{number}", num_agents=number + 1) for number in range(3)]
    with SceneWriter(tmp_path / "store") as writer:
        for scene in scenes:
            writer.add(scene)
    draft = Draft([draft_scenario(scene) for scene in scenes[1:]])
    draft.scenarios[0].rollouts[0].pop()
    from_scenes = check(draft, scenes, tmp_path)
    assert check(draft, SceneStore(tmp_path / "store"), tmp_path) == from_scenes
    assert set(reasons(from_scenes)) == {"missing_agents", "missing_scenario"}


def test_scenes_of_another_kind_are_an_error(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"'made' has its current step at 5.* it is 10"):
        check(Draft([draft_scenario(scene)]), [make_scene("made", current_step=5)], tmp_path)


def shards(scene: Scene, num: int = 2) -> dict[str, bytes]:
    drafts = [Draft([draft_scenario(scene)]), *(Draft([]) for _ in range(num - 1))]
    return {f"submission.binproto-{i:05d}-of-{num:05d}": draft.to_bytes() for i, draft in enumerate(drafts)}


def test_archive_and_folder_of_several_shards(scene: Scene, tmp_path: Path) -> None:
    given = shards(scene, 150)
    report = validate(write_archive(tmp_path / "x.tar.gz", given), [scene])
    assert (report.errors, report.warnings) == ((), ())
    assert (report.kind, report.num_shards, report.num_scenarios) == ("archive", 150, 1)
    (tmp_path / "folder").mkdir()
    for name, content in given.items():
        (tmp_path / "folder" / name).write_bytes(content)
    assert validate(tmp_path / "folder", [scene]).ok
    assert [one.scenario_id for one in read(tmp_path / "folder")] == ["made"]
    assert [one.scenario_id for one in read(tmp_path / "x.tar.gz")] == ["made"]


def test_members_that_tar_writes_with_a_leading_dot_are_flat(scene: Scene, tmp_path: Path) -> None:
    given = {f"./{name}": content for name, content in shards(scene).items()}
    assert validate(write_archive(tmp_path / "x.tar.gz", given), [scene]).ok


def test_other_numbers_of_shards_are_warned_of(scene: Scene, tmp_path: Path) -> None:
    given = shards(scene, 3)
    del given["submission.binproto-00001-of-00003"]
    report = validate(write_archive(tmp_path / "x.tar.gz", given), [scene])
    assert report.ok
    said = {one.reason: one.text for one in report.warnings}
    assert "do not count from 00000 up to 00003" in said["shard_name"]
    assert "has 2 shards; the challenge's page asks for 150" in said["num_shards"]


def test_archives_of_another_form_are_refused_with_the_right_words(scene: Scene, tmp_path: Path) -> None:
    given, path = shards(scene), tmp_path / "x.tar.gz"

    def said(path: Path) -> dict[str, str]:
        return reasons(validate(path, [scene]))

    in_folder = said(write_archive(path, {f"folder/{name}": content for name, content in given.items()}))
    assert set(in_folder) == {"folder"}
    assert "all shards must lie at the top level" in in_folder["folder"]

    not_gzip = said(write_archive(path, given, "w"))
    assert set(not_gzip) == {"archive"}
    assert "not compressed with gzip; the server takes a gzip-compressed tar" in not_gzip["archive"]

    wrong_name = said(write_archive(path, given | {"submission.pb": b"", "a.binproto-1-of-2": b""}))
    assert set(wrong_name) == {"shard_name"}
    assert "submission.pb: is no name of a shard" in wrong_name["shard_name"]

    empty = said(write_archive(path, {}))
    assert set(empty) == {"empty"}

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(NAME, given[next(iter(given))])
    assert "is a zip file" in said(path)["archive"]

    path.write_bytes(gzip.compress(next(iter(given.values()))))
    assert "is no tar archive" in said(path)["archive"]


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_an_archive_that_is_cut_off_is_refused(share: float, scene: Scene, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "x.tar.gz", shards(scene))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    found = reasons(validate(path, [scene]))
    assert found.keys() & {"archive", "damaged"}
    assert "cut off" in str(found)
    with pytest.raises(SubmissionError, match="cut off"):
        list(read(path))


def test_a_shard_that_is_cut_off_or_something_else_is_refused(scene: Scene, tmp_path: Path) -> None:
    whole = Draft([draft_scenario(scene), draft_scenario(make_scene("second"))]).to_bytes()
    path = tmp_path / NAME
    path.write_bytes(whole[: len(whole) * 3 // 4])
    report = validate(path, [scene])
    assert report.num_scenarios == 1  # the first one was checked
    assert reasons(report) == {"damaged": f"{NAME}: is cut off in the middle of a message"}
    for nonsense in (b"\xff" * 100, b"no protobuf at all", bytes(100)):
        path.write_bytes(nonsense)
        assert "damaged" in reasons(validate(path))
        with pytest.raises(SubmissionError, match=NAME):
            list(read(path))


def test_a_scenario_that_is_damaged_does_not_hide_the_next(scene: Scene, tmp_path: Path) -> None:
    draft = Draft([draft_scenario(scene)])
    draft.metadata.scenario_rollouts.append(b"\x12\x7f nonsense")
    report = check(draft, [scene], tmp_path)
    assert report.num_scenarios == 2
    assert set(reasons(report)) == {"damaged"}
    assert "scenario number 1 is no ScenarioRollouts message" in reasons(report)["damaged"]


def test_metadata_that_differ_between_shards_are_refused(scene: Scene, tmp_path: Path) -> None:
    given = shards(scene)
    other = Draft([])
    other.metadata.unique_method_name = "another"
    given["submission.binproto-00001-of-00002"] = other.to_bytes()
    found = reasons(validate(write_archive(tmp_path / "x.tar.gz", given), [scene]))
    assert "00001-of-00002: unique_method_name differ(s) from the first shard's" in found["metadata"]


def test_a_shard_that_is_there_twice_is_refused(scene: Scene, tmp_path: Path) -> None:
    given = shards(scene)
    name = next(iter(given))
    report = validate(write_archive(tmp_path / "x.tar.gz", given | {f"./{name}": given[name]}), [scene])
    assert reasons(report).keys() == {"shard_name", "repeated_scenario"}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"nowhere.tar.gz: cannot be read: No such file"):
        validate(tmp_path / "nowhere.tar.gz")
