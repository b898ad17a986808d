"""SMART: a network that gives each agent, every half second, a distribution over its next motion token.

The reference's names of parameters are kept, so that its checkpoints fit (golden/smart/README.md section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from trafficgym_agents.policies.smart.attention import RelativeAttention, normalised
from trafficgym_agents.policies.smart.batch import AgentBatch, Batch, MapBatch
from trafficgym_agents.policies.smart.config import NUM_TOKENS, TOKEN_S, SmartConfig
from trafficgym_agents.policies.smart.edges import Edges, Groups, edges_back, edges_within
from trafficgym_agents.policies.smart.fourier import FourierEmbedding, mlp
from trafficgym_agents.policies.smart.geometry import motion_features, relations
from trafficgym_agents.policies.smart.goal_inputs import NOWHERE, Indication, Road, Stand, Toward, goal_inputs
from trafficgym_agents.policies.smart.relation_tables import backward, bounded, reach
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary

Tensor = Any

TOKEN_HIDDEN = 128
MAP_TYPES, POLYGONS, LIGHTS = 10, 4, 5


class TokenEmbedding(nn.Module):
    """The three-layer network of the reference, from numbers to ``[N, h]``."""

    def __init__(self, size_in: int, hidden: int) -> None:
        super().__init__()
        first, last = mlp(size_in, TOKEN_HIDDEN, hidden), nn.Linear(hidden, hidden)
        self.mlp = nn.Sequential(*first, nn.LayerNorm(hidden), nn.ReLU(), last)

    def forward(self, x: Tensor, columns: Tensor | None = None) -> Tensor:
        """Of inputs ``[N, size_in]``; `columns` is what more of them would add to the first layer, ``[N, 128]``."""
        return self.mlp(x) if columns is None else self.mlp[1:](self.mlp[0](x) + columns)


class TwoLayers(nn.Module):
    """`fourier.mlp` under the name that checkpoints have for it."""

    def __init__(self, size_in: int, hidden: int, size_out: int) -> None:
        super().__init__()
        self.mlp = mlp(size_in, hidden, size_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class MapEncoder(nn.Module):
    """Features of map tokens, which see those around them."""

    def __init__(self, config: SmartConfig) -> None:
        super().__init__()
        self.config = config
        self.type_pt_emb = nn.Embedding(MAP_TYPES, config.hidden)
        self.polygon_type_emb = nn.Embedding(POLYGONS, config.hidden)
        self.light_pl_emb = nn.Embedding(LIGHTS, config.hidden)
        self.r_pt2pt_emb = FourierEmbedding(3, config.hidden, config.frequencies)
        self.pt2pt_layers = nn.ModuleList(RelativeAttention(config) for _ in range(config.map_layers))
        self.token_emb = TokenEmbedding(22, config.hidden)

    def forward(self, tokens: MapBatch, pieces: Tensor, table_rows: int = 0) -> Tensor:
        """Encode map tokens, ``[M, h]``; `pieces` are the vocabulary's templates, ``[V, 22]``."""
        x = self.token_emb(pieces)[tokens.token]
        x = x + self.type_pt_emb(tokens.type) + self.polygon_type_emb(tokens.polygon) + self.light_pl_emb(tokens.light)
        xy, scene = tokens.xy.cpu().numpy(), tokens.scene.cpu().numpy()
        quirk, radius = self.config.zero_fill_quirk, reach(self.config.map_radius, self.config)
        edges = edges_within(radius, xy, scene, xy, Groups.of(scene, int(scene[-1]) + 1), is_same=True)
        edges = Edges(*(part.to(x.device) for part in edges))
        relation = relations(edges, tokens.xy, tokens.yaw, tokens.xy, tokens.yaw, quirk=quirk)
        relation = normalised(bounded(self.r_pt2pt_emb, radius, table_rows, quirk), relation)
        for layer in self.pt2pt_layers:
            x = layer(x, relation, edges)
        return x


