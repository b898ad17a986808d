"""Nested values survive a file; damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.training.packing import pack, unpack
from trafficgym_agents.training.plain import differences, plain


def test_values_come_back_as_they_were() -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    tree = {
        "numbers": [1, 2.5, True, None, float("inf"), 2**127, "text"],
        "state": {0: {"betas": (0.9, 0.999), "step": torch.tensor(3.0)}, 1: {}},
        "tied": [shared, shared, shared.T],
        "kinds": (torch.tensor([True, False]), torch.zeros(0, 2), torch.tensor([1.5], dtype=torch.bfloat16)),
        "array": np.array([[2**32 - 1]], np.uint32),
    }
    back = unpack(pack(tree))
    assert back["numbers"] == tree["numbers"]
    assert list(back["state"]) == [0, 1] and back["state"][0]["betas"] == (0.9, 0.999)
    assert back["state"][0]["step"].shape == () and back["state"][0]["step"] == 3
    assert torch.equal(back["tied"][2], shared.T)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(back["kinds"], tree["kinds"], strict=True))
    assert back["array"].dtype == np.uint32 and back["array"] == 2**32 - 1


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_generators_go_on_where_they_were(kind: type[np.random.BitGenerator]) -> None:
    rng = np.random.Generator(kind(4))
    rng.normal(size=3)
    other = np.random.Generator(kind(5))
    other.bit_generator.state = unpack(pack(rng.bit_generator.state))
    assert other.integers(2**60, size=9).tolist() == rng.integers(2**60, size=9).tolist()


def test_every_changed_bit_and_every_cut_is_noticed() -> None:
    data = pack({"weights": torch.arange(5.0), "step": 7})
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 4
        with pytest.raises(ValueError):
            unpack(bytes(changed))
        with pytest.raises(ValueError):
            unpack(data[:position])


def test_what_cannot_be_saved_is_named() -> None:
    with pytest.raises(ConfigError, match="/a/1: a function cannot be saved"):
        pack({"a": [1, pack]})
    with pytest.raises(ConfigError, match=r"note\.when: a slice cannot be written as JSON"):
        plain({"note": {"when": slice(3)}})


def test_differences_are_named_by_their_path() -> None:
    before, now = {"a": {"b": 1, "c": [1, 2]}, "d": 0}, {"a": {"b": 2, "c": [1, 2]}, "e": 0}
    assert list(differences(before, now)) == [("a.b", 1, 2), ("d", 0, ...), ("e", ..., 0)]
