"""Rollouts on disk: what is read is what was written, and what cannot be read is named."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.errors import StoreError
from trafficgym.scene.atomic import AtomicFile
from trafficgym.world.recorded_rollouts import STATES
from trafficgym.world.roll_out import roll_out
from trafficgym.world.rollout_file import RecordedRollouts, RolloutFile, RolloutFileError, RolloutWriter
from trafficgym.world.rollout_layout import SCHEMA, to_batch

ARRAYS = ("rollout", "seed", "origin", "object_id", "is_simulated", "motion", "present")


def made(scene_id: str = "made", policy: str = "made", *, numbers: tuple[int, ...] = (0, 1), seed: int = 0):
    """Random rollouts of 3 objects over 5 states, 4 of them absent at times."""
    rng = np.random.default_rng(seed)
    num = len(numbers)
    return RecordedRollouts(
        scene_id=scene_id,
        policy=policy,
        rollout=np.array(numbers, np.int32),
        seed=rng.integers(0, 2**40, num),
        start_step=10,
        origin=np.array([1e4 + 0.1, -2.5, 30]),
        object_id=np.array([7, -3, 2**40]),
        is_simulated=rng.random((num, 3)) < 0.5,
        motion=rng.normal(size=(num, 3, 5, 6)).astype(np.float32),
        present=rng.random((num, 3, 5)) < 0.8,
    )


def write(path: Path, *rollouts: RecordedRollouts) -> RolloutFile:
    with RolloutWriter(path) as writer:
        for one in rollouts:
            writer.add(one)
    return RolloutFile(path)


def assert_same(found: RecordedRollouts, expected: RecordedRollouts) -> None:
    assert (found.scene_id, found.policy, found.start_step) == (expected.scene_id, expected.policy, expected.start_step)
    for name in ARRAYS:
        value, wanted = getattr(found, name), getattr(expected, name)
        assert value.dtype == wanted.dtype, name
        np.testing.assert_array_equal(value, wanted, err_msg=name)


def test_rollouts_of_the_world_round_trip_bit_for_bit(tmp_path: Path) -> None:
    scenes = [make_scene(f"scene-{number}", num_agents=2 + number) for number in range(3)]
    runs = {
        (scene.id, policy): [roll_out(scene, policy, seed=seed, control="sdc") for seed in (5, 6)]
        for scene in scenes
        for policy in ("random", "log")
    }
    with RolloutWriter(tmp_path / "r.arrow") as writer:
        for rollouts in runs.values():
            writer.add(rollouts)
    file = RolloutFile(tmp_path / "r.arrow")
    assert file.scene_ids == ("scene-0", "scene-1", "scene-2")
    assert file.policies == ("random", "log")
    assert len(file) == 3
    for (scene_id, policy), rollouts in reversed(runs.items()):
        assert file.num_rollouts(scene_id, policy) == 2
        found = file.read(scene_id, policy)
        assert found.num_rollouts == 2
        assert found.num_steps == rollouts[0].num_steps == 81
        assert found.start_step == 10
        assert found.seed.tolist() == [5, 6]
        assert found.rollout.tolist() == [0, 1]
        np.testing.assert_array_equal(found.origin, rollouts[0].scene.origin)
        np.testing.assert_array_equal(found.object_id, rollouts[0].scene.tracks.id)
        assert found.is_simulated.sum(1).tolist() == [1, 1]
        for number, rollout in enumerate(rollouts):
            np.testing.assert_array_equal(found.present[number], rollout.present)
            for i, name in enumerate(STATES):
                np.testing.assert_array_equal(found.motion[number, ..., i], getattr(rollout, name))


def test_arrays_of_ones_own_round_trip_and_are_writable(tmp_path: Path) -> None:
    given = made(numbers=(4, 9, 2))
    found = write(tmp_path / "r.arrow", given).read("made")
    order = [2, 0, 1]  # by number
    expected = replace(
        given, **{name: getattr(given, name)[order] for name in ARRAYS if name not in ("origin", "object_id")}
    )
    assert_same(found, expected)
    found.motion[:] = 0
    found.seed[:] = 0
    assert_same(RolloutFile(tmp_path / "r.arrow").read("made"), expected)


def test_the_columns_are_the_documented_ones(tmp_path: Path) -> None:
    given = made()
    write(tmp_path / "r.arrow", given)
    with pa.memory_map(str(tmp_path / "r.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.schema.equals(SCHEMA, check_metadata=True)
    row = table.slice(1, 1).to_pylist()[0]
    assert (row["scene_id"], row["policy"], row["rollout"], row["start_step"], row["num_steps"]) == (
        "made",
        "made",
        1,
        10,
        5,
    )
    assert row["object_id"] == [7, -3, 2**40]
    assert row["vx"] == given.motion[1, :, :, 4].reshape(-1).tolist()  # object after object
    assert row["present"] == given.present[1].reshape(-1).tolist()


def test_rollouts_that_come_later_join_the_earlier_ones(tmp_path: Path) -> None:
    first, other, second = made(numbers=(2, 3)), made("other"), made(numbers=(0, 1), seed=1)
    file = write(tmp_path / "r.arrow", first, other, second)
    assert file.num_rollouts("made") == 4
    found = file.read("made")
    assert found.rollout.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.motion[:2], second.motion)
    np.testing.assert_array_equal(found.motion[2:], first.motion)


def test_rollouts_of_the_world_are_numbered_on(tmp_path: Path) -> None:
    scene = make_scene()
    with RolloutWriter(tmp_path / "r.arrow") as writer:
        for seed in range(3):
            writer.add([roll_out(scene, "constant_velocity", seed=seed)])
    found = RolloutFile(tmp_path / "r.arrow").read("made")
    assert (found.rollout.tolist(), found.seed.tolist()) == ([0, 1, 2], [0, 1, 2])


def test_the_same_rollouts_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, made(), made("other"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_can_be_sent_to_another_process(tmp_path: Path) -> None:
    file = write(tmp_path / "r.arrow", made())
    assert_same(pickle.loads(pickle.dumps(file)).read("made"), made())


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "r.arrow")
    assert (len(file), file.policies, file.num_rollouts("made")) == (0, (), 0)
    with pytest.raises(RolloutFileError, match="has no rollouts of scene 'made'"):
        file.read("made")


def test_what_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = write(tmp_path / "r.arrow", made("637f20cafde22ff8", "idm"), made("0123456789abcdef", "log"))
    assert file.num_rollouts("0123456789abcdef", "idm") == 0
    with pytest.raises(RolloutFileError, match=r"has no rollouts of scene '637f20cafde22ff9' .*637f20cafde22ff8'"):
        file.read("637f20cafde22ff9", "idm")
    with pytest.raises(RolloutFileError, match="no policy 'imd'; did you mean 'idm'"):
        file.read("637f20cafde22ff8", "imd")
    with pytest.raises(RolloutFileError, match="holds rollouts by idm, log; say which"):
        file.read("637f20cafde22ff8")


def test_files_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "r.arrow"
    with pytest.raises(RolloutFileError, match=r"r.arrow: cannot be read: No such file"):
        RolloutFile(path)
    with pytest.raises(RolloutFileError, match="cannot be read"):
        RolloutFile(tmp_path)
    for content in (b"", b"no Arrow file"):
        path.write_bytes(content)
        with pytest.raises(RolloutFileError, match="is not a file of rollouts; `trafficgym evaluate --save-rollouts`"):
            RolloutFile(path)
    write(path, made())
    whole = path.read_bytes()
    for size in (6, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        if size > 6:
            with pytest.raises(RolloutFileError, match="is cut off"):
                RolloutFile(path)
        else:
            with pytest.raises(RolloutFileError):
                RolloutFile(path)


def test_other_arrow_files_and_other_versions_are_refused(tmp_path: Path) -> None:
    def with_schema(schema: pa.Schema) -> Path:
        with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema):
            pass
        return tmp_path / "x.arrow"

    with pytest.raises(RolloutFileError, match="is an Arrow file, but not one of rollouts"):
        RolloutFile(with_schema(pa.schema([pa.field("x", pa.int32())])))
    later = SCHEMA.with_metadata({**SCHEMA.metadata, b"trafficgym.format_version": b"99"})
    with pytest.raises(RolloutFileError, match="has version '99' of the format, and this trafficgym reads 1"):
        RolloutFile(with_schema(later))
    with pytest.raises(RolloutFileError, match="columns are not those of rollouts"):
        RolloutFile(with_schema(SCHEMA.remove(3)))


def test_damage_in_the_middle_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.arrow"
    write(path, made("one"), made("two"))
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(RolloutFileError, match=r"r.arrow"):
        RolloutFile(path).read("one")
        RolloutFile(path).read("two")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"object_id": np.array([7, -3, 8])}, "object ids differ"),
        ({"start_step": 11}, "steps differ"),
        ({"origin": np.zeros(3)}, "origin differs"),
    ],
)
def test_rollouts_of_a_scene_that_do_not_fit_together_are_refused(change, words, tmp_path: Path) -> None:
    file = write(tmp_path / "r.arrow", made(), replace(made(numbers=(2, 3)), **change))
    with pytest.raises(RolloutFileError, match=rf"scene 'made' by 'made': the {words} among its rollouts"):
        file.read("made")


def test_rows_of_a_foreign_writer_that_differ_in_objects_are_refused(tmp_path: Path) -> None:
    """Somebody may write the documented columns without RolloutWriter."""
    one, two = made(numbers=(0,)), replace(made(numbers=(1,)), object_id=np.array([7, -3, 8]))
    table = pa.Table.from_batches([to_batch(one), to_batch(two)]).combine_chunks()
    with pa.OSFile(str(tmp_path / "r.arrow"), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(table.to_batches()[0])
    with pytest.raises(RolloutFileError, match="object ids differ among its rollouts"):
        RolloutFile(tmp_path / "r.arrow").read("made")


def test_what_makes_no_rollouts_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(RolloutFileError, match=r"motion is \[2, 3, 4, 6\] where present asks for \[2, 3, 5, 6\]"):
        replace(made(), motion=np.zeros((2, 3, 4, 6), np.float32))
    with pytest.raises(RolloutFileError, match="object_id holds a number twice"):
        replace(made(), object_id=np.array([1, 2, 1]))
    scene = make_scene()
    with pytest.raises(RolloutFileError, match="cannot be recorded as one"):
        RecordedRollouts.of([roll_out(scene, "log"), roll_out(make_scene("other"), "log")])
    with pytest.raises(RolloutFileError, match="no rollouts"):
        RecordedRollouts.of([])
    with pytest.raises(RolloutFileError, match="rollout 1 of scene 'made' by 'made' comes twice"):
        write(tmp_path / "r.arrow", made(), made(numbers=(1, 2)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.arrow"
    before = write(path, made()).read("made")
    original, calls = AtomicFile.write, 0

    def fails_at_last(self: AtomicFile, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 20:
            self._file.close()
            raise StoreError(f"{self.path}: no space left")
        return original(self, data)

    monkeypatch.setattr(AtomicFile, "write", fails_at_last)
    with pytest.raises(StoreError, match="no space left"):
        write(path, *(made(f"scene-{number}") for number in range(20)))
    monkeypatch.undo()
    assert [one.name for one in tmp_path.iterdir()] == ["r.arrow"]
    assert_same(RolloutFile(path).read("made"), before)


def test_an_error_while_recording_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RolloutWriter(tmp_path / "r.arrow") as writer:
        writer.add(made())
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
