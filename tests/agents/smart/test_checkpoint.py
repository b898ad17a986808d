"""Networks to keep: with their vocabulary, and never mistaken for others."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import MICRO, scene_tokens, small_network
from tests.agents.smart.small_vocabulary import small_vocabulary
from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.checkpoint import load_smart, save_smart
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.vocabulary import Vocabulary
from trafficgym_agents.training.checkpoint import Card, save_checkpoint

CARD = Card(kind="", config=None, algorithm="behaviour cloning", data="3 generated scenes", seed=7, note={"steps": 5})


@pytest.fixture(scope="module")
def network() -> SmartNetwork:
    return small_network()


@pytest.fixture
def path(network: SmartNetwork, tmp_path: Path) -> Path:
    save_smart(tmp_path / "net.safetensors", network, CARD)
    return tmp_path / "net.safetensors"


def other_vocabulary() -> Vocabulary:
    """A millimetre elsewhere."""
    same = small_vocabulary()
    return replace(same, cyclist=same.cyclist + np.float32(1e-3))


def test_round_trip(network: SmartNetwork, path: Path) -> None:
    """The file alone is enough: same weights to the bit, configuration, vocabulary, predictions; and its card."""
    found, card = load_smart(path)
    assert not found.training and found.config == network.config
    assert found.vocabulary.hash == network.vocabulary.hash == card.vocabulary_hash
    want = network.state_dict()
    assert found.state_dict().keys() == want.keys()
    assert all(torch.equal(value, want[name]) for name, value in found.state_dict().items())
    batch = Batch.of([scene_tokens(0)])
    with torch.no_grad():
        assert torch.equal(found(batch).logits, network(batch).logits)
    assert (card.kind, card.config, card.seed, card.data) == ("smart", asdict(MICRO), 7, "3 generated scenes")
    assert card.note == {"steps": 5} and card.algorithm == "behaviour cloning"
    assert card.parameters == sum(p.numel() for p in network.parameters())  # norms that have two names count once
    assert path.with_suffix(".json").is_file()


def test_for_what_the_caller_has(path: Path) -> None:
    """The same vocabulary and preset are accepted; dropout is no part of what was learned."""
    found, _ = load_smart(path, vocabulary=small_vocabulary(), config=replace(MICRO, dropout=0.3))
    assert found.config.dropout == 0.3


def test_another_vocabulary(path: Path) -> None:
    """Refused, with both hashes."""
    other = other_vocabulary()
    with pytest.raises(ConfigError, match="trained with the vocabulary") as error:
        load_smart(path, vocabulary=other)
    assert small_vocabulary().hash in str(error.value) and other.hash in str(error.value)


@pytest.mark.parametrize("change", [{"hidden": 16}, {"agent_layers": 3}, {"map_layers": 0}, {"head_per_class": False}])
def test_another_preset(path: Path, change: dict[str, Any]) -> None:
    """The message names a tensor."""
    with pytest.raises(ConfigError, match=r"tensor|shape"):
        load_smart(path, config=replace(MICRO, **change))


@pytest.mark.parametrize("change", [{"map_radius": 30.0}, {"heads": 8, "head_size": 4}, {"zero_fill_quirk": True}])
def test_another_preset_with_the_same_tensors(path: Path, change: dict[str, Any]) -> None:
    """Radii, heads and quirks are seen in no shape."""
    name = next(iter(change))
    with pytest.raises(ConfigError, match=f"{name} is .*another preset"):
        load_smart(path, config=replace(MICRO, **change))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    """Neither written, nor read where others wrote them."""
    bad = small_network()
    with torch.no_grad():
        bad.agent_encoder.fusion_emb.mlp[0].weight[2, 1] = value
    with pytest.raises(ConfigError, match=r"agent_encoder.fusion_emb.mlp.0.weight.*not finite"):
        save_smart(tmp_path / "bad.safetensors", bad, CARD)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_checkpoints(path: Path, tmp_path: Path) -> None:
    """Cut short, changed in one byte, empty, something else."""
    data = path.read_bytes()
    at = len(data) // 2
    broken = {
        "cut": data[:at],
        "changed": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
        "empty": b"",
        "text": b"not a checkpoint at all",
        "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94.",
    }
    for name, content in broken.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{name}.*damaged"):
            load_smart(file)


@pytest.mark.parametrize("name", ["mikro", "nowhere/net.safetensors", "."])
def test_no_such_file(name: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no checkpoint; .*'micro'"):
        load_smart(name)


def test_a_checkpoint_of_something_else(network: SmartNetwork, tmp_path: Path) -> None:
    file = tmp_path / "ppo.safetensors"
    save_checkpoint(file, network.state_dict(), replace(CARD, kind="ppo", config={}))
    with pytest.raises(ConfigError, match="'ppo'; 'smart' is wanted"):
        load_smart(file)


def test_without_its_vocabulary(network: SmartNetwork, tmp_path: Path) -> None:
    """Weights alone need the vocabulary that they were trained with, and take no other."""
    file = tmp_path / "bare.safetensors"
    card = replace(CARD, kind="smart", config=asdict(network.config), vocabulary_hash=network.vocabulary.hash)
    save_checkpoint(file, network.state_dict(), card)
    with pytest.raises(ConfigError, match=r"holds no 'vocabulary.vehicle'; give the vocabulary"):
        load_smart(file)
    found, _ = load_smart(file, vocabulary=small_vocabulary())
    assert torch.equal(found.agent_encoder.type_a_emb.weight, network.agent_encoder.type_a_emb.weight)
    with pytest.raises(ConfigError, match="trained with the vocabulary"):
        load_smart(file, vocabulary=other_vocabulary())


def test_a_vocabulary_that_is_not_the_card_s(network: SmartNetwork, tmp_path: Path) -> None:
    file, other = tmp_path / "swapped.safetensors", other_vocabulary()
    card = replace(CARD, kind="smart", config=asdict(network.config), vocabulary_hash=network.vocabulary.hash)
    arrays = {f"vocabulary.{n}": getattr(other, n) for n in ("vehicle", "pedestrian", "cyclist", "map_pieces")}
    save_checkpoint(file, network.state_dict(), card, arrays=arrays)
    with pytest.raises(ConfigError, match=f"{other.hash}.*{network.vocabulary.hash}"):
        load_smart(file)


def test_other_sizes_round_trip(tmp_path: Path) -> None:
    """Whatever the configuration says, and a vocabulary whose classes are of different sizes, comes back."""
    config = SmartConfig(
        hidden=24, heads=2, head_size=4, map_layers=2, agent_layers=1, time_span=30, frequencies=8, zero_fill_quirk=True
    )
    save_smart(tmp_path / "odd.safetensors", SmartNetwork(config, small_vocabulary()), CARD)
    found, card = load_smart(tmp_path / "odd.safetensors", config=config)
    assert found.config == config and SmartConfig(**card.config) == config
