"""The TensorFlow path of the extra [womd] gives the same scenes as the plain reader."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path

import pytest

from tests.scene.make_scenario import make_scenario, write_tfrecord
from trafficgym.errors import SceneError
from trafficgym.scene.readers import Skipped, find_sources, read
from trafficgym.scene.scene import Scene, scenes_equal


def assert_same(a: list[Scene | Skipped], b: list[Scene | Skipped]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert isinstance(x, Scene) == isinstance(y, Scene)
        assert scenes_equal(x, y) is None if isinstance(x, Scene) and isinstance(y, Scene) else x == y


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "zlib"])
def test_made_scenes(tmp_path: Path, pack) -> None:
    pytest.importorskip("tensorflow")
    path = write_tfrecord(tmp_path / "shard", [make_scenario(name) for name in "ab"])
    plain = list(read(path))
    path.write_bytes(pack(path.read_bytes()))
    assert_same(plain, list(read(path, tensorflow=True)))


def test_damage_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    path = write_tfrecord(tmp_path / "shard", [make_scenario(name) for name in "ab"])
    path.write_bytes(path.read_bytes()[:-10])
    first, skipped = read(path, tensorflow=True)
    assert isinstance(first, Scene)
    assert isinstance(skipped, Skipped)
    assert skipped.where == "shard: record 1"
    assert skipped.reason.startswith("cannot be read by TensorFlow")


def test_real_scenes(data_root: Path) -> None:
    pytest.importorskip("tensorflow")
    for path in find_sources([data_root / "data" / "womd", data_root / "data" / "womd_converted"]):
        assert_same(list(read(path)), list(read(path, tensorflow=True)))


def test_without_tensorflow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for path in ("gs://bucket/training.tfrecord", Path("gs://bucket/training.tfrecord")):
        with pytest.raises(SceneError, match=r'pip install -e "\.\[womd\]"'):
            list(read(path))
