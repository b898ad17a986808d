"""Names and shapes of the parameters of SMART, as its public checkpoints have them.

The names are facts about files that others hold; `network` uses the same (golden/smart/README.md section 2).
"""

from __future__ import annotations

from collections.abc import Iterator

from trafficgym_agents.policies.smart.config import SmartConfig

Shape = tuple[int, ...]

TOKEN_HIDDEN = 128  # units of the networks that embed tokens, in every preset
_NUM_TYPES, _NUM_POLYGONS, _NUM_LIGHTS, _NUM_CLASSES = 10, 4, 5, 3


def parameter_shapes(config: SmartConfig, num_tokens: int) -> dict[str, Shape]:
    """Every entry of the state dict of a network with `num_tokens` tokens per class, in its order.

    Shared parameters are there under both names (`shared_names`).
    """
    return {**dict(_map_encoder(config)), **dict(_agent_encoder(config, num_tokens))}


def shared_names(config: SmartConfig) -> dict[str, str]:
    """Names that are another parameter's second name, and that parameter's.

    Layers in which nodes attend to nodes of their own kind have one norm for both ends of an edge.
    """
    layers = [f"map_encoder.pt2pt_layers.{i}" for i in range(config.map_layers)]
    layers += [f"agent_encoder.{kind}_attn_layers.{i}" for kind in ("t", "a2a") for i in range(config.agent_layers)]
    return {
        f"{layer}.attn_prenorm_x_dst.{part}": f"{layer}.attn_prenorm_x_src.{part}"
        for layer in layers
        for part in ("weight", "bias")
    }


def _map_encoder(config: SmartConfig) -> Iterator[tuple[str, Shape]]:
    h = config.hidden
    yield "map_encoder.type_pt_emb.weight", (_NUM_TYPES, h)
    yield "map_encoder.polygon_type_emb.weight", (_NUM_POLYGONS, h)
    yield "map_encoder.light_pl_emb.weight", (_NUM_LIGHTS, h)
    yield from _fourier("map_encoder.r_pt2pt_emb", 3, config)
    for i in range(config.map_layers):
        yield from _attention(f"map_encoder.pt2pt_layers.{i}", config)
    yield from _token_embedding("map_encoder.token_emb", 22, h)


def _agent_encoder(config: SmartConfig, num_tokens: int) -> Iterator[tuple[str, Shape]]:
    h = config.hidden
    yield "agent_encoder.type_a_emb.weight", (_NUM_CLASSES, h)
    yield from _two_layers("agent_encoder.shape_emb", 3, h, h)
    for name, scalars in (("x_a", 2), ("r_t", 4), ("r_pt2a", 3), ("r_a2a", 3)):
        yield from _fourier(f"agent_encoder.{name}_emb", scalars, config)
    for kind in ("veh", "ped", "cyc"):
        yield from _token_embedding(f"agent_encoder.token_emb_{kind}", 8, h)
    yield from _token_embedding("agent_encoder.fusion_emb", 2 * h, h)
    for kind in ("t", "pt2a", "a2a"):
        for i in range(config.agent_layers):
            yield from _attention(f"agent_encoder.{kind}_attn_layers.{i}", config)
    yield from _two_layers("agent_encoder.token_predict_head", h, h, num_tokens)


def _linear(name: str, size_in: int, size_out: int, *, has_bias: bool = True) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (size_out, size_in)
    if has_bias:
        yield f"{name}.bias", (size_out,)


def _norm(name: str, size: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)


def _two_layers(name: str, size_in: int, hidden: int, size_out: int) -> Iterator[tuple[str, Shape]]:
    yield from _linear(f"{name}.mlp.0", size_in, hidden)
    yield from _norm(f"{name}.mlp.1", hidden)
    yield from _linear(f"{name}.mlp.3", hidden, size_out)


def _token_embedding(name: str, size_in: int, hidden: int) -> Iterator[tuple[str, Shape]]:
    yield from _two_layers(name, size_in, TOKEN_HIDDEN, hidden)
    yield from _norm(f"{name}.mlp.4", hidden)
    yield from _linear(f"{name}.mlp.6", hidden, hidden)


def _fourier(name: str, scalars: int, config: SmartConfig) -> Iterator[tuple[str, Shape]]:
    h = config.hidden
    yield f"{name}.freqs.weight", (scalars, config.frequencies)
    for i in range(scalars):
        yield from _linear(f"{name}.mlps.{i}.0", 2 * config.frequencies + 1, h)
        yield from _norm(f"{name}.mlps.{i}.1", h)
        yield from _linear(f"{name}.mlps.{i}.3", h, h)
    yield from _norm(f"{name}.to_out.0", h)
    yield from _linear(f"{name}.to_out.2", h, h)


def _attention(name: str, config: SmartConfig) -> Iterator[tuple[str, Shape]]:
    h, inner = config.hidden, config.heads * config.head_size
    for part in ("q", "k", "v", "k_r", "v_r", "s"):
        yield from _linear(f"{name}.to_{part}", h, inner, has_bias=part not in ("k", "k_r"))
    yield from _linear(f"{name}.to_g", inner + h, inner)
    yield from _linear(f"{name}.to_out", inner, h)
    yield from _linear(f"{name}.ff_mlp.0", h, 4 * h)
    yield from _linear(f"{name}.ff_mlp.3", 4 * h, h)
    for part in ("attn_prenorm_x_src", "attn_prenorm_x_dst", "attn_prenorm_r", "attn_postnorm"):
        yield from _norm(f"{name}.{part}", h)
    yield from _norm(f"{name}.ff_prenorm", h)
    yield from _norm(f"{name}.ff_postnorm", h)