class AgentDecoder(nn.Module):
    """Layers that let agents see their past, the map and each other, and the head over motion tokens."""

    def __init__(self, config: SmartConfig, num_tokens: int) -> None:
        super().__init__()
        h, scalars = config.hidden, config.frequencies
        self.config, self.num_tokens = config, num_tokens
        self.type_a_emb = nn.Embedding(len(CLASSES), h)
        self.shape_emb = TwoLayers(3, h, h)
        self.x_a_emb = FourierEmbedding(2, h, scalars)
        self.r_t_emb = FourierEmbedding(4, h, scalars)
        self.r_pt2a_emb = FourierEmbedding(3, h, scalars)
        self.r_a2a_emb = FourierEmbedding(3, h, scalars)
        self.token_emb_veh = TokenEmbedding(8, h)
        self.token_emb_ped = TokenEmbedding(8, h)
        self.token_emb_cyc = TokenEmbedding(8, h)
        self.fusion_emb = TokenEmbedding(2 * h, h)
        self.t_attn_layers = nn.ModuleList(RelativeAttention(config) for _ in range(config.agent_layers))
        self.pt2a_attn_layers = nn.ModuleList(
            RelativeAttention(config, is_bipartite=True) for _ in range(config.agent_layers)
        )
        self.a2a_attn_layers = nn.ModuleList(RelativeAttention(config) for _ in range(config.agent_layers))
        heads = len(CLASSES) if config.head_per_class else 1
        self.token_predict_head = TwoLayers(h, h, heads * num_tokens)
        self.momentum = nn.Parameter(torch.full((len(CLASSES),), MOMENTUM)) if config.momentum else None
        self.steering = nn.Linear(h, 2 * DIRECTIONS) if config.steering else None
        self.goal = goal_inputs(config, TOKEN_HIDDEN)

    def embed(self, contours: Tensor, type: Tensor, size: Tensor, motion: Tensor, toward: Toward = NOWHERE) -> Tensor:
        """Features of nodes before they have seen anything, ``[N, h]``.

        Args:
            contours: Last contour of each node's token, ``[N, 8]`` m.
            type: Class of the agent, ``[N]``.
            size: Its length, width and height, ``[N, 3]`` m.
            motion: Distance to the slot before, and its direction, ``[N, 2]``.
            toward: What they know of their goals.
        """
        token = contours.new_zeros((len(contours), self.config.hidden))
        for code, network in enumerate((self.token_emb_veh, self.token_emb_ped, self.token_emb_cyc)):
            rows = torch.nonzero(type == code).flatten()
            if len(rows):
                token = token.index_add(0, rows, network(contours[rows]))
        kind = self.type_a_emb(type) + self.shape_emb(size)
        x = self.fusion_emb(torch.cat([token, self.x_a_emb(motion, kind)], -1), toward.columns)
        return x if toward.beyond is None else x + toward.beyond

    def logits(self, x: Tensor, type: Tensor) -> Tensor:
        """What the head gives of features ``[N, h]`` of agents of a class ``[N]``: ``[N, V]``."""
        if not self.config.head_per_class:
            return self.token_predict_head(x)
        *first, last = self.token_predict_head.mlp
        for layer in first:
            x = layer(x)
        return linear_of_class(x, type, last.weight.chunk(len(CLASSES)), last.bias.chunk(len(CLASSES)))


