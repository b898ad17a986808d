"""How a live policy follows worlds: the history of those that begin, and what everybody did since the last decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac.log import in_source
from trafficgym.scene.scene import AgentType
from trafficgym.world.state import DT, LENGTH, PRESENT, VX, VY, YAW, X, Y
from trafficgym.world.world import World
from trafficgym_agents.policies.smart.config import FUTURE_STEPS, HISTORY_TOKENS, STEPS_PER_TOKEN, TOKEN_S
from trafficgym_agents.policies.smart.known_scenes import Beginning, KnownScenes, Stage
from trafficgym_agents.policies.smart.matching import match_motion
from trafficgym_agents.policies.smart.past import Past, crowd
from trafficgym_agents.policies.smart.polylines import source_origin

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """What a policy knows of a world up to its last decision there: n agents, those of the beginning first."""

    beginning: Beginning
    step: int  # scene step of the decision
    slot: Int  # (n,) of the world
    type: Int  # (n,) 0 vehicle, 1 pedestrian, 2 cyclist
    size: Float  # (n, 3) m
    num_first: int  # agents that were there at the beginning
    goal: Float  # (n, 2) m, in the frame of the network; NaN where there is none
    since: Int  # (n,) scene step at which it was first given
    past: Past

    def __len__(self) -> int:
        return len(self.slot)


class Moves(NamedTuple):
    """Half a second of n agents; where `valid` is False, the rest is 0."""

    token: Int  # (n,)
    xy: Float  # (n, 2) m, where they are at its end, in the frame of the network
    yaw: Float  # (n,) rad
    valid: Bool  # (n,)

    def tensors(self, device: Any) -> list[Tensor]:
        """As a decoder takes them."""
        return [torch.from_numpy(values).to(device) for values in self]


class States(NamedTuple):
    """Where n slots are."""

    xy: Float  # (n, 2) m, in the frame of the network
    yaw: Float  # (n,) rad
    velocity: Float  # (n, 2) m/s
    present: Bool  # (n,)


class Follower:
    """Takes in what happens in worlds.

    Args:
        known: Scenes, and the decoders for them.
        sees_newcomers: See `trafficgym_agents.policies.smart.policy.SmartPolicy`.
    """

    def __init__(self, known: KnownScenes, sees_newcomers: bool) -> None:
        self.known, self.tokenizer, self.sees_newcomers = known, known.tokenizer, sees_newcomers

    def follow(
        self, world: World, due: Sequence[int], episodes: dict[int, Episode], goals: Float | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Take in what happened in the worlds `due`.

        Args:
            world: The worlds.
            due: Those that decide now.
            episodes: Of each world that has been followed; brought up to date.
            goals: Where slots are to go, ``[B, N, 2]`` m in the scene frame, NaN where nowhere; None: nobody.

        Yields:
            Worlds, and logits of the next token of their episodes' agents, ``[N, V]``, world after world.

        Raises:
            SceneError: an episode begins without a vehicle, pedestrian or cyclist.
            ConfigError: the last decision in a world was not half a second ago.
        """
        begun = [b for b in due if world.step_index[b] == world.start_step[b]]
        going = [b for b in due if world.step_index[b] != world.start_step[b]]
        known = [_check(world, b, episodes.get(b)) for b in going]
        in_use = {b: episode.beginning for b, episode in episodes.items()} | {b: Beginning.of(world, b) for b in begun}
        stage = self.known.stage(in_use.values())
        if begun:
            found, logits = self._begin(world, begun, stage, goals)
            episodes.update(zip(begun, found, strict=True))
            yield begun, logits
        if going:
            found, logits = self._go_on(world, going, known, stage, goals)
            episodes.update(zip(going, found, strict=True))
            yield going, logits

    def _begin(
        self, world: World, worlds: Sequence[int], stage: Stage, goals: Float | None
    ) -> tuple[list[Episode], Tensor]:
        """Read the history of worlds whose episodes begin.

        It is the same in all that hold a scene and have the same goals; they go on from it as rollouts of one scene do.

        Returns:
            An episode for each of `worlds`, and the logits of all their agents, ``[N, V]``, world after world.
        """
        heads: dict[tuple[Beginning, bytes], int] = {}
        for b in worlds:
            heads.setdefault(_head(world, b, goals), b)
        agents = [self.known.of(beginning).tokens.agents for beginning, _ in heads]
        slots = [_slots(world, b, a.track) for b, a in zip(heads.values(), agents, strict=True)]
        sizes = [len(slot) for slot in slots]
        number = np.repeat([stage.number[beginning] for beginning, _ in heads], sizes)
        group = np.repeat(np.arange(len(sizes)), sizes)
        goal = self._goals(world, list(heads.values()), slots, goals)
        who = crowd(number, group, _joined(agents, "type"), _joined(agents, "size"), goal, self.known.device)
        stage.decoder.follow(None)
        for q in range(HISTORY_TOKENS):
            moves = Moves(*(_joined(agents, name)[:, q] for name in Moves._fields))
            if q == HISTORY_TOKENS - 1:  # the log's tokens lead near to where they are, and from there they will move
                states = [self._states(world, b, slot) for b, slot in zip(heads.values(), slots, strict=True)]
                moves = moves._replace(xy=_joined(states, "xy"), yaw=_joined(states, "yaw"))
            logits = stage.decoder.advance(who, *moves.tensors(self.known.device))
        past, rows = stage.decoder.past, slices(sizes)
        found = {
            head: Episode(
                beginning=head[0],
                step=head[0].step,
                slot=slot,
                type=a.type,
                size=a.size,
                num_first=len(slot),
                goal=goal[which],
                since=np.full(len(slot), head[0].step),
                past=past.rows(which),
            )
            for head, slot, a, which in zip(heads, slots, agents, rows, strict=True)
        }
        rows_of = dict(zip(heads, rows, strict=True))
        mine = [_head(world, b, goals) for b in worlds]
        return [found[head] for head in mine], torch.cat([logits[rows_of[head]] for head in mine])

    def _go_on(
        self,
        world: World,
        worlds: Sequence[int],
        episodes: Sequence[Episode],
        stage: Stage,
        goals: Float | None,
    ) -> tuple[list[Episode], Tensor]:
        """Take in what happened in worlds since the last decision; returned is the same as from `_begin`."""
        pairs = zip(worlds, episodes, strict=True)
        known = [self._with_newcomers(world, b, episode) for b, episode in pairs]
        sizes = [len(episode) for episode in known]
        number = np.repeat([stage.number[episode.beginning] for episode in known], sizes)
        group = np.repeat(np.arange(len(sizes)), sizes)
        goal, now = self._goals(world, worlds, [episode.slot for episode in known], goals), world.step_index[worlds]
        is_old = (goal == _joined(known, "goal")).all(1)
        since = np.where(is_old, _joined(known, "since"), np.repeat(now, sizes))
        left = np.float32(DT) * (FUTURE_STEPS - (np.repeat(now, sizes) - since)).astype(np.float32)
        who = crowd(number, group, _joined(known, "type"), _joined(known, "size"), goal, self.known.device, left)
        past = Past.join([episode.past for episode in known])
        states = [self._states(world, b, episode.slot) for b, episode in zip(worlds, known, strict=True)]
        moves = self._moves(_joined(known, "type"), past, States(*(_joined(states, name) for name in States._fields)))
        stage.decoder.follow(past)
        logits = stage.decoder.advance(who, *moves.tensors(self.known.device))
        past = stage.decoder.past
        return [
            replace(episode, step=int(step), goal=goal[which], since=since[which], past=past.rows(which))
            for step, episode, which in zip(now, known, slices(sizes), strict=True)
        ], logits

    def _with_newcomers(self, world: World, b: int, episode: Episode) -> Episode:
        """With road users that have appeared since the last decision."""
        if not self.sees_newcomers:
            return episode
        type = world.state.type[b].astype(np.int64) - AgentType.VEHICLE
        is_new = world.state.present[b] & (type >= 0) & (type <= AgentType.CYCLIST - AgentType.VEHICLE)
        is_new[episode.slot] = False
        slot = np.flatnonzero(is_new)
        if not len(slot):
            return episode
        return replace(
            episode,
            slot=np.concatenate([episode.slot, slot]),
            type=np.concatenate([episode.type, type[slot]]),
            size=np.concatenate([episode.size, world.state.table[b, slot, LENGTH : LENGTH + 3]]),
            goal=np.concatenate([episode.goal, np.full((len(slot), 2), np.nan, np.float32)]),
            since=np.concatenate([episode.since, np.full(len(slot), world.step_index[b])]),
            past=Past.join([episode.past, Past.none(self.known.network, len(slot))]),
        )

    def _goals(self, world: World, worlds: Sequence[int], slots: Sequence[Int], goals: Float | None) -> Float:
        """Of slots of worlds in the frame of the network, ``[n, 2]`` m; NaN where there is none."""
        if goals is None:
            return np.full((sum(len(slot) for slot in slots), 2), np.nan, np.float32)
        origins = (source_origin(world.scenes[b], self.tokenizer.frame)[:2] for b in worlds)
        parts = zip(worlds, slots, origins, strict=True)
        return np.concatenate([in_source(goals[b, slot], origin) for b, slot, origin in parts])

    def _states(self, world: World, b: int, slot: Int) -> States:
        table, origin = world.state.table[b, slot], source_origin(world.scenes[b], self.tokenizer.frame)
        xy, velocity = in_source(table[:, (X, Y)], origin[:2]), table[:, (VX, VY)]
        return States(xy, table[:, YAW], velocity, table[:, PRESENT] != 0)

    def _moves(self, type: Int, past: Past, now: States) -> Moves:
        """The tokens that lead nearest from where everybody was to where they are.

        Of those who were not there, a half second before is thought of, at constant velocity, as of tracks that begin.
        """
        poses, was = past.last
        from_xy = np.where(was[:, None], poses[:, :2], now.xy - np.float32(TOKEN_S) * now.velocity)
        from_yaw = np.where(was, poses[:, 2], now.yaw)
        token = match_motion(self.tokenizer.ends, type, from_xy, from_yaw, now.xy, now.yaw)
        there = now.present
        return Moves(np.where(there, token, 0), np.where(there[:, None], now.xy, 0), np.where(there, now.yaw, 0), there)

    def straight_on(self, world: World, b: int, slot: Int) -> Int:
        """Vehicle tokens that keep slots of world b to a straight line.

        They lead nearest to where a slot would be half a second later, had it gone on from the beginning as it moved
        there in its log, so that what each token misses does not add up.
        """
        tracks, track, start = world.scenes[b].tracks, world.track[b, slot], world.start_step[b]
        seconds = (world.step_index[b] - start) * np.float32(DT) + np.float32(TOKEN_S)
        x, y, yaw, vx, vy = (getattr(tracks, name)[track, start] for name in ("x", "y", "yaw", "vx", "vy"))
        to_xy = np.stack([x + vx * seconds, y + vy * seconds], -1)
        here = world.state.table[b, slot]
        return match_motion(
            self.tokenizer.ends, np.zeros(len(slot), np.int64), here[:, (X, Y)], here[:, YAW], to_xy, yaw
        )


