"""From a network that takes no goals to one that does."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.network import SmartNetwork


def conditioned(network: SmartNetwork, kind: Literal["concatenation", "indication"], *, seed: int = 0) -> SmartNetwork:
    """A copy of a network that takes goals, to be trained further.

    What it adds begins at zero: until it is trained, the copy predicts with goals what the network predicts. Where
    nobody has a goal, only weights that both have count.

    Args:
        network: One without goals; it stays as it is.
        kind: See `SmartConfig.goal`.
        seed: Of the weights before those that begin at zero.

    Raises:
        ConfigError: the network takes goals already.
    """
    if network.config.goal is not None:
        raise ConfigError(f"the network takes goals already, by {network.config.goal}; give one that takes none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copy = SmartNetwork(replace(network.config, goal=kind), network.vocabulary)
    copy.load_state_dict(network.state_dict(), strict=False)
    return copy.to(network.sizes.device).train(network.training)
