"""Rollouts of scenes as the metric and the rewards want them: the fast path, without a world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.metrics.wosac import fill_gaps
from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import FUTURE_STEPS, HISTORY_TOKENS
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS, Choose, roll_out
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.tokens import SceneTokens

Float = NDArray[np.float32]


def simulate(
    network: SmartNetwork,
    scenes: Sequence[Scene],
    tokens: Sequence[SceneTokens],
    choose: Choose,
    *,
    num: int = 32,
    seed: int = 0,
    goals: Sequence[NDArray[np.floating]] | None = None,
    table_rows: int = TABLE_ROWS,
) -> Iterator[Float]:
    """Roll scenes out, one after the other.

    They go as in a world whose generators are those of `rollout_rng`: from where the log is "now", and not from where
    its tokens lead, as networks do that reproduce the reference (`SmartConfig.zero_fill_quirk`).

    Args:
        network: The network.
        scenes: The scenes.
        tokens: Of each scene; in the source's coordinates where the network reads those.
        choose: Picks tokens, such as `Sampling`.
        num: R, of each scene.
        seed: Decides everything random; a scene's rollouts do not depend on the others.
        goals: Of all tracks of each scene, ``[A, 2]`` m in its frame, NaN where there is none; None: nobody has one.
        table_rows: See `SmartNetwork.forward`.

    Yields:
        x, y, z [m] and yaw [rad] of all tracks in the scene's order and frame, for the 80 steps after "now", float32
        ``[R, A, 80, 4]``; tracks that are not there "now" are 0.
    """
    in_source = network.config.zero_fill_quirk
    for s, (scene, of_scene) in enumerate(zip(scenes, tokens, strict=True)):
        rngs = [rollout_rng(seed, scene, rollout) for rollout in range(num)]
        batch = Batch.of([of_scene], device=str(network.sizes.device))
        if goals is not None:
            goal = goals_of_tracks([of_scene], [goals[s] + scene.origin[:2] if in_source else goals[s]])
            batch = batch.with_goals(goal)
        if not in_source:
            batch = from_the_log(batch)
        rollouts = roll_out(network, batch, choose, num=num, rngs=rngs, table_rows=table_rows)
        yield as_tracks(scene, of_scene, rollouts.steps, in_source=in_source)


def goals_of_tracks(tokens: Sequence[SceneTokens], goals: Sequence[NDArray[np.floating]]) -> torch.Tensor:
    """Goals for `Batch.with_goals`, of those for the tracks of scenes.

    Args:
        tokens: The scenes of the batch, in its order.
        goals: Of each scene, ``[A, 2]`` m in the frame of the tokens, NaN where a track has none.

    Returns:
        float32 ``[N, 2]``, of the agents of the batch before they are repeated.
    """
    parts = [np.asarray(own, np.float32)[scene.agents.track] for scene, own in zip(tokens, goals, strict=True)]
    return torch.from_numpy(np.concatenate(parts))


def from_the_log(batch: Batch) -> Batch:
    """The scenes with all agents where the log is "now"."""
    agents, now = batch.agents, HISTORY_TOKENS - 1
    here = agents.raw_valid[:, now]
    xy = torch.where(here[:, None], agents.raw_xy[:, now], agents.xy[:, now])
    yaw = torch.where(here, agents.raw_yaw[:, now], agents.yaw[:, now])
    return replace(batch, agents=agents.moved_to(now, xy, yaw))


def rollout_rng(seed: int, scene: Scene, number: int) -> np.random.Generator:
    """The generator of a scene's rollout."""
    return np.random.default_rng([seed, number, *scene.id.encode()])


def as_tracks(scene: Scene, tokens: SceneTokens, steps: torch.Tensor, *, in_source: bool = False) -> Float:
    """Steps of R rollouts' agents, ``[R N, 80, 3]``, as tracks of the scene, ``[R, A, 80, 4]``; see `simulate`.

    Tracks without tokens ("other" in WOMD) go on at constant velocity. Steps may be `in_source`'s coordinates.
    """
    agents = tokens.agents
    own = steps.cpu().numpy().reshape(-1, len(agents), FUTURE_STEPS, 3)
    found = np.broadcast_to(_straight_on(scene), (len(own), scene.num_agents, FUTURE_STEPS, 4)).copy()
    z = np.broadcast_to(agents.z[:, None, None], (*own.shape[:-1], 1))
    origin = np.append(scene.origin, 0.0) if in_source else 0.0
    found[:, agents.track] = np.concatenate([own[..., :2], z, own[..., 2:]], -1) - origin
    return found


def _straight_on(scene: Scene) -> Float:
    """Everybody who is there "now" at constant velocity, float32 ``[A, 80, 4]``; 0 for others."""
    tracks, now = scene.tracks, scene.current_step
    state = np.stack([getattr(tracks, name)[:, now] for name in ("x", "y", "z", "yaw", "vx", "vy")], -1)
    motion = np.zeros((scene.num_agents, FUTURE_STEPS + 1, 6), np.float32)
    motion[:, 0] = np.where(tracks.valid[:, now, None], state, 0)
    present = np.zeros(motion.shape[:2], bool)
    present[:, 0] = True
    return np.asarray(fill_gaps(motion, present)[:, 1:, :4], np.float32)
