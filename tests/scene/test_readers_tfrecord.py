"""Files that are damaged, of another kind, or wrapped in something: every one is named, and none raises."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scene.make_scenario import make_scenario, write_tfrecord
from trafficgym.errors import SceneError
from trafficgym.scene.readers import Skipped, find_sources, load_scene, read
from trafficgym.scene.readers.tfrecord import frame, masked_crc
from trafficgym.scene.readers.womd import scene_from_scenario
from trafficgym.scene.scene import Scene, scenes_equal

# What `tf.io.TFRecordWriter` writes for b"abc": an independent check of lengths, masks and CRCs.
TENSORFLOW_ABC = bytes.fromhex("0300000000000000b099490e6162636e57f121")


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Three sound records."""
    return write_tfrecord(tmp_path / "val.tfrecord-00003", [make_scenario(name) for name in "abc"])


def names(path: Path) -> list[str]:
    """Ids of scenes, and sentences for what was skipped."""
    return [item.id if isinstance(item, Scene) else str(item) for item in read(path)]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def second_record(path: Path) -> int:
    """Offset of record 1 of a shard."""
    return 12 + struct.unpack_from("<Q", path.read_bytes())[0] + 4


def test_framing_is_that_of_tensorflow() -> None:
    assert frame(b"abc") == TENSORFLOW_ABC


def test_crc_is_castagnoli() -> None:
    # RFC 3720 B.4: the CRC32C of 32 zero bytes is 0x8A9136AA; unmasking is TensorFlow's crc32c::Unmask.
    rotated = (masked_crc(bytes(32)) - 0xA282EAD8) & 0xFFFFFFFF
    assert (rotated >> 17 | rotated << 15) & 0xFFFFFFFF == 0x8A9136AA


def test_all_records_are_read(shard: Path) -> None:
    assert names(shard) == ["a", "b", "c"]


def test_flipped_bit_in_a_payload_costs_one_record(shard: Path) -> None:
    flip(shard, second_record(shard) + 50)
    first, reason, last = names(shard)
    assert (first, last) == ("a", "c")
    assert reason == (
        "val.tfrecord-00003: record 1 has a wrong CRC: its bytes changed after they were written; "
        "download the file again"
    )


@pytest.mark.parametrize("at", [0, 9], ids=["length", "CRC of the length"])
def test_damaged_length_ends_the_file(shard: Path, at: int) -> None:
    flip(shard, second_record(shard) + at)
    first, reason = names(shard)
    assert first == "a"
    assert reason.startswith("val.tfrecord-00003: record 1 has a wrong CRC of its length")


@pytest.mark.parametrize("keep", [5, 12, 40])
def test_truncation_is_named(shard: Path, keep: int) -> None:
    shard.write_bytes(shard.read_bytes()[: second_record(shard) + keep])
    first, reason = names(shard)
    assert first == "a"
    assert reason.startswith("val.tfrecord-00003: record 1 is truncated: ")


def test_a_length_beyond_every_proto_is_not_believed(shard: Path) -> None:
    length = struct.pack("<Q", 2**40)
    shard.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"x")
    assert "claims 1099511627776 bytes" in names(shard)[0]


@pytest.mark.parametrize("at", [0, 9], ids=["length", "CRC of the length"])
def test_damaged_first_header_is_told_from_the_name(shard: Path, at: int) -> None:
    flip(shard, at)
    assert "is called a TFRecord, but" in names(shard)[0]
    assert find_sources([shard.parent]) == [shard]


def test_tf_example_is_refused(tmp_path: Path) -> None:
    # Features { feature { key: "a" value { int64_list { value: 1 } } } }, by hand.
    example = b"\x0a\x0c\x0a\x0a\x0a\x01a\x12\x05\x1a\x03\x0a\x01\x01"
    path = tmp_path / "val.tfrecord-00003"
    path.write_bytes(frame(make_scenario("a").SerializeToString()) + frame(example))
    assert names(path) == [
        "a",
        "val.tfrecord-00003: record 1 holds a tf.Example; "
        'trafficgym reads Scenario protos (the "scenario" folder of WOMD).',
    ]


@pytest.mark.parametrize("payload", [b"", b"not a proto", b"\x0a\xff\xff"])
def test_payload_of_another_kind_is_refused(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(frame(payload))
    (reason,) = names(path)
    assert reason.startswith("other: record 0 ")
    assert "trafficgym reads Scenario protos" in reason


def test_gzip_is_looked_through(shard: Path) -> None:
    plain = [item for item in read(shard) if isinstance(item, Scene)]
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    packed = [item for item in read(shard) if isinstance(item, Scene)]
    assert len(packed) == 3
    assert all(scenes_equal(a, b) is None for a, b in zip(plain, packed, strict=True))


@pytest.mark.parametrize("keep", [15, 0.5])
def test_truncated_gzip_is_named(shard: Path, keep: float) -> None:
    packed = gzip.compress(shard.read_bytes())
    shard.write_bytes(packed[: int(keep if keep > 1 else keep * len(packed))])
    assert "is a damaged gzip file" in names(shard)[-1]
    assert find_sources([shard.parent]) == [shard]


def test_zlib_names_the_extra(shard: Path) -> None:
    shard.write_bytes(zlib.compress(shard.read_bytes()))
    assert 'pip install -e ".[womd]"' in names(shard)[0]


def test_what_is_no_scene_file_is_named(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "README.md": b"# Scenes", "list.csv": b"a,b\n"}.items():
        (tmp_path / name).write_bytes(content)
    assert names(tmp_path / "empty") == ["empty is empty; download the file again"]
    assert "holds nothing that trafficgym knows" in names(tmp_path / "README.md")[0]
    assert "is a folder" in names(tmp_path)[0]
    assert "does not exist" in names(tmp_path / "missing")[0]
    with pytest.raises(SceneError, match="found no scenes in"):
        find_sources([tmp_path])
    with pytest.raises(SceneError, match="missing does not exist"):
        find_sources([tmp_path / "missing"])
    with pytest.raises(SceneError, match=r"README\.md holds nothing"):
        load_scene(tmp_path / "README.md")


def test_sources_are_sorted_once_each_and_damage_is_listed(tmp_path: Path, shard: Path) -> None:
    (tmp_path / "deep").mkdir()
    second = write_tfrecord(tmp_path / "deep" / "no_suffix", [make_scenario()])
    empty = tmp_path / "z.tfrecord"
    empty.touch()
    (tmp_path / "README.md").write_text("# Scenes")
    named = tmp_path / "README.md"
    assert find_sources([tmp_path, shard]) == [second, shard, empty]
    assert find_sources([named, shard, tmp_path]) == [named, shard, second, empty]


def test_load_scene_gives_the_first_that_can_be_used(shard: Path) -> None:
    flip(shard, 50)
    assert load_scene(shard).id == "b"


SHARD = b"".join(frame(make_scenario(name).SerializeToString()) for name in "ab")
EXPECTED = {name: scene_from_scenario(make_scenario(name).SerializeToString()) for name in "ab"}


@given(at=st.integers(0, len(SHARD) - 1), bit=st.integers(0, 7), keep=st.integers(1, len(SHARD)))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_raises_or_changes_a_scene(tmp_path: Path, at: int, bit: int, keep: int) -> None:
    """One flipped bit and a cut anywhere: what is still read is what was written."""
    data = bytearray(SHARD)
    data[at] ^= 1 << bit
    path = tmp_path / "fuzz.tfrecord"
    path.write_bytes(data[:keep])
    for item in read(path):
        assert isinstance(item, Skipped) or scenes_equal(item, EXPECTED[item.id]) is None
