"""Policies with dynamics of their own: what they decide on is played 0.1 s by 0.1 s, whatever the pace of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ActionError
from trafficgym.world.controllers import Policy, own_dynamics
from trafficgym.world.dynamics import Body, Dynamics, Motion

if TYPE_CHECKING:
    from trafficgym.world.world import World

Bool = NDArray[np.bool_]


def ask(policy: Policy, world: World, mask: Bool, dynamics: Dynamics) -> NDArray[np.float32]:
    """The actions of a policy for the slots of `mask`, float32 ``[M, action_size]``.

    Raises:
        ActionError: wrong shape, or not finite.
    """
    given, shape = np.asarray(policy.act(world, mask)), (*mask.shape, dynamics.action_size)
    if given.shape != shape or not np.isfinite(given[mask]).all():
        raise ActionError(f"policy {policy.name!r} must give finite actions of shape {shape}, got {given}")
    return given[mask].astype(np.float32)


class Plans:
    """Motions that policies with dynamics of their own have decided on.

    Each of them is asked at the start of the episode of a world, and whenever its last decision there is over.

    Args:
        policies: Those of the world.
        num_worlds: B.
        num_slots: N.

    Attributes:
        table: Fields of `Motion` after each 0.1 s of the longest decision, float32 ``[K, B, N, 6]``.
    """

    def __init__(self, policies: list[Policy], num_worlds: int, num_slots: int) -> None:
        self.policies = policies
        self.table = np.zeros((self._longest(), num_worlds, num_slots, len(Motion._fields)), np.float32)

    @property
    def has_room(self) -> bool:
        """Whether the decisions of all policies fit; the world's list may have grown."""
        return self._longest() <= len(self.table)

    def play(self, world: World, running: Bool, motion: Motion) -> Motion:
        """Ask the policies whose time it is; return `motion`, ``[B, D]``, with the next 0.1 s of those slots in it."""
        fields = None
        for index, policy in enumerate(self.policies):
            dynamics = own_dynamics(policy)
            if dynamics is None:
                continue
            fields = np.array(motion) if fields is None else fields
            mask = (world.policy_index == index) & running[:, None]
            phase = (world.step_index - world.start_step) % dynamics.steps_per_action
            self._decide(policy, dynamics, world, mask & (phase == 0)[:, None])
            b, n = np.nonzero(mask)
            fields[:, b, n] = self.table[phase[b], b, n].T
        return motion if fields is None else Motion(*fields)

    def _decide(self, policy: Policy, dynamics: Dynamics, world: World, due: Bool) -> None:
        if not due.any():
            return
        actions, state = ask(policy, world, due, dynamics), world.state
        motion = Motion(*(getattr(state, name)[due] for name in Motion._fields))
        for k, after in enumerate(dynamics.step(motion, actions, Body(state.length[due], state.type[due]))):
            self.table[k, due] = np.stack(after, axis=-1)

    def _longest(self) -> int:
        """Steps of the longest decision, 0 where no policy has dynamics of its own."""
        own = (own_dynamics(policy) for policy in self.policies)
        return max((dynamics.steps_per_action for dynamics in own if dynamics is not None), default=0)
