"""Users' checkpoints of CAT-K: a real one is read to the last bit, and nothing in a file is trusted."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.catk_checkpoint import read_catk_checkpoint
from trafficgym_agents.policies.smart.catk_names import parameter_shapes, shared_names
from trafficgym_agents.policies.smart.catk_vocabulary import load_catk_vocabulary
from trafficgym_agents.policies.smart.checkpoint import load_catk_checkpoint
from trafficgym_agents.policies.smart.config import PRESETS, SmartConfig
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.torch_archive import TorchArchive
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary

SMALL = SmartConfig(hidden=8, heads=2, head_size=4, map_layers=1, agent_layers=1, frequencies=4)
NUM = 7
"""Tokens per class of the checkpoints that are made here."""


def made_vocabulary(num: int = NUM) -> Vocabulary:
    motions = np.linspace(0, 1, num * 48, dtype=np.float32).reshape(num, 6, 4, 2)
    pieces = np.linspace(0, 5, 5 * 22, dtype=np.float32).reshape(5, 11, 2)
    return Vocabulary(vehicle=motions, pedestrian=motions, cyclist=motions, map_pieces=pieces)


def made_state(config: SmartConfig = SMALL, num: int = NUM) -> dict[str, torch.Tensor]:
    """A state dict with the names of the reference, random."""
    rng = torch.Generator().manual_seed(0)
    state = {
        f"encoder.{name}": torch.randn(shape, generator=rng) for name, shape in parameter_shapes(config, num).items()
    }
    for name, target in shared_names(config).items():
        state[f"encoder.{name}"] = state[f"encoder.{target}"]
    return state


def decoder_of(config: SmartConfig) -> dict[str, Any]:
    """Hyper-parameters as the reference names them."""
    return {
        "hidden_dim": config.hidden,
        "num_freq_bands": config.frequencies,
        "num_heads": config.heads,
        "head_dim": config.head_size,
        "dropout": config.dropout,
        "hist_drop_prob": config.history_dropout,
        "num_map_layers": config.map_layers,
        "num_agent_layers": config.agent_layers,
        "pl2pl_radius": config.map_radius,
        "pl2a_radius": config.map_to_agent_radius,
        "a2a_radius": config.agent_radius,
        "time_span": config.time_span,
        "num_historical_steps": 11,
        "num_future_steps": 80,
    }


def save(path: Path, state: dict[str, torch.Tensor], options: dict[str, Any] | None = None) -> Path:
    options = {"decoder": decoder_of(SMALL)} if options is None else options
    torch.save({"epoch": 3, "state_dict": state, "hyper_parameters": {"model_config": options}}, path)
    return path


# The real one


def test_a_real_checkpoint_is_read_to_the_last_bit(data_root: Path) -> None:
    folder = data_root / "golden/smart"
    found = read_catk_checkpoint(folder / "synthetic_micro_lightning.ckpt", agent_vocabulary=made_vocabulary(2048))
    expected = {
        name.removeprefix("encoder."): values
        for name, values in load_file(folder / "synthetic_micro_lightning.safetensors").items()
    }
    assert found.state.keys() == expected.keys()
    for name, values in expected.items():
        assert found.state[name].dtype == np.float32
        np.testing.assert_array_equal(found.state[name], values)
    assert found.config == SmartConfig(
        hidden=16,
        heads=2,
        head_size=4,
        map_layers=1,
        agent_layers=1,
        map_radius=5,
        map_to_agent_radius=10,
        agent_radius=20,
        time_span=20,
        frequencies=8,
        dropout=0.1,
        zero_fill_quirk=True,
    )
    assert found.hyper_parameters["token_processor"]["agent_token_sampling"] == {"num_k": 1, "temp": 1.0}
    assert found.hyper_parameters["wosac_submission"]["authors"] == ["Anonymous"]
    network = SmartNetwork(found.config, found.vocabulary)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in found.state.items()}, strict=True)


@pytest.mark.parametrize("preset", ["nano", "mini", "tiny"])
def test_names_and_shapes_are_the_references(data_root: Path, preset: str) -> None:
    expected = json.loads((data_root / "golden/smart/state_dict.json").read_text())[preset]
    shapes = parameter_shapes(PRESETS[preset], expected["n_token_agent"])
    entries = expected["entries"]
    assert [(f"encoder.{name}", list(shape)) for name, shape in shapes.items()] == [
        (entry["name"], entry["shape"]) for entry in entries
    ]
    shared = {f"encoder.{name}": f"encoder.{target}" for name, target in shared_names(PRESETS[preset]).items()}
    assert shared == {entry["name"]: entry["alias_of"] for entry in entries if entry.get("alias_of")}


def test_our_network_has_the_same_names() -> None:
    network = SmartNetwork(SMALL, made_vocabulary())
    shapes = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    assert shapes == parameter_shapes(SMALL, NUM)


# Sizes


@pytest.mark.parametrize("preset", ["nano", "mini"])
def test_a_file_without_hyper_parameters_is_the_preset_of_its_width(tmp_path: Path, preset: str) -> None:
    state = {name: torch.zeros_like(values) for name, values in made_state(PRESETS[preset]).items()}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    found = read_catk_checkpoint(tmp_path / "a.ckpt", agent_vocabulary=made_vocabulary())
    assert found.hyper_parameters == {} and found.config.zero_fill_quirk
    for size in ("hidden", "heads", "head_size", "map_radius", "map_to_agent_radius", "agent_radius", "time_span"):
        assert getattr(found.config, size) == getattr(PRESETS[preset], size)


def test_sizes_can_be_given(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", made_state(), {})
    with pytest.raises(ConfigError, match=r"a\.ckpt.*no preset has features of 8 and attention of 8.*`config`"):
        read_catk_checkpoint(path, agent_vocabulary=made_vocabulary())
    found = read_catk_checkpoint(path, agent_vocabulary=made_vocabulary(), config=SMALL)
    assert found.config.zero_fill_quirk and found.config.hidden == 8


def test_either_name_of_a_shared_parameter_will_do(tmp_path: Path) -> None:
    state = made_state()
    for number, (name, target) in enumerate(shared_names(SMALL).items()):
        del state[f"encoder.{target if number % 2 else name}"]
    whole = read_catk_checkpoint(save(tmp_path / "a.ckpt", made_state()), agent_vocabulary=made_vocabulary()).state
    found = read_catk_checkpoint(save(tmp_path / "b.ckpt", state), agent_vocabulary=made_vocabulary()).state
    assert found.keys() == whole.keys()
    assert all(np.array_equal(found[name], whole[name]) for name in whole)


# What does not fit


def gmm(state: dict[str, torch.Tensor]) -> None:
    state["encoder.agent_encoder.gmm_logits_head.mlp.0.weight"] = torch.zeros(3, 3)


def missing(state: dict[str, torch.Tensor]) -> None:
    del state["encoder.agent_encoder.fusion_emb.mlp.6.bias"]


def unknown(state: dict[str, torch.Tensor]) -> None:
    state["encoder.agent_encoder.goal_emb.weight"] = torch.zeros(3, 3)


def foreign(state: dict[str, torch.Tensor]) -> None:
    state["critic.weight"] = torch.zeros(3, 3)


def misshapen(state: dict[str, torch.Tensor]) -> None:
    state["encoder.map_encoder.token_emb.mlp.0.weight"] = torch.zeros(128, 21)


def infinite(state: dict[str, torch.Tensor]) -> None:
    state["encoder.map_encoder.light_pl_emb.weight"][2, 3] = torch.inf


def parted(state: dict[str, torch.Tensor]) -> None:
    state["encoder.map_encoder.pt2pt_layers.0.attn_prenorm_x_dst.bias"] = torch.zeros(8)


def empty(state: dict[str, torch.Tensor]) -> None:
    state.clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (gmm, r"gmm_logits_head.*mixture of Gaussians, which is not supported"),
        (missing, r"missing are encoder\.agent_encoder\.fusion_emb\.mlp\.6\.bias; unknown are none"),
        (unknown, r"missing are none; unknown are encoder\.agent_encoder\.goal_emb\.weight"),
        (foreign, r"no checkpoint of SMART.*critic\.weight"),
        (misshapen, r"token_emb\.mlp\.0\.weight has shape \(128, 21\).*must be \(128, 22\)"),
        (infinite, r"light_pl_emb\.weight holds numbers that are not finite"),
        (parted, r"attn_prenorm_x_dst\.bias and .*attn_prenorm_x_src\.bias are one parameter"),
        (empty, r"no checkpoint of SMART"),
    ],
)
def test_other_parameters_are_refused(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    state = {name: values.clone() for name, values in made_state().items()}
    change(state)
    path = save(tmp_path / "odd.ckpt", state)
    with pytest.raises(ConfigError, match=rf"odd\.ckpt: .*{message}"):
        read_catk_checkpoint(path, agent_vocabulary=made_vocabulary())


def test_another_horizon_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", made_state(), {"decoder": decoder_of(SMALL) | {"num_future_steps": 60}})
    with pytest.raises(ConfigError, match=r"num_future_steps is 60; only 80"):
        read_catk_checkpoint(path, agent_vocabulary=made_vocabulary())


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="among 7 tokens, but the vocabulary has 6 for the class 'vehicle'"):
        read_catk_checkpoint(save(tmp_path / "a.ckpt", made_state()), agent_vocabulary=made_vocabulary(6))


def test_another_vocabulary_file_is_refused(tmp_path: Path) -> None:
    """The wrong vocabulary would load, and drive badly; the checkpoint says which it wants."""
    files = {"agent_token_file": "agents.pkl", "map_token_file": "map.pkl"}
    path = save(tmp_path / "a.ckpt", made_state(), {"decoder": decoder_of(SMALL), "token_processor": files})
    agents, pieces = write_vocabulary(tmp_path)
    found = read_catk_checkpoint(path, agent_vocabulary=agents, map_vocabulary=pieces)
    assert found.vocabulary.hash == made_vocabulary().hash
    other = agents.rename(tmp_path / "older.pkl")
    with pytest.raises(ConfigError, match=r"'agents\.pkl', not 'older\.pkl'.*load_catk_vocabulary"):
        read_catk_checkpoint(path, agent_vocabulary=other, map_vocabulary=pieces)
    with pytest.raises(ConfigError, match="map_vocabulary"):
        read_catk_checkpoint(path, agent_vocabulary=other)


# Damage and malice


class Runs:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def archive(path: Path, content: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A file like those of torch.save, with any pickle in it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/byteorder", "little")
        for key, values in (storages or {}).items():
            file.writestr(f"archive/data/{key}", values)
    return path


def test_a_malicious_checkpoint_is_named_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for function, argument, name in (
        (os.system, f"touch {trace}", "system"),
        (eval, f"open({str(trace)!r}, 'w')", "eval"),
        (torch.load, str(trace), "load"),
        (getattr, ("text", "upper"), "getattr"),
    ):
        arguments = argument if isinstance(argument, tuple) else (argument,)
        content = pickle.dumps({"state_dict": {}, "callbacks": [Runs(function, *arguments)]}, protocol=2)
        path = archive(tmp_path / "bad.ckpt", content)
        with pytest.raises(ConfigError, match=rf"bad\.ckpt: asks for \S*{name}.*nothing was run"):
            read_catk_checkpoint(path, agent_vocabulary=made_vocabulary())
    assert not trace.exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", made_state())
    whole = path.read_bytes()
    broken = bytearray(whole)
    storage = whole.index(made_state()["encoder.agent_encoder.fusion_emb.mlp.0.weight"].numpy().tobytes())
    broken[storage + 40] ^= 1
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[100:], pickle.dumps({"state_dict": {}}), bytes(broken)):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"a\.ckpt: .*(damaged|no archive)"):
            read_catk_checkpoint(path, agent_vocabulary=made_vocabulary())
    with pytest.raises(ConfigError, match="there is no checkpoint"):
        read_catk_checkpoint(tmp_path / "none.ckpt", agent_vocabulary=made_vocabulary())


def test_a_pickle_damaged_anywhere_is_an_error_or_read(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.ckpt", {"encoder.a": torch.arange(6.0).view(2, 3)}, {"x": [1, "b", None, 2.5]})
    with zipfile.ZipFile(whole) as file:
        content = next(file.read(name) for name in file.namelist() if name.endswith("data.pkl"))
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.integers(len(content))] = rng.integers(256)
        path = archive(tmp_path / "b.ckpt", bytes(changed), {"0": np.arange(6, dtype=np.float32).tobytes()})
        try:
            with TorchArchive(path) as opened:
                entries = opened.content.get("state_dict") if isinstance(opened.content, dict) else None
                for tensor in entries.values() if isinstance(entries, dict) else ():
                    if hasattr(tensor, "numpy"):
                        tensor.numpy()
        except ConfigError:
            pass


@pytest.mark.parametrize(
    ("shape", "stride", "offset"), [((3, 3), (3, 1), 0), ((2, 3), (3, 1), 1), ((2, 3), (3, -1), 2), ((2,), (9,), 0)]
)
def test_tensors_do_not_reach_beyond_their_storage(
    tmp_path: Path, shape: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 6) if obj == "STORAGE" else None

    path = tmp_path / "content"
    with path.open("wb") as stream:
        tensor = Runs(torch._utils._rebuild_tensor_v2, "STORAGE", offset, shape, stride, False, None)
        Writer(stream, protocol=2).dump({"state_dict": {"a": tensor}})
    made = archive(tmp_path / "a.ckpt", path.read_bytes(), {"0": bytes(24)})
    with pytest.raises(ConfigError, match="damaged"), TorchArchive(made) as opened:
        opened.content["state_dict"]["a"].numpy()


def test_strides_are_kept(tmp_path: Path) -> None:
    values = torch.arange(24.0).view(4, 6)
    tensors = {"t": values.t(), "part": values[1:, 2:4], "double": values.double(), "one": torch.tensor(3.0)}
    torch.save({**tensors, "none": torch.zeros(0, 3)}, tmp_path / "a.pt")
    with TorchArchive(tmp_path / "a.pt") as opened:
        for name, expected in tensors.items():
            np.testing.assert_array_equal(opened.content[name].numpy(), expected.numpy())
        assert opened.content["none"].numpy().shape == (0, 3)


# Vocabulary files


def write_vocabulary(folder: Path, *, old_names: bool = False, **changes: Any) -> tuple[Path, Path]:
    """The two pickles, with the contents of `made_vocabulary`."""
    made = made_vocabulary()
    agents = {"token_all": {"veh": made.vehicle, "ped": made.pedestrian, "cyc": made.cyclist}}
    pieces = made.map_pieces.astype(np.float64)
    contents = {"agents": agents, "map": {"traj_src": pieces, "sample_pt": pieces[:, [0, 5, 10]]}}
    for name, content in (contents | changes).items():
        written = pickle.dumps(content, protocol=3)
        if old_names:
            assert b"numpy._core.multiarray" in written
            written = written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        (folder / f"{name}.pkl").write_bytes(written)
    return folder / "agents.pkl", folder / "map.pkl"


@pytest.mark.parametrize("old_names", [False, True])
def test_vocabulary_files_of_any_numpy(tmp_path: Path, old_names: bool) -> None:
    found = load_catk_vocabulary(*write_vocabulary(tmp_path, old_names=old_names))
    made = made_vocabulary()
    for name in (*CLASSES, "map_pieces"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agents": Runs(os.system, "touch trace")}, r"agents\.pkl: asks for \S*system.*nothing was run"),
        ({"map": {"traj_src": Runs(eval, "1")}}, r"map\.pkl: asks for \S*eval"),
        ({"agents": {"token": 1}}, r"agents\.pkl: has no \['token_all'\]\['veh'\]"),
        ({"agents": {"token_all": {"veh": "a"}}}, r"agents\.pkl: .* is no array of numbers"),
        ({"agents": {"token_all": [1]}}, r"agents\.pkl: has no"),
        (
            {"map": {"traj_src": np.zeros((5, 11, 2)), "sample_pt": np.ones((5, 3, 2))}},
            r"map\.pkl: 'sample_pt' must be",
        ),
        ({"map": {"traj_src": np.zeros((5, 9, 2)), "sample_pt": np.zeros((5, 3, 2))}}, r"map\.pkl: 'traj_src' must be"),
        ({"map": {"traj_src": np.array([[None]]), "sample_pt": np.zeros((5, 3, 2))}}, r"map\.pkl: .*'O8'"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_catk_vocabulary(*write_vocabulary(tmp_path, **changes))
    assert not Path("trace").exists()


def test_missing_and_swapped_files(tmp_path: Path) -> None:
    agents, pieces = write_vocabulary(tmp_path)
    with pytest.raises(ConfigError, match="there is no vocabulary of CAT-K"):
        load_catk_vocabulary(tmp_path / "none.pkl", pieces)
    with pytest.raises(ConfigError, match="or one of the other kind"):
        load_catk_vocabulary(pieces, agents)
    agents.write_bytes(agents.read_bytes()[:-30])
    with pytest.raises(ConfigError, match=r"agents\.pkl: is a damaged pickle"):
        load_catk_vocabulary(agents, pieces)


def test_checkpoints_of_catk_become_networks(tmp_path: Path) -> None:
    network = load_catk_checkpoint(save(tmp_path / "a.ckpt", made_state()), vocab=made_vocabulary(), config=SMALL)
    assert network.config.zero_fill_quirk and not network.training
    read = read_catk_checkpoint(tmp_path / "a.ckpt", agent_vocabulary=made_vocabulary(), config=SMALL)
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), read.state[name])
