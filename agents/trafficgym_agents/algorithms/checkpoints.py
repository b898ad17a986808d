"""Checkpoints of any policy that can be fine-tuned."""

from __future__ import annotations

from pathlib import Path

from trafficgym.errors import ConfigError
from trafficgym_agents.algorithms.actors import Actor, PlanActor, TokenActor
from trafficgym_agents.policies.smart import checkpoint as smart
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.trajectory import checkpoint as trajectory
from trafficgym_agents.policies.trajectory.decoding import PlanSampling
from trafficgym_agents.training.checkpoint import Card, read_card


def load_actor(path: Path | str, sampling: Sampling) -> tuple[Actor, Card]:
    """The actor of a checkpoint, by what its card says that it is.

    Args:
        path: Of the file, or the name of a shipped one.
        sampling: How tokens are drawn; of continuous actions the temperature counts.

    Raises:
        ConfigError: there is no such file, it is damaged, or of no policy.
    """
    if str(path) not in smart.SHIPPED and Path(path).is_file() and read_card(path).kind == trajectory.KIND:
        plans, card = trajectory.load_trajectory(path)
        return PlanActor(network=plans, sampling=PlanSampling(temperature=sampling.temperature)), card
    tokens, card = smart.load_smart(path)
    return TokenActor(network=tokens, sampling=sampling), card


def save_actor(path: Path | str, actor: Actor, card: Card) -> Card:
    """Write an actor's network; see `save_smart`.

    Raises:
        ConfigError: a weight is not finite, or there is no file format for such an actor.
    """
    if isinstance(actor, TokenActor):
        return smart.save_smart(path, actor.network, card)
    if isinstance(actor, PlanActor):
        return trajectory.save_trajectory(path, actor.network, card)
    raise ConfigError(f"{path}: is not written: {type(actor).__name__} has no checkpoints; save its network yourself")
