"""Label smoothing, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.agents.smart.generated_tokens import small_network
from trafficgym.errors import ConfigError
from trafficgym_agents.algorithms.cross_entropy import NO_SMOOTHING, Smoothing, cross_entropy, nearness
from trafficgym_agents.policies.smart.network import SmartNetwork

Tensor = Any

VEHICLE, PEDESTRIAN, CYCLIST = range(3)
SIZES = 5, 2, 3  # of the small vocabulary


@pytest.fixture(scope="module")
def network() -> SmartNetwork:
    return small_network()


def logits_of(type: Tensor) -> Tensor:
    """Random ones, -inf beyond the class's tokens."""
    logits = 3 * torch.randn((len(type), max(SIZES)), generator=torch.Generator().manual_seed(0))
    beyond = torch.arange(max(SIZES)) >= torch.tensor(SIZES)[type][:, None]
    return logits.masked_fill(beyond, -torch.inf).requires_grad_()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_plain_is_torch_s(network: SmartNetwork, share: float) -> None:
    """Within each class, as if there were no other tokens; so are gradients."""
    type, targets = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([4, 0, 1, 2, 0])
    logits = logits_of(type)
    found = cross_entropy(network, logits, targets, type, Smoothing(share=share, kind="plain"))
    own = [row[: SIZES[code]] for row, code in zip(logits, type, strict=True)]
    want = torch.stack(
        [functional.cross_entropy(row, goal, label_smoothing=share) for row, goal in zip(own, targets, strict=True)]
    )
    torch.testing.assert_close(found, want)
    gradients = [torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in (found, want)]
    torch.testing.assert_close(*gradients)


def test_spatial_by_hand(network: SmartNetwork) -> None:
    """Cyclists' tokens end 0, 2 and 2.5 m ahead: seen from the second, 1 / d^2 is 1/4 and 4, shares 1/17 and 16/17."""
    type, targets = torch.tensor([CYCLIST]), torch.tensor([1])
    weights = nearness(network, type, targets)
    torch.testing.assert_close(weights, torch.tensor([[1 / 17, 0.0, 16 / 17, 0.0, 0.0]]))
    probability = torch.tensor([[0.5, 0.25, 0.25]])
    logits = torch.cat([probability.log(), torch.full((1, 2), -torch.inf)], 1)
    found = cross_entropy(network, logits, targets, type, Smoothing(share=0.1, kind="spatial"))
    log_2 = torch.tensor(2.0).log()
    torch.testing.assert_close(found, (0.9 * 2 + 0.1 * (1 / 17 * 1 + 16 / 17 * 2)) * log_2[None])


def test_distance_is_that_of_corners(network: SmartNetwork) -> None:
    """Vehicles' last two tokens are mirror images: a corner's way between them is 2 |y|, by hand for each."""
    yaw = torch.tensor(0.4)
    x, y = torch.tensor([2.4, 2.4, -2.4, -2.4]), torch.tensor([1.0, -1.0, -1.0, 1.0])
    left = torch.stack([4.5 + x * yaw.cos() - y * yaw.sin(), 1 + x * yaw.sin() + y * yaw.cos()], -1)
    right = torch.stack([4.5 + x * yaw.cos() + y * yaw.sin(), -1 - x * yaw.sin() + y * yaw.cos()], -1)
    straight = torch.stack([4 + x, y], -1)
    d_right, d_straight = (left - right).norm(dim=-1).mean(), (left - straight).norm(dim=-1).mean()
    weights = nearness(network, torch.tensor([VEHICLE]), torch.tensor([3]))[0]
    torch.testing.assert_close(weights[1] / weights[4], (d_right / d_straight) ** 2)
    assert float(weights.sum()) == pytest.approx(1)


def test_the_only_other_token_takes_all(network: SmartNetwork) -> None:
    """Pedestrians have two tokens: spatial smoothing is known without any distance."""
    type, targets = torch.tensor([PEDESTRIAN, PEDESTRIAN]), torch.tensor([0, 1])
    torch.testing.assert_close(nearness(network, type, targets)[:, :2], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize("kind", ["plain", "spatial"])
def test_loss_is_least_at_the_smoothed_label(network: SmartNetwork, kind: Any) -> None:
    """The gradient by logits is what the policy says minus the label, which is a distribution."""
    type, targets = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])
    logits = logits_of(type)
    loss = cross_entropy(network, logits, targets, type, Smoothing(share=0.2, kind=kind))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    label = logits.softmax(-1).detach() - gradient
    torch.testing.assert_close(label.sum(-1), torch.ones(3))
    assert (label >= -1e-6).all()
    least = 0.8 + (0.2 / torch.tensor([5.0, 2.0, 3.0]) if kind == "plain" else 0)
    torch.testing.assert_close(label.gather(1, targets[:, None])[:, 0], least * torch.ones(3))


def test_without_smoothing(network: SmartNetwork) -> None:
    type, targets = torch.tensor([0, 2]), torch.tensor([3, 1])
    logits = logits_of(type)
    want = -logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(cross_entropy(network, logits, targets, type), want)
    assert NO_SMOOTHING.share == 0


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"share": 1.0}, "share is 1.0"),
        ({"share": -0.1}, "share is -0.1"),
        ({"kind": "soft"}, "'plain' or 'spatial'"),
        ({"shares": 0.1}, "did you mean 'share'"),
    ],
)
def test_bad_settings(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        Smoothing(**options)
