"""A SMART network that drives agents of worlds, half a second at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType
from trafficgym.world.dynamics.motion_tokens import MotionTokens
from trafficgym.world.world import World
from trafficgym_agents.policies.smart.checkpoint import load_smart
from trafficgym_agents.policies.smart.decoding import TABLE_ROWS
from trafficgym_agents.policies.smart.following import Episode, Follower, slices
from trafficgym_agents.policies.smart.known_scenes import KnownScenes
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.vocabulary import CLASSES
from trafficgym_agents.policies.smart.world_goals import Goals, GoalSource, goals_of

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Tensor = Any


class SmartPolicy:
    """Drives by the tokens of a network: a `trafficgym.world.controllers.Policy` with dynamics of its own.

    At the beginning of an episode the network reads the second before from the log. Then, every half second, it takes
    in how everybody moved, whoever drove them: the token that leads nearest from where an agent was to where it is, and
    where that is. Its own tokens it so finds again. Traffic lights stay for it as they were at the beginning. Tracks
    without tokens ("other" in WOMD) it does not see; those that it has to drive go straight on, as vehicles' tokens
    allow (`Follower.straight_on`).

    The tokens of a world depend on its scene, its states and its generator alone, save where the last bits of matrix
    products, which depend on how many worlds are driven together, decide between two that are as likely.

    Learners whose agents are external in a world with the same tokens get from `actions` what it would do.

    Args:
        network: Its weights may change, in place, between episodes.
        sampling: How tokens are drawn, with numbers from each world's own generator.
        name: What it is called in results.
        sees_newcomers: Whether it sees agents of the log that appear after the beginning. They are in the way of those
            it drives, but also tell of the log's future: rollouts without a world, and the Sim Agents challenge, do
            without them.
        goals: Where the agents that it drives are to go, if the network takes goals (`SmartConfig.goal`): ``"none"``,
            ``"world"`` (where their logs end, of those whose logs go anywhere), or a function that is asked at each
            decision. `act` and `actions` take others for agents by name. Goals may be others at each decision.
        table_rows: See `SmartNetwork.forward`.

    Attributes:
        dynamics: The motion tokens of the network's vocabulary.
    """

    def __init__(
        self,
        network: SmartNetwork,
        sampling: Sampling | None = None,
        *,
        name: str = "smart",
        sees_newcomers: bool = True,
        goals: GoalSource = "none",
        table_rows: int = TABLE_ROWS,
    ) -> None:
        if isinstance(goals, str) and goals not in ("none", "world"):
            raise ConfigError(f"policy {name!r}: goals are {goals!r}; give 'none', 'world', or a function of the world")
        self.network, self.sampling, self.name = network, sampling or Sampling(), name
        self.goals = goals
        if goals != "none":
            self._check_takes_goals()
        self.dynamics: MotionTokens = network.vocabulary.dynamics()
        tokenizer = Tokenizer(network.vocabulary, frame="source" if network.config.zero_fill_quirk else "scene")
        self._follower = Follower(KnownScenes(network, tokenizer, table_rows), sees_newcomers)
        self._learners: WeakKeyDictionary[World, dict[int, Episode]] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be copied. What drives in a world is remembered there, and copied with it.
        return {name: value for name, value in vars(self).items() if name != "_learners"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._learners = WeakKeyDictionary()

    @classmethod
    def load(
        cls, path: Path | str, sampling: Sampling | None = None, *, name: str = "smart", goals: GoalSource = "none"
    ) -> SmartPolicy:
        """The policy of a checkpoint; see `load_smart`.

        Raises:
            ConfigError: there is no such file, or it is of no use.
        """
        return cls(load_smart(path)[0], sampling, name=name, goals=goals)

    @property
    def is_random(self) -> bool:
        """Whether other seeds give other tokens."""
        return self.sampling.top_k != 1

    @property
    def takes_goals(self) -> bool:
        """Whether goals can be given to it."""
        return self.network.config.goal is not None

    def actions(
        self, world: World, num_agents: int | None = None, *, goals: Goals | Sequence[Goals] | None = None
    ) -> Int:
        """What the external agents of a world would do; to be asked at each of their decisions.

        Args:
            world: One whose dynamics are `dynamics`, such as ``env.world`` of a vector environment.
            num_agents: A, such as ``env.num_agents``; default `World.num_agents`.
            goals: Of some agents, for this decision: ``{"agent_0": (x, y)}`` in metres in the scene frame; with more
                than one world, a list with such a mapping for each.

        Returns:
            Numbers of tokens, int64 ``[B, A, 1]``; 0 for agents that are not alive.

        Raises:
            ConfigError: the world has other dynamics, a goal is of no use (`goals_of`), or see `act`.
        """
        given, num = world.dynamics, world.num_agents
        if not isinstance(given, MotionTokens) or not all(
            np.array_equal(getattr(given, name), getattr(self.dynamics, name)) for name in CLASSES
        ):
            raise ConfigError(
                f"policy {self.name!r} decides on tokens of its own vocabulary, and the world's dynamics, "
                f"{type(given).__name__}, have other actions; make it with dynamics=policy.dynamics"
            )
        mask = world.alive.copy()
        mask[:, num:] = False
        mine = np.zeros_like(mask)
        mine[:, :num] = world.agents
        where = self._goals(world, goals, mine)
        found = self._act(world, mask, self._learners.setdefault(world, {}), where)
        found = np.where(mask[..., None], found, 0)[:, :num].astype(np.int64)
        return np.pad(found, ((0, 0), (0, num_agents - num if num_agents is not None else 0), (0, 0)))

    def act(self, world: World, mask: Bool, goals: Goals | Sequence[Goals] | None = None) -> Float:
        """Numbers of tokens; see `trafficgym.world.controllers.Policy.act`, and `actions` for goals.

        Raises:
            SceneError: an episode begins without a vehicle, pedestrian or cyclist.
            ConfigError: it has not been asked from the beginning of an episode on, every half second, the network is
                broken or takes no goals, or a goal is of no use (`goals_of`).
        """
        episodes = world.memory_of(self).setdefault("episodes", {})
        mine = world.policy_index == world.policies.index(self)
        return self._act(world, mask, episodes, self._goals(world, goals, mine))

    def _goals(self, world: World, given: Goals | Sequence[Goals] | None, mine: Bool) -> Float | None:
        if given is not None:
            self._check_takes_goals()
        return goals_of(self.goals, world, given, mine, self.name)

    def _check_takes_goals(self) -> None:
        if not self.takes_goals:
            raise ConfigError(
                f"policy {self.name!r}: its network takes no goals; make one that does of it with "
                'conditioned(network, "indication"), and train that'
            )

    @torch.no_grad()
    def _act(self, world: World, mask: Bool, episodes: dict[int, Episode], goals: Float | None) -> Float:
        actions = np.zeros((*mask.shape, 1), np.float32)
        due = np.flatnonzero(mask.any(1)).tolist()
        was_training = self.network.training
        if was_training:
            self.network.eval()
        try:
            for worlds, logits in self._follower.follow(world, due, episodes, goals) if due else ():
                known = [episodes[b] for b in worlds]
                slots = [episode.slot for episode in known]
                where = np.repeat(worlds, [len(slot) for slot in slots]), np.concatenate(slots)
                actions[(*where, 0)] = self._drawn(logits, known, [world.rng[b] for b in worlds])
        finally:
            if was_training:
                self.network.train()
        others = mask & ((world.state.type < AgentType.VEHICLE) | (world.state.type > AgentType.CYCLIST))
        for b in np.flatnonzero(others.any(1)).tolist():
            slot = np.flatnonzero(others[b])
            actions[b, slot, 0] = self._follower.straight_on(world, b, slot)
        return actions

    def _drawn(self, logits: Tensor, episodes: list[Episode], rngs: list[np.random.Generator]) -> Int:
        """Tokens of the agents of episodes, int64 ``[N]``."""
        if bool(logits.sum().isnan()):  # those that are -inf are of no token
            raise ConfigError(f"policy {self.name!r}: the network gives NaN; its weights are broken, train it again")
        if not self.is_random:
            return logits.argmax(-1).cpu().numpy()
        uniform = np.zeros((len(logits), 1), np.float32)
        for rows, episode, rng in zip(slices([len(e) for e in episodes]), episodes, rngs, strict=True):
            # Agents that appeared later drive by their logs. So many numbers as `decoding.roll_out` takes.
            uniform[rows][: episode.num_first] = rng.random((episode.num_first, 1), np.float32)
        drawn = self.sampling.draw(logits, torch.from_numpy(uniform).to(logits.device))
        return drawn[:, 0].cpu().numpy()
