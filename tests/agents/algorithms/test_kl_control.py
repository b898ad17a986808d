"""The leash gets shorter and longer, and the reference follows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trafficgym.errors import ConfigError
from trafficgym_agents.algorithms.kl_control import KlControl, Leash


def test_the_coefficient_adapts_within_limits() -> None:
    """Errors are clipped to a fifth, and divided by the horizon of 5."""
    leash = Leash(nn.Linear(1, 1), KlControl(coefficient=1.0, target=0.01, most=1.12, least=0.9))
    for kl, want in ((0.011, 1.02), (1.0, 1.02 * 1.04), (1.0, 1.02 * 1.04**2), (1.0, 1.12), (0.0, 1.12 * 0.96)):
        leash.follow(nn.Linear(1, 1), kl)
        assert leash.coefficient == pytest.approx(want)
    for _ in range(20):
        leash.follow(nn.Linear(1, 1), 0.0)
    assert leash.coefficient == 0.9


def test_the_reference_follows_now_and_then() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    leash = Leash(network, KlControl(sync_every=2, sync_rate=0.25, target=None))
    nn.init.ones_(network.weight)
    found = []
    for _ in range(4):
        leash.follow(network, 9.0)
        found.append(leash.reference.weight.item())
    assert found == [0.0, 0.25, 0.25, 0.4375]
    assert leash.coefficient == 0.01 and not leash.reference.weight.requires_grad
    other = Leash(network, leash.control)
    other.load_state_dict(leash.state_dict())
    assert other.updates == 4 and torch.equal(other.reference.weight, leash.reference.weight)


@pytest.mark.parametrize("options", [{"coefficient": -1}, {"target": 0}, {"horizon": 0}, {"least": 2, "most": 1}])
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        KlControl(**options)  # type: ignore[arg-type]