def linear_of_class(x: Tensor, type: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Tensor:
    """Of rows ``[N, h]`` each through the linear layer of its class ``[N]``."""
    found = x.new_empty((len(x), len(weights[0])))
    for code, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        rows = torch.nonzero(type == code).flatten()
        if len(rows) == len(x):
            return functional.linear(x, weight, bias)
        if len(rows):
            found = found.index_copy(0, rows, functional.linear(x[rows], weight, bias))
    return found


MOST_KEPT = 1024
"""Tokens of a class; of larger vocabularies, distances of all pairs would take too much room."""
DIRECTIONS = 3
"""In which tokens end: ahead, to the left, and turned to the left."""
LEVER = 3.0
"""m that the end of a turned token is away from one that is not, by rad of the turn: as a corner of a car."""
SHARPNESS = -1.0
"""What `SmartConfig.steering` begins with: a Gaussian with a deviation of 1.3 m."""
MOMENTUM = 0.7
"""Logarithm of 1 / l [1/m] that `SmartConfig.momentum` begins with: half a metre."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Nodes:
    """The n (agent, slot) pairs of a batch that are valid, sorted by agent, then by slot."""

    agent: Tensor  # int64 (n,)
    slot: Tensor  # int64 (n,)
    logits: Tensor  # float32 (n, V): of the token in slot + 1


class SmartNetwork(nn.Module):
    """The whole network.

    Args:
        config: Sizes.
        vocabulary: Its words; they are no parameters, and are not in the state dict.
    """

    def __init__(self, config: SmartConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        num = max(vocabulary.sizes)
        self.map_encoder = MapEncoder(config)
        self.agent_encoder = AgentDecoder(config, num)
        pieces = torch.from_numpy(vocabulary.map_pieces.reshape(len(vocabulary.map_pieces), -1))
        self.register_buffer("pieces", pieces, persistent=False)
        motions = np.zeros((len(CLASSES), num, 6, 4, 2), np.float32)
        for motion, templates in zip(motions, vocabulary.agents, strict=True):
            motion[: len(templates)] = templates
        self.register_buffer("motions", torch.from_numpy(motions), persistent=False)
        self.register_buffer("sizes", torch.tensor(vocabulary.sizes), persistent=False)
        self.register_buffer("ends", ends_of(self.motions), persistent=False)
        self._apart: Tensor | None = None
        self.apply(_initialise)
        if self.agent_encoder.steering is not None:
            nn.init.zeros_(self.agent_encoder.steering.weight)
        if self.agent_encoder.goal is not None:
            self.agent_encoder.goal.begin_at_zero()

    def encode_map(self, tokens: MapBatch, table_rows: int = 0) -> Tensor:
        """Features of map tokens, ``[M, h]``; they hold for every rollout."""
        return self.map_encoder(tokens, self.pieces, table_rows)

    def forward(self, batch: Batch, map_features: Tensor | None = None, table_rows: int = 0) -> Nodes:
        """Predict each next token from the tokens before (teacher forcing).

        Args:
            batch: Scenes; the last slot, which nothing follows, is not looked at.
            map_features: From `encode_map`; None: encode the map here.
            table_rows: Relations of nodes within a radius are read from tables of so many rows
                (`fourier.Tables`), which is faster and differs a little; 0: they are computed.
        """
        agent, slot, x = self.features(batch, map_features, table_rows)
        agents = batch.agents
        logits = self.next_logits(x, agents.type[agent], agents.token[agent, slot])
        return Nodes(agent=agent, slot=slot, logits=logits)

    def next_logits(self, x: Tensor, type: Tensor, token: Tensor) -> Tensor:
        """Logits over the tokens of each node's class, ``[N, V]``; -inf beyond the class's number of tokens.

        Args:
            x: What each node has seen, ``[N, h]``.
            type: Its class, ``[N]``.
            token: Its own token, ``[N]``.
        """
        logits = self.agent_encoder.logits(x, type)
        if self.agent_encoder.momentum is not None:
            logits = logits - self.agent_encoder.momentum.exp()[type, None] * self.distances(type, token)
        if self.agent_encoder.steering is not None:
            logits = logits + self._steered(self.agent_encoder.steering(x), type, token)
        if len(set(self.vocabulary.sizes)) == 1:
            return logits
        beyond = torch.arange(logits.shape[1], device=x.device) >= self.sizes[type][:, None]
        return logits.masked_fill(beyond, -torch.inf)

    def _steered(self, numbers: Tensor, type: Tensor, token: Tensor) -> Tensor:
        """``a . (e - o) - b . (e - o)^2`` of ends e of tokens and o of the last one, up to what all have, ``[N, V]``.

        `numbers` are ``[N, 6]``: a, and what makes b, which is positive, so that it holds tokens that end far off down.
        """
        slope, sharpness = numbers.split(DIRECTIONS, 1)
        curvature = -functional.softplus(sharpness + SHARPNESS)
        slope = slope - 2 * curvature * self.ends[type, token, :DIRECTIONS]
        return linear_of_class(torch.cat([slope, curvature], 1), type, self.ends, (None,) * len(CLASSES))

    def speed(self, type: Tensor, token: Tensor) -> Tensor:
        """Mean speed of tokens ``[n]`` of classes ``[n]``, ``[n]`` m/s; ahead is positive."""
        return self.ends[type, token, 0] / TOKEN_S

    def distances(self, type: Tensor, token: Tensor) -> Tensor:
        """Mean distance of corners between the ends of tokens ``[n]`` and of all of their class, ``[n, V]`` m."""
        if self.motions.shape[1] > MOST_KEPT:
            return self._distances(type, token)
        if self._apart is None or self._apart.device != type.device:
            every = torch.arange(self.motions.shape[1], device=type.device)
            self._apart = torch.stack([self._distances(torch.full_like(every, c), every) for c in range(len(CLASSES))])
        return self._apart[type, token]

    def _distances(self, type: Tensor, token: Tensor) -> Tensor:
        ends = self.motions[:, :, -1]
        away = torch.zeros((len(token), ends.shape[1]), device=token.device)
        for corner in range(4):
            away += (ends[type, :, corner] - ends[type, token, corner][:, None]).norm(dim=-1)
        return away / 4

    def features(
        self, batch: Batch, map_features: Tensor | None = None, table_rows: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` predicts from: agent and slot of each node, ``[n]``, and what it has seen, ``[n, h]``."""
        if map_features is None:
            map_features = self.encode_map(batch.map, table_rows)
        agents, decoder, config = batch.agents, self.agent_encoder, self.config
        agent, slot = torch.nonzero(agents.valid[:, :-1], as_tuple=True)
        xy, yaw, type = agents.xy[agent, slot], agents.yaw[agent, slot], agents.type[agent]
        motion = motion_features(agents, config.zero_fill_quirk)[agent, slot]
        contours = self.motions[type, agents.token[agent, slot], -1].flatten(1)
        looks = Looks(self, batch.map, map_features, table_rows)
        stand = Stand(xy, yaw, self.speed(type, agents.token[agent, slot]), time_left(slot))
        toward = looks.toward(agents.goal[agent], stand, agents.scene[agent])
        x = decoder.embed(contours, type, agents.size[agent], motion, toward)

        back = self._edges_back(agent, slot)
        relation = relations(back, xy, yaw, xy, yaw, slot, quirk=config.zero_fill_quirk)
        past = normalised(looks.past_embedding, relation)
        to_map, map_relation = looks.at_map(xy, yaw, agents.scene[agent], toward.piece)
        to_agents, agent_relation = looks.at_agents(xy, yaw, agents.group[agent] * agents.token.shape[1] + slot)
        for time, at_map, at_agents in zip(
            decoder.t_attn_layers, decoder.pt2a_attn_layers, decoder.a2a_attn_layers, strict=True
        ):
            x = time(x, past, back)
            x = at_map.attend(x, at_map.keys_values(map_features), map_relation, to_map)
            x = at_agents(x, agent_relation, to_agents)
        return agent, slot, x if toward.at_head is None else x + toward.at_head

    def _edges_back(self, agent: Tensor, slot: Tensor) -> Edges:
        keep = None
        if self.training and self.config.history_dropout > 0:
            keep = (torch.rand(len(agent)) >= self.config.history_dropout).numpy()
        back = edges_back(agent.cpu().numpy(), slot.cpu().numpy(), self.config.span_tokens, keep)
        return Edges(*(part.to(agent.device) for part in back))


class Looks:
    """What agents see around them: edges to the map and to each other, with their relations.

    Args:
        network: Whose radii and embeddings.
        tokens: The map.
        map_features: Of its tokens.
        table_rows: See `SmartNetwork.forward`.
    """

    def __init__(self, network: SmartNetwork, tokens: MapBatch, map_features: Tensor, table_rows: int) -> None:
        decoder, config = network.agent_encoder, network.config
        self.config, self.tokens = config, tokens
        self._quirk, self._map_radius = config.zero_fill_quirk, reach(config.map_to_agent_radius, config)
        self._agent_radius = reach(config.agent_radius, config)
        self.map_embedding = bounded(decoder.r_pt2a_emb, self._map_radius, table_rows, self._quirk)
        self.agent_embedding = bounded(decoder.r_a2a_emb, self._agent_radius, table_rows, self._quirk)
        stride = float(network.motions[:, :, -1].mean(2).norm(dim=-1).max())
        self.past_embedding = backward(decoder.r_t_emb, stride, config.span_tokens, table_rows, self._quirk)
        self._map_xy: NDArray[np.float32] = tokens.xy.cpu().numpy()
        scene: NDArray[np.int64] = tokens.scene.cpu().numpy()
        self._map = Groups.of(scene, int(scene[-1]) + 1)
        self._goal, self._road = decoder.goal, Road(tokens, map_features, self._map, self._map_radius)

    def toward(self, goal: Tensor, stand: Stand, scene: Tensor) -> Toward:
        """What nodes in scenes ``[N]`` know of goals ``[N, 2]``, NaN where none is."""
        if self._goal is None or not bool(goal.isfinite().any()):
            return NOWHERE
        return self._goal(goal, stand, scene, self._road)

    def at_map(self, xy: Tensor, yaw: Tensor, scene: Tensor, piece: Tensor | None = None) -> tuple[Edges, Tensor]:
        """Edges from map tokens to nodes at poses ``[N, 2]``, ``[N]`` in scenes ``[N]``, and relations ``[E, h]``.

        `piece` is where nodes' goals are (`Toward.piece`).
        """
        edges = edges_within(self._map_radius, xy.cpu().numpy(), scene.cpu().numpy(), self._map_xy, self._map)
        edges = Edges(*(part.to(xy.device) for part in edges))
        relation = relations(edges, xy, yaw, self.tokens.xy, self.tokens.yaw, quirk=self._quirk)
        found = normalised(self.map_embedding, relation)
        if piece is not None and isinstance(self._goal, Indication):
            found = self._goal.indicated(found, relation, edges, piece, self.map_embedding)
        return edges, found

    def at_agents(self, xy: Tensor, yaw: Tensor, group: Tensor) -> tuple[Edges, Tensor]:
        """Edges between nodes of one group ``[N]``, and their relations ``[E, h]``."""
        points, number = xy.cpu().numpy(), group.cpu().numpy()
        sources = Groups.of(number, int(number.max()) + 1 if len(number) else 0)
        edges = edges_within(self._agent_radius, points, number, points, sources, is_same=True)
        edges = Edges(*(part.to(xy.device) for part in edges))
        return edges, normalised(self.agent_embedding, relations(edges, xy, yaw, xy, yaw, quirk=self._quirk))


def ends_of(motions: Tensor) -> Tensor:
    """Where templates ``[3, V, 6, 4, 2]`` end: ahead, to the left, turned [m], and the squares, ``[3, V, 6]``."""
    last = motions[:, :, -1]
    front = last[:, :, 0] - last[:, :, 3]
    turn = LEVER * torch.atan2(front[..., 1], front[..., 0])
    ends = torch.cat([last.mean(2), turn[..., None]], -1)
    return torch.cat([ends, ends.square()], -1)


def time_left(slot: Tensor) -> Tensor:
    """From the end of slots ``[n]`` to that of the last one, when goals are due, ``[n]`` s."""
    return (NUM_TOKENS - 1 - slot) * TOKEN_S


def _initialise(module: nn.Module) -> None:
    """As the reference: uniform Xavier for linear layers, biases 0, frequencies and classes N(0, 0.02)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)


__all__ = ["AgentBatch", "Looks", "Nodes", "SmartNetwork"]
