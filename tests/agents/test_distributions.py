"""Distributions over actions have the probabilities that other libraries, and pencil and paper, give them."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal, kl_divergence

from trafficgym_agents.policies.distributions import Gaussian
from trafficgym_agents.policies.smart.sampling import Sampling


def gaussian(seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn((6, 4, 3), generator=generator)
    return Gaussian(mean=mean, sigma=torch.rand((6, 4, 3), generator=generator) + 0.1)


def test_gaussian_as_torch_has_it() -> None:
    one, other = gaussian(0), gaussian(1)
    known, reference = Normal(one.mean, one.sigma), Normal(other.mean, other.sigma)
    action = other.mode
    torch.testing.assert_close(one.log_prob(action), known.log_prob(action).sum((1, 2)))
    torch.testing.assert_close(one.entropy(), known.entropy().sum((1, 2)))
    torch.testing.assert_close(one.kl(other), kl_divergence(known, reference).sum((1, 2)))
    torch.testing.assert_close(one[:, 0].log_prob(action[:, 0]), known.log_prob(action)[:, 0].sum(-1))


def test_gaussian_samples_are_quantiles() -> None:
    one = gaussian(0)
    uniform = torch.tensor([0.5, 0.8413447, 0.0, 1 - 2.0**-24]).repeat_interleave(one.num_draws).repeat(len(one), 1)
    drawn = one.sample(uniform)
    assert drawn.shape == (6, 4, 4, 3) and drawn.isfinite().all()
    torch.testing.assert_close(drawn[:, 0], one.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(drawn[:, 1], one.mean + one.sigma, rtol=0, atol=1e-5)
    warm = one.tempered(4.0).sample(uniform)
    torch.testing.assert_close(warm - one.mean[:, None], 2 * (drawn - one.mean[:, None]), rtol=1e-4, atol=1e-5)


def test_tokens_by_hand() -> None:
    """Of 0.1, 0.4, 0.2 and 0.3 the two likeliest have 4/7 and 3/7."""
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    found = Sampling(top_k=2).distribution(logits)
    assert found.mode.tolist() == [1] and found.num_draws == 1
    assert math.isclose(found.log_prob(torch.tensor([3])).item(), math.log(3 / 7), rel_tol=1e-6)
    assert found.log_prob(torch.tensor([0])).item() == -math.inf
    entropy = -(4 / 7 * math.log(4 / 7) + 3 / 7 * math.log(3 / 7))
    assert math.isclose(found.entropy().item(), entropy, rel_tol=1e-5)
    assert found.sample(torch.tensor([[0.0, 0.5, 0.6, 0.99]])).tolist() == [[1, 1, 3, 3]]


def test_tokens_differ_from_a_reference_on_what_may_be_drawn() -> None:
    """The reference thinks both of the two as likely: the divergence is ln 2 less the entropy. The rest is nothing."""
    found = Sampling(top_k=2).distribution(torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log())
    reference = Sampling(top_k=1).distribution(torch.tensor([[9.0, 1.0, -3.0, 1.0]]))
    assert math.isclose(found.kl(reference).item(), math.log(2) - found.entropy().item(), rel_tol=1e-4)
    assert found.kl(found).item() == 0
    nucleus = Sampling(top_k=None, top_p=0.5).distribution(torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log())
    torch.testing.assert_close(nucleus.entropy(), found.entropy())
    torch.testing.assert_close(nucleus.kl(reference), found.kl(reference))
