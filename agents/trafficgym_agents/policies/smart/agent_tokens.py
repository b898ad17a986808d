"""From the log to motion tokens: at each half second the one that leads nearest to the log."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from trafficgym_agents.policies.smart.config import NUM_TOKENS, STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.matching import (
    Float,
    Int,
    MotionEnds,
    match_motion,
    nearest_motions,
    recovery_tokens,
)
from trafficgym_agents.policies.smart.noise import NO_NOISE, TokenNoise
from trafficgym_agents.policies.smart.preprocess import AgentLog, Bool
from trafficgym_agents.policies.smart.tokens import AgentTokens


def agent_tokens(
    log: AgentLog, ends: MotionEnds, *, learns: Bool, noise: TokenNoise = NO_NOISE, rng: Generator | None = None
) -> AgentTokens:
    """Tokenise a log (METHODS.md A.3).

    A token starts where the one before led, not where the log is, so that what each misses does not add up. Where the
    log lacks the start or the end of a slot there is no token, and the next one starts from the log again.

    Args:
        log: A agents, cleaned up and continued backwards.
        ends: Of the vocabulary.
        learns: Who carries loss, ``[A]``.
        noise: How tokens are drawn.
        rng: For that.
    """
    xy, yaw = log.xyz[..., :2], log.yaw
    boundary = slice(STEPS_PER_TOKEN, None, STEPS_PER_TOKEN)
    raw_valid = log.valid[:, boundary]
    valid = raw_valid & log.valid[:, :-1:STEPS_PER_TOKEN]
    token, target = np.zeros((2, len(log), NUM_TOKENS), np.int64)
    at_xy, at_yaw = np.zeros((len(log), NUM_TOKENS, 2), np.float32), np.zeros((len(log), NUM_TOKENS), np.float32)
    here_xy, here_yaw = xy[:, 0], yaw[:, 0]
    for q in range(NUM_TOKENS):
        to_xy, to_yaw = xy[:, STEPS_PER_TOKEN * (q + 1)], yaw[:, STEPS_PER_TOKEN * (q + 1)]
        way = (log.type, here_xy, here_yaw, to_xy, to_yaw)
        there = valid[:, q]
        found = _next(ends, way, noise, rng)
        wanted = found if noise.target == "executed" else recovery_tokens(ends, *way)
        led_xy, led_yaw = ends.place(log.type, found, here_xy, here_yaw)
        token[there, q], target[there, q] = found[there], wanted[there]
        at_xy[there, q], at_yaw[there, q] = led_xy[there], led_yaw[there]
        here_xy, here_yaw = np.where(there[:, None], led_xy, to_xy), np.where(there, led_yaw, to_yaw)
    return AgentTokens(
        track=log.track,
        type=log.type,
        size=log.size,
        role=log.role,
        z=log.z,
        token=token,
        xy=at_xy,
        yaw=at_yaw,
        valid=valid,
        raw_xy=xy[:, boundary].copy(),
        raw_yaw=yaw[:, boundary].copy(),
        raw_valid=raw_valid.copy(),
        path=np.concatenate([xy, yaw[..., None]], -1),
        path_valid=log.valid,
        learns=learns,
        target=target,
    )


def _next(
    ends: MotionEnds, way: tuple[Int, Float, Float, Float, Float], noise: TokenNoise, rng: Generator | None
) -> Int:
    if noise.nearest == 1 or rng is None:
        return match_motion(ends, *way)
    token, distance = nearest_motions(ends, *way, noise.nearest)
    return token[np.arange(len(token)), noise.draw(distance, rng)]