def _head(world: World, b: int, goals: Float | None) -> tuple[Beginning, bytes]:
    return Beginning.of(world, b), b"" if goals is None else goals[b].tobytes()


def _check(world: World, b: int, episode: Episode | None) -> Episode:
    now = int(world.step_index[b])
    if episode is None or episode.beginning != Beginning.of(world, b) or episode.step != now - STEPS_PER_TOKEN:
        last = "never" if episode is None else f"last at step {episode.step}"
        raise ConfigError(
            f"world {b} is at step {now} of scene {world.scenes[b].id!r}, which began at step {world.start_step[b]}, "
            f"and the policy was {last} asked; it must be asked from the beginning of an episode on, every "
            f"{STEPS_PER_TOKEN} steps (and a copy of a world knows only the policies that are among its drivers)"
        )
    return episode


def _slots(world: World, b: int, track: NDArray[np.int32]) -> Int:
    """Slots of tracks that are there at the start of an episode."""
    slot = np.full(world.scenes[b].num_agents, -1, np.int64)
    there = world.track[b] >= 0
    slot[world.track[b, there]] = np.flatnonzero(there)
    return slot[track]


def _joined(parts: Sequence[Any], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(part, name) for part in parts])


def slices(sizes: Sequence[int]) -> list[slice]:
    """Where parts of these sizes lie, one after the other."""
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
