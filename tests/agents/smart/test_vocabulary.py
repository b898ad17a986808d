"""Files of vocabularies: what is written is read, and what is damaged is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.agents.smart.small_vocabulary import small_vocabulary
from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    vocabulary = replace(small_vocabulary(), note={"method": "by hand", "seed": 3})
    vocabulary.save(tmp_path / "v.safetensors")
    found = Vocabulary.load(tmp_path / "v.safetensors")
    for name in (*CLASSES, "map_pieces"):
        assert getattr(found, name).tobytes() == getattr(vocabulary, name).tobytes()
    assert found.note == {"method": "by hand", "seed": 3}
    assert found.hash == vocabulary.hash
    assert [path.name for path in tmp_path.iterdir()] == ["v.safetensors"]


def test_the_hash_is_that_of_the_templates_alone() -> None:
    """It says which vocabulary a model belongs to, so that any changed number counts, and a note does not."""
    vocabulary = small_vocabulary()
    assert replace(vocabulary, note={"a": 1}).hash == vocabulary.hash
    hashes = {vocabulary.hash, replace(vocabulary, pedestrian=vocabulary.cyclist, cyclist=vocabulary.pedestrian).hash}
    for name in (*CLASSES, "map_pieces"):
        values = getattr(vocabulary, name).copy()
        values[-1, -1, -1] += np.float32(1e-6)
        hashes.add(replace(vocabulary, **{name: values}).hash)
    assert len(hashes) == 6


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="build_vocabulary"):
        Vocabulary.load(tmp_path / "none")


def test_other_files_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_file({"vehicle": np.zeros((1, 6, 4, 2), np.float32)}, path)
    with pytest.raises(ConfigError, match="is no vocabulary"):
        Vocabulary.load(path)
    small_vocabulary().save(path)
    whole = path.read_bytes()
    for damaged in (whole[:-7], whole[:20], b"", whole[:-3] + b"\x01" + whole[-2:]):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"v\.safetensors"):
            Vocabulary.load(path)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((2, 6, 4, 2)),
        np.zeros((0, 6, 4, 2), np.float32),
        np.zeros((2, 5, 4, 2), np.float32),
        np.full((2, 6, 4, 2), np.nan, np.float32),
    ],
    ids=["float64", "none", "five contours", "not finite"],
)
def test_arrays_of_another_kind_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="cyclist"):
        replace(small_vocabulary(), cyclist=values)
