"""Packing: what comes out is what went in, bit for bit, valid, and the same every time; or nothing comes out."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.metrics.wosac.make_submission import METADATA, record, write_rollouts
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError, StoreError
from trafficgym.metrics.wosac.submission import (
    Metadata,
    PackConfig,
    RefusedError,
    SubmissionError,
    pack,
    read,
    submitted_trajectories,
    validate,
)
from trafficgym.scene.atomic import AtomicFile
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym.world.roll_out import roll_out
from trafficgym.world.rollout_file import RecordedRollouts, RolloutFile

COMPLETE = Metadata(**{**METADATA, "authors": tuple(METADATA["authors"])})
SMALL = PackConfig(num_shards=3)


@pytest.fixture
def scenes() -> list[Scene]:
    return [make_scene(f"scene-{number}", num_agents=1 + number) for number in range(4)]


@pytest.fixture
def files(scenes: list[Scene], tmp_path: Path) -> list[RolloutFile]:
    """Rollouts of all scenes, in two files and in another order than the scenes'."""
    recorded = [record(scene) for scene in scenes]
    return [
        RolloutFile(write_rollouts(tmp_path / "a.arrow", recorded[:0:-1])),
        RolloutFile(write_rollouts(tmp_path / "b.arrow", recorded[:1])),
    ]


def in_world(rollouts: RecordedRollouts, rows: list[int]) -> np.ndarray:
    """Steps 11 to 90 of these objects in world coordinates, ``[R, N, 80, 4]``."""
    motion = rollouts.motion[:, rows, 11 - rollouts.start_step :][:, :, :80]
    position = (motion[..., :3].astype(np.float64) + rollouts.origin).astype(np.float32)
    return np.concatenate([position, motion[..., 3:4]], -1)


def test_a_packed_submission_is_valid_and_holds_the_rollouts_bit_for_bit(
    scenes: list[Scene], files: list[RolloutFile], tmp_path: Path
) -> None:
    done = []
    packed = pack(files, scenes, COMPLETE, tmp_path / "new/x.tar.gz", on_scenario=lambda *counts: done.append(counts))
    assert (packed.num_scenarios, packed.num_shards) == (4, 150)
    assert packed.num_bytes == packed.path.stat().st_size
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    report = validate(packed.path, scenes)
    assert (report.errors, report.warnings) == ((), ())
    assert report.metadata == COMPLETE
    found = {one.scenario_id: one.trajectories() for one in read(packed.path)}
    assert list(found) == sorted(scene.id for scene in scenes)
    for scene in scenes:
        ids, trajectories = found[scene.id]
        np.testing.assert_array_equal(ids, scene.tracks.id)
        np.testing.assert_array_equal(trajectories, in_world(record(scene), list(range(scene.num_agents))))


