"""A checkpoint is what its card says, or an error says what it is instead."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.config import SmartConfig, preset
from trafficgym_agents.training.checkpoint import FORMAT, Card, _about, load_checkpoint, save_checkpoint
from trafficgym_agents.training.packing import header
from trafficgym_agents.training.tensors import digest

CARD = Card(
    kind="smart",
    config=preset("micro"),
    algorithm="behaviour cloning",
    data="generated scenes 0 to 99",
    seed=7,
    vocabulary_hash="aaaa",
    note={"steps": 3},
)
VOCABULARY = {"vocabulary.vehicle": np.arange(6, dtype=np.float32).reshape(2, 3)}


def model(width: int = 4) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "release" / "micro.safetensors"
    save_checkpoint(path, model().state_dict(), CARD, arrays=VOCABULARY)
    return path


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, *, honest: bool = True, **changes: Any) -> None:
    """Write the file again with something changed; the card's SHA-256 fits if `honest`."""
    card = json.loads(header(path.read_bytes())["card"]) | changes
    tensors = tensors or load_file(path)
    card["sha256"] = digest(tensors) if honest else card["sha256"]
    save_file(tensors, path, _about(json.dumps(card)) | {"format": card["format"]})


def test_it_comes_back_with_its_card_and_arrays(path: Path) -> None:
    checkpoint = load_checkpoint(path, kind="smart", vocabulary_hash="aaaa")
    other = model()
    for parameter in other.parameters():
        parameter.data.zero_()
    checkpoint.load_into(other)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model().parameters(), strict=True))
    np.testing.assert_array_equal(checkpoint.arrays["vocabulary.vehicle"], VOCABULARY["vocabulary.vehicle"])
    card = checkpoint.card
    assert SmartConfig(**card.config) == preset("micro")
    assert (card.parameters, card.note, card.seed, card.format) == (3 * 4 + 4 + 4 * 2 + 2, {"steps": 3}, 7, FORMAT)
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == card.sha256
    child = save_checkpoint(path.with_name("b.safetensors"), other.state_dict(), replace(CARD, parent=card.sha256))
    assert load_checkpoint(path.with_name("b.safetensors"), kind="smart").card == replace(
        child, config=card.config, parent=card.sha256
    )


def test_tied_weights_are_kept_under_both_names(path: Path) -> None:
    tied = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2)})
    tied["b"] = tied["a"]
    save_checkpoint(path, tied.state_dict(), CARD)
    load_checkpoint(path, kind="smart").load_into(tied)


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no.safetensors: there is no checkpoint"):
        load_checkpoint(path.with_name("no.safetensors"), kind="smart")


@pytest.mark.parametrize("damage", ["cut", "changed", "pickle", "empty"])
def test_a_corrupt_file(path: Path, damage: str) -> None:
    data = path.read_bytes()
    changed = data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]
    path.write_bytes({"cut": data[:-6], "changed": changed, "pickle": pickle.dumps({"a": 1}), "empty": b""}[damage])
    with pytest.raises(ConfigError, match=r"micro.safetensors: is damaged"):
        load_checkpoint(path, kind="smart")


def test_another_kind_format_or_owner(path: Path) -> None:
    with pytest.raises(ConfigError, match="is a checkpoint of kind 'smart'; 'motionlm' is wanted"):
        load_checkpoint(path, kind="motionlm")
    rewrite(path, format="trafficgym-checkpoint-9")
    with pytest.raises(ConfigError, match=r"format 'trafficgym-checkpoint-1'; it has 'trafficgym-checkpoint-9'"):
        load_checkpoint(path, kind="smart")
    save_file(model().state_dict(), path)
    with pytest.raises(ConfigError, match=r"is no checkpoint of format .* it has None"):
        load_checkpoint(path, kind="smart")


def test_another_preset_is_named_by_its_first_tensor(path: Path) -> None:
    checkpoint = load_checkpoint(path, kind="smart")
    with pytest.raises(ConfigError, match=r"has '0.weight' of shape \[4, 3\], where the model has \[5, 3\]"):
        checkpoint.load_into(model(5))
    with pytest.raises(ConfigError, match=r"has a tensor '1.bias', which the model lacks"):
        checkpoint.load_into(torch.nn.Sequential(torch.nn.Linear(3, 4)))
    with pytest.raises(ConfigError, match=r"lacks the tensor '2.weight'"):
        checkpoint.load_into(model().append(torch.nn.Linear(2, 2)))  # type: ignore[attr-defined]


def test_another_vocabulary_is_refused_with_both_hashes(path: Path) -> None:
    with pytest.raises(ConfigError, match="vocabulary of hash aaaa, and the given one has bbbb"):
        load_checkpoint(path, kind="smart", vocabulary_hash="bbbb")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(path: Path, value: float) -> None:
    tensors = load_file(path)
    tensors["1.bias"][0] = value
    rewrite(path, tensors)
    with pytest.raises(ConfigError, match=r"the weights '1.bias' hold numbers that are not finite"):
        load_checkpoint(path, kind="smart")
    with pytest.raises(ConfigError, match=r"is not written, since '1.bias' holds numbers that are not finite"):
        save_checkpoint(path, tensors, CARD)


def test_a_card_that_belongs_to_other_weights(path: Path) -> None:
    rewrite(path, {name: tensor + 1 for name, tensor in load_file(path).items()}, honest=False)
    with pytest.raises(ConfigError, match=r"its tensors have SHA-256 .*, its card says"):
        load_checkpoint(path, kind="smart")


def test_names_that_clash_or_mislead_are_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'0.weight' is the name of a weight and of an array"):
        save_checkpoint(path, model().state_dict(), CARD, arrays={"0.weight": np.zeros(1)})
    with pytest.raises(ConfigError, match=r"ends with .safetensors"):
        save_checkpoint(path.with_suffix(".pt"), model().state_dict(), CARD)
