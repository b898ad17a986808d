"""Rollouts of a `SmartNetwork`: the map is encoded once, the past is kept, and all rollouts go together.

Half a second at a time every agent takes the token that a `Choose` picks from its logits, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.world.dynamics.motion_tokens import place_motion
from trafficgym_agents.policies.smart.attention import normalised
from trafficgym_agents.policies.smart.batch import AgentBatch, Batch
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS, NUM_TOKENS, STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.edges import Edges, edges_from
from trafficgym_agents.policies.smart.geometry import moved_features, relations
from trafficgym_agents.policies.smart.goal_inputs import Stand
from trafficgym_agents.policies.smart.network import Looks, SmartNetwork, time_left

Tensor = Any

TABLE_ROWS = 1024
"""Of the tables that rollouts read relations from (`fourier.Tables`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """What a choice is made from."""

    logits: Tensor  # float32 (N, V) of the next token; -inf where the class has no such token
    slot: int  # the one that is chosen for
    agents: AgentBatch  # who they are, and their logs
    xy: Tensor  # float32 (N, 2) m, now
    yaw: Tensor  # float32 (N,) rad
    network: SmartNetwork
    rngs: Sequence[np.random.Generator]  # one per group

    def uniform(self, num: int) -> Tensor:
        """Numbers in [0, 1) from each group's own generator, float32 ``[N, num]``."""
        return uniform(self.rngs, self.agents.group, num)


def uniform(rngs: Sequence[np.random.Generator], group: Tensor, num: int) -> Tensor:
    """Numbers in [0, 1) from the generators of agents' groups ``[N]``, which ascend; float32 ``[N, num]``."""
    sizes = torch.bincount(group, minlength=len(rngs)).tolist()
    drawn = [rng.random((size, num), np.float32) for rng, size in zip(rngs, sizes, strict=True)]
    return torch.from_numpy(np.concatenate(drawn)).to(group.device)


Choose = Callable[[Decision], Tensor]
"""From a decision to the tokens of all agents, int64 ``[N]``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollouts:
    """What N agents did over Q slots; agents are those of ``batch.agents.repeat(R)``."""

    agents: AgentBatch  # its tokens are the executed ones, behind those of the history
    steps: Tensor  # float32 (N, 5 (Q - 2), 3): x, y [m] and yaw [rad] at every 0.1 s after "now"


class Decoder:
    """Goes through slots one by one, and gives what each next one is predicted from.

    Args:
        network: In evaluation mode.
        batch: The scenes, for their maps.
        map_features: From `SmartNetwork.encode_map`; None: encode the maps here.
        table_rows: See `SmartNetwork.forward`.
    """

    def __init__(
        self, network: SmartNetwork, batch: Batch, map_features: Tensor | None = None, table_rows: int = TABLE_ROWS
    ) -> None:
        self.network = network
        if map_features is None:
            map_features = network.encode_map(batch.map, table_rows)
        self._looks = Looks(network, batch.map, map_features, table_rows)
        decoder = network.agent_encoder
        self._map = [layer.keys_values(map_features) for layer in decoder.pt2a_attn_layers]
        self._past: list[list[Tensor]] = [[] for _ in decoder.t_attn_layers]  # keys and values, by layer and slot
        self._poses: list[tuple[Tensor, Tensor, Tensor]] = []  # xy, yaw, valid of the slots in `_past`
        self._last: tuple[Tensor, Tensor] | None = None  # xy and valid of the slot before
        self._seen = 0  # slots

    def repeat(self, rows: Tensor) -> None:
        """Go on with other agents: row i as agent ``rows[i]`` of those until now, ``[N']``."""
        self._past = [[kv[rows] for kv in slots] for slots in self._past]
        self._poses = [(xy[rows], yaw[rows], valid[rows]) for xy, yaw, valid in self._poses]
        if self._last is not None:
            self._last = self._last[0][rows], self._last[1][rows]

    def advance(self, agents: AgentBatch, token: Tensor, xy: Tensor, yaw: Tensor, valid: Tensor) -> Tensor:
        """Take in a slot; return logits of the next one's token, ``[N, V]``. For the arguments see `features`."""
        x = self.features(agents, token, xy, yaw, valid)
        return self.network.next_logits(x, agents.type, token)

    def features(self, agents: AgentBatch, token: Tensor, xy: Tensor, yaw: Tensor, valid: Tensor) -> Tensor:
        """Take in a slot.

        Args:
            agents: Who they are; scene, group, type, size and goal count.
            token: Of the slot, ``[N]``.
            xy: Where it led, ``[N, 2]`` m.
            yaw: ``[N]`` rad.
            valid: Agents that are there, bool ``[N]``.

        Returns:
            What agents have seen, ``[N, h]``; it says nothing where `valid` is False.
        """
        network, decoder = self.network, self.network.agent_encoder
        contours = network.motions[agents.type, token, -1].flatten(1)
        motion = moved_features(self._moved(xy, valid), yaw, network.config.zero_fill_quirk)
        left = agents.time_left
        if left is None:
            left = time_left(torch.full_like(xy[:, 0], self._seen))
        self._seen += 1
        stand = Stand(xy, yaw, network.speed(agents.type, token), left)
        toward = self._looks.toward(agents.goal, stand, agents.scene)
        x = decoder.embed(contours, agents.type, agents.size, motion, toward)
        back, past = self._back(xy, yaw, valid)
        there = torch.nonzero(valid).flatten()
        spots = xy[there], yaw[there]
        to_map, map_relation = self._looks.at_map(*spots, agents.scene[there], toward.piece_of(there))
        to_agents, agent_relation = self._looks.at_agents(*spots, agents.group[there])
        every = len(there) == len(valid)
        for i, layers in enumerate(
            zip(decoder.t_attn_layers, decoder.pt2a_attn_layers, decoder.a2a_attn_layers, strict=True)
        ):
            time, at_map, at_agents = layers
            kept = self._past[i]
            own = time.keys_values(x)
            x = time.attend(x, torch.cat(kept) if kept else own[:0], past, back)
            kept.append(own)
            near = x if every else x[there]
            near = at_map.attend(near, self._map[i], map_relation, to_map)
            near = at_agents(near, agent_relation, to_agents)
            x = near if every else x.index_copy(0, there, near)
        self._keep(xy, yaw, valid)
        return x if toward.at_head is None else x + toward.at_head

    def _moved(self, xy: Tensor, valid: Tensor) -> Tensor:
        """Displacement since the slot before, ``[N, 2]`` m; see `geometry.motion_features`."""
        if self._last is None:
            return torch.zeros_like(xy)
        before, was = self._last
        if self.network.config.zero_fill_quirk:
            return torch.where(valid[:, None], xy, 0.0) - torch.where(was[:, None], before, 0.0)
        return torch.where((valid & was)[:, None], xy - before, 0.0)

    def _back(self, xy: Tensor, yaw: Tensor, valid: Tensor) -> tuple[Edges, Tensor]:
        """Edges from the slots that are kept, and their relations."""
        num, slots = len(valid), len(self._poses)
        if not slots:
            nothing = edges_from(np.zeros(0, np.int64), np.zeros(num + 1, np.int64))
            return nothing, xy.new_zeros((0, self.network.config.hidden))
        was = torch.stack([one[2] for one in self._poses], 1) & valid[:, None]  # (N, slots)
        agent, slot = torch.nonzero(was, as_tuple=True)
        offsets = torch.zeros(num + 1, dtype=torch.long, device=xy.device)
        torch.cumsum(was.sum(1), 0, out=offsets[1:])
        edges = Edges(slot * num + agent, agent, offsets)
        past_xy, past_yaw = torch.cat([one[0] for one in self._poses]), torch.cat([one[1] for one in self._poses])
        relation = relations(edges, xy, yaw, past_xy, past_yaw, quirk=self.network.config.zero_fill_quirk)
        relation = torch.cat([relation, (slot - slots).to(xy.dtype)[:, None]], 1)
        return edges, normalised(self._looks.past_embedding, relation)

    def _keep(self, xy: Tensor, yaw: Tensor, valid: Tensor) -> None:
        self._last = xy, valid
        self._poses.append((xy, yaw, valid))
        if len(self._poses) > self.network.config.span_tokens:
            del self._poses[0]
            for slots in self._past:
                del slots[0]


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while; afterwards, whatever happens, it is in the mode it was in."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def roll_out(
    network: SmartNetwork,
    batch: Batch,
    choose: Choose,
    *,
    num: int = 1,
    rngs: Sequence[np.random.Generator],
    map_features: Tensor | None = None,
    table_rows: int = TABLE_ROWS,
) -> Rollouts:
    """Drive all agents of all scenes to the end of their slots.

    Args:
        network: It is used in evaluation mode, and left in the mode that it was in.
        batch: S scenes with their history.
        choose: Picks tokens.
        num: R: rollouts of each scene.
        rngs: A generator for each rollout, S R of them, rollout after rollout, scene after scene.
        map_features: From `SmartNetwork.encode_map`; None: encode the maps here.
        table_rows: See `SmartNetwork.forward`.

    Returns:
        The rollouts.
    """
    with evaluating(network), torch.no_grad():
        decoder = Decoder(network, batch, map_features, table_rows)
        agents = batch.agents
        for slot in range(HISTORY_TOKENS):  # the same in all rollouts
            seen = agents.token[:, slot], agents.xy[:, slot], agents.yaw[:, slot], agents.valid[:, slot]
            logits = decoder.advance(agents, *seen)
        if num > 1:
            rows = rollout_rows(agents, num)
            decoder.repeat(rows)
            logits = logits[rows]
        agents = agents.repeat(num)
        token, xy, yaw, valid = (getattr(agents, name).clone() for name in ("token", "xy", "yaw", "valid"))
        steps = xy.new_zeros((len(agents), (NUM_TOKENS - HISTORY_TOKENS) * STEPS_PER_TOKEN, 3))
        for slot in range(HISTORY_TOKENS, NUM_TOKENS):
            now = xy[:, slot - 1], yaw[:, slot - 1]
            decision = Decision(
                logits=logits, slot=slot, agents=agents, xy=now[0], yaw=now[1], network=network, rngs=rngs
            )
            token[:, slot] = choose(decision)
            path = torch.stack(execute(network, agents.type, token[:, slot], *now), -1)
            first = (slot - HISTORY_TOKENS) * STEPS_PER_TOKEN
            steps[:, first : first + STEPS_PER_TOKEN] = path
            xy[:, slot], yaw[:, slot], valid[:, slot] = path[:, -1, :2], path[:, -1, 2], valid[:, slot - 1]
            if slot + 1 < NUM_TOKENS:
                logits = decoder.advance(agents, token[:, slot], xy[:, slot], yaw[:, slot], valid[:, slot])
        return Rollouts(agents=agents.moved(token, xy, yaw, valid), steps=steps)


def execute(network: SmartNetwork, type: Tensor, token: Tensor, xy: Tensor, yaw: Tensor) -> tuple[Tensor, ...]:
    """Where tokens ``[N]`` lead from poses ``[N, 2]``, ``[N]``: x, y [m] and yaw [rad] at 0.1 ... 0.5 s, ``[N, 5]``."""
    contours = network.motions[type, token, 1:]
    if network.config.zero_fill_quirk:
        return _place_like_reference(contours, xy, yaw)
    return place_motion(contours, xy[:, 0], xy[:, 1], yaw)


def _place_like_reference(contours: Tensor, xy: Tensor, yaw: Tensor) -> tuple[Tensor, ...]:
    """`place_motion` in the reference's arithmetic, bit for bit.

    Kilometres from the origin box corners lie on a grid of half a millimetre, and headings are read off them: a last
    bit that differs here is centimetres after some seconds.
    """
    cos, sin = yaw.cos()[:, None, None], yaw.sin()[:, None, None]
    ahead, aside = contours.unbind(-1)
    corners = torch.stack([ahead * cos - aside * sin, ahead * sin + aside * cos], -1) + xy[:, None, None]
    centre, front = corners.mean(2), corners[..., 0, :] - corners[..., 3, :]
    return centre[..., 0], centre[..., 1], torch.atan2(front[..., 1], front[..., 0])


def rollout_rows(agents: AgentBatch, num: int) -> Tensor:
    """Which agent each row of ``agents.repeat(num)`` is."""
    group: NDArray[np.int64] = agents.group.cpu().numpy()
    found = [np.tile(np.flatnonzero(group == g), num) for g in range(int(group.max()) + 1)]
    return torch.from_numpy(np.concatenate(found)).to(agents.group.device)