def test_scenarios_are_dealt_to_150_flat_shards_by_id(
    scenes: list[Scene], files: list[RolloutFile], tmp_path: Path
) -> None:
    pack(files, scenes, COMPLETE, tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz", "r:gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [f"submission.binproto-{i:05d}-of-00150" for i in range(150)]
    assert {(member.mtime, member.uid, member.uname, member.isfile()) for member in members} == {(0, 0, "", True)}
    sizes = [member.size for member in members]
    assert min(sizes[:4]) > 32 * 80 * 16
    assert max(sizes[4:]) < 1000  # metadata alone


def test_the_same_input_gives_the_same_bytes(scenes: list[Scene], files: list[RolloutFile], tmp_path: Path) -> None:
    pack(files, scenes, COMPLETE, tmp_path / "x.tar.gz", SMALL)
    pack(files[::-1], scenes[::-1], COMPLETE, tmp_path / "another name.tar.gz", SMALL)
    assert (tmp_path / "x.tar.gz").read_bytes() == (tmp_path / "another name.tar.gz").read_bytes()


def test_real_scenes_round_trip(data_root: Path, tmp_path: Path) -> None:
    """Closed-loop rollouts of recorded scenes, whose origins are kilometres away."""
    scenes = [open_scenes(data_root / "data/womd")[0], open_scenes(data_root / "data/womd_converted")[0]]
    recorded = [RecordedRollouts.of([roll_out(scene, "random", seed=seed) for seed in range(32)]) for scene in scenes]
    file = RolloutFile(write_rollouts(tmp_path / "real.arrow", recorded))
    packed = pack([file], scenes, COMPLETE, tmp_path / "x.tar.gz")
    assert validate(packed.path, scenes).ok
    found = {one.scenario_id: one.trajectories() for one in read(packed.path)}
    for scene, rollouts in zip(scenes, recorded, strict=True):
        ids, trajectories = found[scene.id]
        rows = [scene.tracks.id.tolist().index(id) for id in ids.tolist()]
        assert np.abs(trajectories[..., :2]).max() > 500  # in the source's frame, far from its origin
        expected = in_world(rollouts, rows)
        there = rollouts.present[:, rows, 11 - rollouts.start_step :][:, :, :80]
        assert there.mean() > 0.9
        np.testing.assert_array_equal(trajectories[there], expected[there])


def test_the_log_becomes_the_official_oracle(data_root: Path) -> None:
    """Gaps, and what is lost, go on at constant velocity as the official oracle does."""
    (scene,) = open_scenes(data_root / "data/womd")
    golden = np.load(data_root / "golden/wosac" / scene.id / "oracle_rollouts.npz")
    ids, trajectories = submitted_trajectories(RecordedRollouts.of([roll_out(scene, "log")]), scene)
    order = np.argsort(golden["object_ids"])
    np.testing.assert_array_equal(ids, golden["object_ids"][order])
    np.testing.assert_array_equal(trajectories[..., :3], golden["traj"][:, order][..., :3])
    turned = trajectories[..., 3] - golden["traj"][:, order][..., 3]
    assert np.abs(np.remainder(turned + np.pi, 2 * np.pi) - np.pi).max() < 1e-6


def test_objects_go_on_where_a_rollout_loses_them_and_others_are_left_out() -> None:
    scene = make_scene(speed=10.0)
    scene.tracks.valid[2, :11] = False  # is not there at step 10
    rollouts = record(scene)
    rollouts.present[:, 0, 20:] = False
    rollouts.present[:, 1] = False  # from the log's state at step 10 on
    rollouts.motion[:, :, 20:] = np.nan
    rollouts.motion[:, 2] = np.nan
    ids, trajectories = submitted_trajectories(rollouts, scene)
    assert ids.tolist() == scene.tracks.id[:2].tolist()
    last = rollouts.motion[4, 0, 19].astype(np.float64)
    expected = last[:2] + 3.0 * last[4:] + scene.origin[:2]  # 30 steps of 0.1 s
    np.testing.assert_allclose(trajectories[4, 0, 49, :2], expected, rtol=0, atol=1e-3)
    assert trajectories[4, 0, 49, 3] == rollouts.motion[4, 0, 19, 3]
    start = np.array([10 + 20 + 0.1 * 10 * 10, 3.5, 0.75]) + scene.origin
    np.testing.assert_allclose(trajectories[0, 1, 0, :3], [start[0] + 1, *start[1:]], rtol=0, atol=1e-3)


def test_rollouts_may_begin_with_the_history_and_go_on_after_the_end() -> None:
    scene = make_scene()
    whole = record(scene, start_step=0)
    from_now = replace(whole, start_step=10, motion=whole.motion[:, :, 10:], present=whole.present[:, :, 10:])
    longer = replace(
        from_now,
        motion=np.concatenate([from_now.motion, from_now.motion], 2),
        present=np.concatenate([from_now.present] * 2, 2),
    )
    expected = submitted_trajectories(whole, scene)[1]
    np.testing.assert_array_equal(expected, in_world(whole, [0, 1, 2]))
    np.testing.assert_array_equal(submitted_trajectories(from_now, scene)[1], expected)
    np.testing.assert_array_equal(submitted_trajectories(longer, scene)[1], expected)
    shorter = replace(whole, motion=whole.motion[:, :, :90], present=whole.present[:, :, :90])
    with pytest.raises(SubmissionError, match=r"go from step 0 to 89; .* from 11 to 90"):
        submitted_trajectories(shorter, scene)


def without(scene: Scene) -> RecordedRollouts:
    all = record(scene)
    return replace(
        all,
        object_id=all.object_id[1:],
        is_simulated=all.is_simulated[:, 1:],
        motion=all.motion[:, 1:],
        present=all.present[:, 1:],
    )


def with_nan(scene: Scene) -> RecordedRollouts:
    found = record(scene)
    found.motion[7, 1, 40, 2] = np.nan
    return found


def with_a_log(scene: Scene) -> RecordedRollouts:
    found = record(scene)
    found.is_simulated[:, 1] = False
    return found


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (without, "rollouts", r"lack 1 of 3 objects .* step 10: 100"),
        (with_nan, "rollouts", r"rollout 7 has numbers that are not finite for object 101 at step 51"),
        (with_a_log, "not_simulated", r"1 of 3 objects .* followed their logs .*: 101; .* --control all"),
        (lambda scene: record(scene, 31), "num_rollouts", "has 31 rollouts; it must have exactly 32"),
        (lambda scene: record(scene, 33), "num_rollouts", "has 33 rollouts; it must have exactly 32"),
        (lambda _: record(make_scene("other")), "missing_scenario", "scenario made: has no rollouts"),
    ],
)
def test_what_would_be_refused_is_not_packed(
    make: Callable[[Scene], RecordedRollouts], reason: str, words: str, tmp_path: Path
) -> None:
    scene, out = make_scene("made"), tmp_path / "x.tar.gz"
    out.write_bytes(b"of an earlier run")
    file = RolloutFile(write_rollouts(tmp_path / "r.arrow", [make(scene)]))
    with pytest.raises(RefusedError, match=words) as refused:
        pack([file], [scene], COMPLETE, out, SMALL)
    assert refused.value.problems[0].reason == reason
    assert out.read_bytes() == b"of an earlier run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.arrow", "x.tar.gz"]


