"""Loading checkpoints that users trained with CAT-K's own code.

The vocabulary is not in them, and a checkpoint means nothing without the very one that it was trained with; users point
us to both (golden/smart/README.md section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.catk_names import parameter_shapes, shared_names
from trafficgym_agents.policies.smart.catk_vocabulary import load_catk_vocabulary
from trafficgym_agents.policies.smart.config import FUTURE_STEPS, HISTORY_STEPS, PRESETS, SmartConfig
from trafficgym_agents.policies.smart.torch_archive import Tensor, TorchArchive
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary

_PREFIX = "encoder."
_FOREIGN_HEADS = ("gmm_logits_head", "gmm_pose_head")
_OPTIONS = {
    "hidden_dim": "hidden",
    "num_heads": "heads",
    "head_dim": "head_size",
    "num_map_layers": "map_layers",
    "num_agent_layers": "agent_layers",
    "pl2pl_radius": "map_radius",
    "pl2a_radius": "map_to_agent_radius",
    "a2a_radius": "agent_radius",
    "time_span": "time_span",
    "num_freq_bands": "frequencies",
    "dropout": "dropout",
    "hist_drop_prob": "history_dropout",
}
"""Hyper-parameters of the reference's decoder, and fields of SmartConfig."""
_STEPS = {"num_historical_steps": HISTORY_STEPS + 1, "num_future_steps": FUTURE_STEPS}


@dataclass(frozen=True, kw_only=True, eq=False)
class CatkCheckpoint:
    """What is needed to make the network again."""

    config: SmartConfig
    """Its sizes; `zero_fill_quirk` is on, because the weights were learned with it."""
    vocabulary: Vocabulary
    state: dict[str, NDArray[np.float32]]
    """Parameters by the names that `SmartNetwork` has for them, shared ones under both."""
    hyper_parameters: dict[str, Any]
    """``model_config`` of the file, as plain values; empty where the file has none."""


def read_catk_checkpoint(
    path: Path | str,
    *,
    agent_vocabulary: Path | str | Vocabulary,
    map_vocabulary: Path | str | None = None,
    config: SmartConfig | None = None,
) -> CatkCheckpoint:
    """Read a Lightning checkpoint of CAT-K; nothing in it is imported or run.

    Args:
        path: The ``.ckpt`` file.
        agent_vocabulary: The pickle of motion tokens that it was trained with, or a Vocabulary made of it.
        map_vocabulary: The pickle of map tokens; not needed with a Vocabulary.
        config: Sizes, for files that do not tell theirs; they are read from the hyper-parameters by default, or else
            it is the preset of that width.

    Raises:
        ConfigError: a file is missing, damaged or unsafe; it is no checkpoint of SMART, or one with an ego model of
            mixtures; parameters are missing, unknown, of the wrong shape or not finite; or it does not fit the
            vocabulary. The message says which file, and what in it.
    """
    with TorchArchive(path) as archive:
        try:
            tensors, options = _contents(archive.content)
            found = _config(options, tensors) if config is None else replace(config, zero_fill_quirk=True)
            vocabulary = _vocabulary(agent_vocabulary, map_vocabulary, options)
            state = _state(tensors, found, _num_tokens(tensors, vocabulary))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return CatkCheckpoint(config=found, vocabulary=vocabulary, state=state, hyper_parameters=options)


