from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scene.make_scene import make_scene
from tests.scene.make_sources import write_source, write_sources
from trafficgym.errors import SceneError, StoreError
from trafficgym.scene.readers import find_sources, read
from trafficgym.scene.scene import LINK_NAMES, Links, RoadMap, Scene, Signals, Tracks, scenes_equal
from trafficgym.scene.shard import FORMAT_VERSION, from_batch, to_batch
from trafficgym.scene.sources import open_scenes
from trafficgym.scene.store import SceneStore, SceneWriter


@pytest.fixture
def store(tmp_path: Path) -> SceneStore:
    """Five scenes in three shards."""
    return write_store(tmp_path / "store", [make_scene(f"scene-{i}", num_agents=1 + i) for i in range(5)])


def write_store(path: Path, scenes: Sequence[Scene], **options: Any) -> SceneStore:
    with SceneWriter(path, scenes_per_shard=2, **options) as writer:
        for scene in scenes:
            writer.add(scene)
    return SceneStore(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def different_bits(a: Any, b: Any, name: str = "scene") -> str | None:
    """Like scenes_equal, but tells -0.0 from 0.0 and one NaN from another."""
    if is_dataclass(a):
        found = (different_bits(getattr(a, f.name), getattr(b, f.name), f"{name}.{f.name}") for f in fields(a))
        return next(filter(None, found), None)
    if isinstance(a, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return None if same else name
    return None if a == b and type(a) is type(b) else name


def random_scene(rng: np.random.Generator, agents: int, steps: int, features: int, signals: int) -> Scene:
    """Any scene that validates; what is not valid holds any bits at all, NaN with payloads included."""
    valid = rng.random((agents, steps)) < rng.random()
    valid.flat[rng.integers(agents * steps)] = True

    def state() -> np.ndarray:
        noise = rng.integers(0, 2**32, (agents, steps), dtype=np.uint32).view(np.float32)
        held = np.where(rng.random((agents, steps)) < 0.5, noise, np.float32(-0.0))
        return np.where(valid, rng.normal(0, 100, (agents, steps)).astype(np.float32), held)

    def flags(num: int) -> np.ndarray:
        return rng.random(num) < 0.5

    def links() -> Links:
        targets = [list(rng.integers(features, size=rng.integers(3))) for _ in range(features)]
        num = sum(map(len, targets))
        return Links.from_lists(targets, rng.integers(-5, 5, (num, 4)).tolist() if rng.random() < 0.5 else None)

    sizes = [np.where(valid, rng.uniform(0.1, 9, valid.shape), state()).astype(np.float32) for _ in range(3)]
    lengths = rng.integers(0, 4, features)
    stop = rng.normal(size=(signals, steps, 3)).astype(np.float32)
    return Scene(
        id=f"scene \N{SNOWMAN} {rng.integers(100)}",
        source="generated",
        origin=rng.normal(0, 1e4, 3),
        timestamps=np.sort(rng.random(steps)),
        current_step=int(rng.integers(steps)),
        tracks=Tracks(
            id=rng.permutation(agents) - 2**62,
            type=rng.integers(0, 5, agents).astype(np.int8),
            **dict(zip(("x", "y", "z", "yaw", "vx", "vy"), (state() for _ in range(6)), strict=True)),
            **dict(zip(("length", "width", "height"), sizes, strict=True)),
            valid=valid,
            is_sdc=np.arange(agents) == rng.integers(-1, agents),
            to_predict=flags(agents),
            of_interest=flags(agents),
            difficulty=rng.integers(0, 3, agents).astype(np.int8),
        ),
        road=RoadMap(
            xyz=rng.normal(0, 100, (lengths.sum(), 3)).astype(np.float32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
            id=rng.permutation(features).astype(np.int64),
            type=rng.integers(0, 21, features).astype(np.int8),
            speed_limit=rng.random(features).astype(np.float32),
            interpolating=flags(features),
            **{name: links() for name in LINK_NAMES},
        ),
        signals=Signals(
            lane=rng.integers(-1, features, signals).astype(np.int32),
            lane_id=rng.integers(0, 99, signals),
            state=rng.integers(0, 9, (signals, steps)).astype(np.int8),
            stop=stop,
            valid=rng.random((signals, steps)) < 0.5,
        ),
    )


@given(
    seed=st.integers(0, 2**32), agents=st.integers(1, 5), steps=st.integers(1, 12), features=st.integers(0, 6),
    signals=st.integers(0, 3),
)  # fmt: skip
def test_layout_keeps_every_bit(seed: int, agents: int, steps: int, features: int, signals: int) -> None:
    scene = random_scene(np.random.default_rng(seed), agents, steps, features, signals)
    assert different_bits(scene, from_batch(to_batch(scene))) is None


def test_real_scenes_come_back_equal_in_half_the_bytes(data_root: Path, tmp_path: Path) -> None:
    files = find_sources([data_root / "data/womd/motion_data_one_scenario.tfrecord", data_root / "data/womd_converted"])
    scenes = [item for file in files for item in read(file) if isinstance(item, Scene)]
    store = write_store(tmp_path / "store", scenes)
    assert len(store) == 28
    assert [different_bits(scene, store[scene.id]) for scene in scenes] == [None] * 28
    assert store.manifest.num_bytes < 0.5 * sum(file.stat().st_size for file in files)


def test_scenes_by_number_and_by_id(store: SceneStore) -> None:
    assert len(store) == 5
    assert store.ids == tuple(f"scene-{i}" for i in range(5))
    assert [scene.id for scene in store] == list(store.ids)
    assert [store[i].num_agents for i in (0, 3, 4, -1)] == [1, 4, 5, 5]
    assert [scene.id for scene in store[1:4:2]] == ["scene-1", "scene-3"]
    assert scenes_equal(store["scene-2"], make_scene("scene-2", num_agents=3)) is None
    assert store[2] in store
    assert make_scene("scene-9") not in store
    with pytest.raises(IndexError):
        store[5]
    with pytest.raises(StoreError, match="no scene 'scene-9'"):
        store["scene-9"]


def test_arrays_belong_to_the_caller(store: SceneStore) -> None:
    store[0].tracks.x[:] = 7
    assert scenes_equal(store[0], make_scene("scene-0", num_agents=1)) is None


def test_store_travels_to_other_processes(store: SceneStore) -> None:
    assert scenes_equal(pickle.loads(pickle.dumps(store))[3], store[3]) is None


def test_writer_goes_on_where_it_was(tmp_path: Path) -> None:
    scenes = [make_scene(f"scene-{i}") for i in range(5)]
    whole = write_store(tmp_path / "whole", scenes)

    def interrupted(stop_at: int) -> None:
        with SceneWriter(tmp_path / "parts", scenes_per_shard=2) as writer:
            for scene in scenes[:stop_at]:
                writer.add(scene)
            raise KeyboardInterrupt

    for stop_at in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            interrupted(stop_at)
        with pytest.raises(StoreError, match="not finished"):
            SceneStore(tmp_path / "parts")
    write_store(tmp_path / "parts", scenes)
    assert contents(tmp_path / "parts") == contents(whole.path)


def test_writer_refuses_what_it_would_spoil(tmp_path: Path, store: SceneStore) -> None:
    before = contents(store.path)
    with pytest.raises(StoreError, match="finished store"):
        SceneWriter(store.path, scenes_per_shard=2)
    with pytest.raises(StoreError, match="other sources or options"):
        SceneWriter(store.path, recipe={"seed": 1})
    with pytest.raises(StoreError, match="added twice"):
        write_store(tmp_path / "twice", [make_scene("a"), make_scene("a")])
    with SceneWriter(tmp_path / "busy"), pytest.raises(StoreError, match="another process"):
        SceneWriter(tmp_path / "busy")
    with pytest.raises(KeyboardInterrupt), SceneWriter(tmp_path / "unfinished", recipe={"seed": 1}) as writer:
        writer.add(make_scene())
        raise KeyboardInterrupt
    with pytest.raises(StoreError, match="an unfinished store of other sources"):
        SceneWriter(tmp_path / "unfinished", recipe={"seed": 2})
    assert contents(store.path) == before


def test_overwriting_leaves_nothing_of_the_old_store(store: SceneStore, tmp_path: Path) -> None:
    scenes = [make_scene("new")]
    fresh = write_store(tmp_path / "fresh", scenes)
    assert contents(write_store(store.path, scenes, overwrite=True).path) == contents(fresh.path)


def test_skipped_scenes_are_remembered(tmp_path: Path) -> None:
    with SceneWriter(tmp_path / "store") as writer:
        writer.add(make_scene())
        writer.skip("seed 3", "has two vehicles in one place")
    assert [str(entry) for entry in SceneStore(tmp_path / "store").skipped] == ["seed 3 has two vehicles in one place"]


def cut_off(store: Path) -> None:
    shard = store / "shard-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])


def remove_shard(store: Path) -> None:
    (store / "shard-00001.arrow").unlink()


@pytest.mark.parametrize(("damage", "words"), [(cut_off, "was cut off"), (remove_shard, "cannot be read")])
def test_damaged_shard_is_named_at_once(store: SceneStore, damage: Callable[[Path], None], words: str) -> None:
    damage(store.path)
    with pytest.raises(StoreError, match=rf"shard-00001\.arrow: .*{words}.*convert"):
        SceneStore(store.path)


def test_any_flipped_bit_fails_verification_and_never_crashes_a_read(store: SceneStore) -> None:
    store.verify()
    shard = store.path / "shard-00000.arrow"
    good = shard.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(len(good), size=150):
        bad = bytearray(good)
        bad[position] ^= 1 << rng.integers(8)
        shard.write_bytes(bad)
        flipped = SceneStore(store.path)
        with pytest.raises(StoreError, match=r"shard-00000\.arrow: its bytes have changed"):
            flipped.verify()
        try:
            assert isinstance(flipped[0], Scene)
        except StoreError as error:
            assert "shard-00000.arrow" in str(error)


def edit_manifest(store: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    file = store / "manifest.json"
    data = json.loads(file.read_text())
    edit(data)
    file.write_text(json.dumps(data))


def test_store_of_another_version_names_both_and_the_remedy(store: SceneStore) -> None:
    edit_manifest(store.path, lambda data: data.update(version=99))
    with pytest.raises(StoreError, match=rf"version 99, .* version {FORMAT_VERSION}; convert the scenes again"):
        SceneStore(store.path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data["shards"][0].update(file="../outside.arrow"),
        lambda data: data["shards"][0].update(file="/etc/passwd"),
        lambda data: data["shards"][0].update(file="shard-00001.arrow"),
        lambda data: data["shards"][0].update(bytes="many"),
        lambda data: data["shards"][0].update(ids=[1, 2]),
        lambda data: data["shards"][0].update(ids=["scene-4", "scene-1"]),
        lambda data: data["shards"][0]["counts"].update(agents={"VEHICLE": "many"}),
        lambda data: data.update(shards={}),
        lambda data: data.update(skipped=[{}]),
        lambda data: data.update(format="something else"),
        lambda data: data.pop("recipe"),
    ],
)
def test_hostile_manifest_is_refused(store: SceneStore, edit: Callable[[dict[str, Any]], None]) -> None:
    shutil.copy(store.path / "shard-00000.arrow", store.path.parent / "outside.arrow")
    edit_manifest(store.path, edit)
    with pytest.raises(StoreError, match=r"manifest\.json: is no usable manifest"):
        SceneStore(store.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 100_000])
def test_manifest_that_is_no_json_is_refused(store: SceneStore, text: str) -> None:
    (store.path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match=r"manifest\.json: is no usable manifest"):
        SceneStore(store.path)


def test_rows_that_are_not_what_the_manifest_says(store: SceneStore) -> None:
    edit_manifest(store.path, lambda data: data["shards"][0].update(ids=["scene-0", "other", "missing"]))
    changed = SceneStore(store.path)
    for id in ("other", "missing"):
        with pytest.raises(StoreError, match=r"shard-00000\.arrow"):
            changed[id]


def test_shard_that_is_no_arrow_file(store: SceneStore) -> None:
    shard = store.path / "shard-00000.arrow"
    shard.write_bytes(b"x" * shard.stat().st_size)
    with pytest.raises(StoreError, match=r"shard-00000\.arrow: scene 'scene-1' is damaged"):
        SceneStore(store.path)[1]


def test_shard_of_other_columns(store: SceneStore) -> None:
    shard = store.path / "shard-00000.arrow"
    table = pa.table({"id": ["scene-0"]})
    with pa.ipc.new_file(str(shard), table.schema) as writer:
        writer.write_table(table)
    edit_manifest(store.path, lambda data: data["shards"][0].update(bytes=shard.stat().st_size))
    with pytest.raises(StoreError, match=r"shard-00000\.arrow: .* its columns are not those of a scene"):
        SceneStore(store.path)[0]


def test_columns_of_the_wrong_length_are_no_scene(store: SceneStore) -> None:
    batch = to_batch(make_scene())
    column = batch.schema.get_field_index("tracks.x")
    short = pa.array([[1.0, 2.0]], pa.list_(pa.float32()))
    with pytest.raises(ValueError, match="reshape"):
        from_batch(batch.set_column(column, "tracks.x", short))


def test_what_is_no_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no such folder.*trafficgym convert"):
        SceneStore(tmp_path / "missing")
    with pytest.raises(StoreError, match=r"no manifest\.json.*trafficgym convert"):
        SceneStore(tmp_path)


def test_open_scenes_takes_whatever_holds_scenes(store: SceneStore, tmp_path: Path) -> None:
    scene = make_scene("one")
    folder = write_sources(tmp_path / "sources", 3)
    ids = ["scene-0", "scene-1", "scene-2"]
    assert [s.id for s in open_scenes(scene)] == ["one"]
    assert [s.id for s in open_scenes([scene])] == ["one"]
    assert open_scenes(store) is store
    assert [s.id for s in open_scenes(str(store.path))] == list(store.ids)
    assert [s.id for s in open_scenes(folder / "1.json")] == ["scene-1"]
    assert [s.id for s in open_scenes(folder)] == ids
    files = open_scenes(folder)
    assert [s.id for s in pickle.loads(pickle.dumps(files))] == ids
    assert files[1].id == "scene-1"
    assert [files[-1].id, len(files), [s.id for s in files[:]]] == ["scene-2", 3, ids]


def test_open_scenes_reads_no_more_than_it_is_asked_for(tmp_path: Path) -> None:
    folder = write_sources(tmp_path / "sources", 3)
    scenes = open_scenes(folder)
    (folder / "2.json").unlink()
    write_source(folder / "2.json", "written later")
    assert scenes[2].id == "written later"


def test_open_scenes_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"objects": [], "roads": []}')
    with pytest.raises(SceneError, match=r"bad\.json: holds no scene that can be used: bad\.json has no objects"):
        open_scenes(tmp_path / "bad.json")
    with pytest.raises(SceneError, match="missing"):
        open_scenes(tmp_path / "missing")
    with pytest.raises(SceneError, match="holds a int"):
        open_scenes([make_scene(), 3])  # type: ignore[list-item]
    with pytest.raises(SceneError, match="cannot come from a int"):
        open_scenes(3)  # type: ignore[arg-type]


def test_equal_scenes_are_equal_and_others_are_named() -> None:
    scene = make_scene()
    other = replace(scene, tracks=replace(scene.tracks, x=scene.tracks.x + np.float32(1)))
    assert scenes_equal(scene, make_scene()) is None
    assert scenes_equal(scene, other) == "scene.tracks.x"