def test_every_scene_is_named(scenes: list[Scene], files: list[RolloutFile], tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        pack([files[0], files[0]], [scenes[0], scenes[1]], replace(COMPLETE, authors=()), tmp_path / "x.tar.gz")
    assert [(one.reason, one.scenario_id) for one in refused.value.problems] == [
        ("metadata", ""),
        ("missing_scenario", "scene-0"),
        ("repeated_scenario", "scene-1"),
        ("unknown_scenario", "scene-2"),
        ("unknown_scenario", "scene-3"),
    ]


def test_ids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    scene = make_scene("made")
    scene.tracks.id[1] = 2**31
    file = RolloutFile(write_rollouts(tmp_path / "r.arrow", [record(scene)]))
    with pytest.raises(RefusedError, match="32 bits"):
        pack([file], [scene], COMPLETE, tmp_path / "x.tar.gz", SMALL)


def test_of_several_policies_one_must_be_named(tmp_path: Path) -> None:
    scene = make_scene("made")
    recorded = [record(scene, policy="one"), replace(record(scene, policy="two"), motion=record(scene).motion + 1)]
    file = RolloutFile(write_rollouts(tmp_path / "r.arrow", recorded))
    with pytest.raises(ConfigError, match="rollouts by one, two; say which policy is meant"):
        pack([file], [scene], COMPLETE, tmp_path / "x.tar.gz", SMALL)
    pack([file], [scene], COMPLETE, tmp_path / "x.tar.gz", replace(SMALL, policy="two"))
    (scenario,) = read(tmp_path / "x.tar.gz")
    np.testing.assert_array_equal(scenario.trajectories()[1], in_world(recorded[1], [0, 1, 2]))


@pytest.mark.parametrize("after", [0, 100, 100_000])
def test_a_full_disk_leaves_nothing_half_written(
    after: int, scenes: list[Scene], files: list[RolloutFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "x.tar.gz"
    out.parent.mkdir()
    out.write_bytes(b"of an earlier run")
    written = 0
    original = AtomicFile.write

    def write(self: AtomicFile, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > after:
            raise StoreError("no space left")
        return original(self, data)

    monkeypatch.setattr(AtomicFile, "write", write)
    with pytest.raises(StoreError, match="no space left"):
        pack(files, scenes, COMPLETE, out, SMALL)
    assert [path.name for path in out.parent.iterdir()] == ["x.tar.gz"]
    assert out.read_bytes() == b"of an earlier run"


def test_a_disk_that_is_full_while_a_shard_is_gathered_is_named(
    scenes: list[Scene], files: list[RolloutFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StoreError, match=r"out/x.tar.gz: cannot be written: No space left on device; make room"):
        pack(files, scenes, COMPLETE, tmp_path / "out/x.tar.gz", SMALL)
    assert list((tmp_path / "out").iterdir()) == []


def test_interrupted_leaves_nothing(scenes: list[Scene], files: list[RolloutFile], tmp_path: Path) -> None:
    def interrupt(done: int, num: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(files, scenes, COMPLETE, tmp_path / "out/x.tar.gz", SMALL, on_scenario=interrupt)
    assert list((tmp_path / "out").iterdir()) == []


def test_wrong_options(scenes: list[Scene], files: list[RolloutFile], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x.zip: .* ends with .tar.gz"):
        pack(files, scenes, COMPLETE, tmp_path / "x.zip")
    with pytest.raises(ConfigError, match="num_shards is 0"):
        PackConfig(num_shards=0)
    with pytest.raises(ConfigError, match="name is 'a/b'"):
        PackConfig(name="a/b")
    with pytest.raises(ConfigError, match="did you mean 'authors'"):
        Metadata(author=("x",))