def _contents(content: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name without its prefix, and hyper-parameters."""
    entries = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(value, Tensor) for value in entries.values()):
        raise ConfigError("has no state_dict of tensors; it is no checkpoint of Lightning")
    for name in entries:
        if any(head in name for head in _FOREIGN_HEADS):
            raise ConfigError(
                f"holds {name}: it is a SMART whose ego drives by a mixture of Gaussians, which is not supported; give "
                "a checkpoint in which all agents have motion tokens"
            )
    foreign = [name for name in entries if not name.startswith(_PREFIX)]
    if foreign or not entries:
        raise ConfigError(
            f"is no checkpoint of SMART, whose parameters all begin with {_PREFIX!r}; others in it: {_some(foreign)}"
        )
    hyper_parameters = content.get("hyper_parameters")
    options = hyper_parameters.get("model_config") if isinstance(hyper_parameters, dict) else None
    tensors = {name.removeprefix(_PREFIX): value for name, value in entries.items()}
    return tensors, options if isinstance(options, dict) else {}


def _config(options: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SmartConfig:
    decoder = options.get("decoder")
    decoder = decoder if isinstance(decoder, dict) else {}
    for name, steps in _STEPS.items():
        if decoder.get(name, steps) != steps:
            raise ConfigError(f"its {name} is {decoder[name]!r}; only {steps} is supported")
    known = {field: decoder[name] for name, field in _OPTIONS.items() if isinstance(decoder.get(name), int | float)}
    if len(known) == len(_OPTIONS):
        return SmartConfig(**known, zero_fill_quirk=True)
    return replace(_preset(tensors), zero_fill_quirk=True)


def _preset(tensors: Mapping[str, Tensor]) -> SmartConfig:
    """The preset with as wide features and attention; heads and radii leave no trace in shapes."""
    inner, hidden = _shape(tensors, "map_encoder.pt2pt_layers.0.to_q.weight", 2)
    for name in ("tiny", "mini", "nano"):
        config = PRESETS[name]
        if (hidden, inner) == (config.hidden, config.heads * config.head_size):
            return config
    raise ConfigError(
        f"does not tell all sizes in its hyper-parameters, and no preset has features of {hidden} and attention of "
        f"{inner} numbers; give the sizes that it was trained with as `config`"
    )


def _shape(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in tensors or len(tensors[name].shape) != dimensions:
        raise ConfigError(f"has no {_PREFIX}{name} of {dimensions} dimensions; it is no checkpoint of SMART")
    return tensors[name].shape


def _vocabulary(
    agents: Path | str | Vocabulary, map_pieces: Path | str | None, options: Mapping[str, Any]
) -> Vocabulary:
    if isinstance(agents, Vocabulary):
        return agents
    if map_pieces is None:
        raise ConfigError("needs both vocabulary files; give map_vocabulary, too")
    files = options.get("token_processor")
    for name, given in (("agent_token_file", agents), ("map_token_file", map_pieces)):
        wanted = files.get(name) if isinstance(files, dict) else None
        if isinstance(wanted, str) and Path(wanted).name != Path(given).name:
            raise ConfigError(
                f"was trained with the vocabulary {Path(wanted).name!r}, not {Path(given).name!r}; give that file, or, "
                "if it is the same under another name, what `load_catk_vocabulary` makes of it"
            )
    return load_catk_vocabulary(agents, map_pieces)


def _num_tokens(tensors: Mapping[str, Tensor], vocabulary: Vocabulary) -> int:
    num = _shape(tensors, "agent_encoder.token_predict_head.mlp.3.bias", 1)[0]
    for name, size in zip(CLASSES, vocabulary.sizes, strict=True):
        if size != num:
            raise ConfigError(f"chooses among {num} tokens, but the vocabulary has {size} for the class {name!r}")
    return num


def _state(tensors: Mapping[str, Tensor], config: SmartConfig, num_tokens: int) -> dict[str, NDArray[np.float32]]:
    """Check all names and shapes, and read the values."""
    shapes, shared = parameter_shapes(config, num_tokens), shared_names(config)
    partner = shared | {target: name for name, target in shared.items()}
    found = {name: tensors.get(name, tensors.get(partner.get(name, ""))) for name in shapes}
    missing = [_PREFIX + name for name, tensor in found.items() if tensor is None]
    unknown = [_PREFIX + name for name in tensors if name not in shapes]
    if missing or unknown:
        raise ConfigError(f"does not fit {config}: missing are {_some(missing)}; unknown are {_some(unknown)}")
    state = {}
    for name, tensor in found.items():
        if tensor is None or tensor.shape != shapes[name]:
            shape = tensor.shape if tensor is not None else None
            raise ConfigError(f"{_PREFIX}{name} has shape {shape}; with {config} it must be {shapes[name]}")
        state[name] = _values(name, tensor)
    for name, target in shared.items():
        if not np.array_equal(state[name], state[target]):
            raise ConfigError(f"{_PREFIX}{name} and {_PREFIX}{target} are one parameter, but hold different values")
    return state


def _values(name: str, tensor: Tensor) -> NDArray[np.float32]:
    try:
        values = tensor.numpy().astype(np.float32)
    except ConfigError as error:
        raise ConfigError(f"{_PREFIX}{name}: {error}") from None
    if not np.isfinite(values).all():
        raise ConfigError(f"{_PREFIX}{name} holds numbers that are not finite")
    return values


def _some(names: list[str]) -> str:
    """The first few."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "") or "none"
