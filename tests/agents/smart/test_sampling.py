"""Tokens come with the probabilities that they should have, and none that may not come does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.decoding import Decision
from trafficgym_agents.policies.smart.likeliest import likeliest
from trafficgym_agents.policies.smart.sampling import GREEDY, Sampling

Tensor = Any

PROBABILITY = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
LOGITS = PROBABILITY.log()[None] + 3.0
BELOW_ONE = 1 - 2.0**-24  # the largest that a generator draws in float32


def counts(sampling: Sampling, logits: Tensor = LOGITS, num: int = 1000) -> list[float]:
    """How often each token comes when `num` numbers are spread evenly over [0, 1)."""
    uniform = (torch.arange(num) + 0.5)[None] / num
    drawn = sampling.draw(logits, uniform.expand(len(logits), -1))
    return np.bincount(drawn[0], minlength=logits.shape[1]).tolist()


@pytest.mark.parametrize(
    ("sampling", "want"),
    [
        (Sampling(top_k=None), [100, 400, 50, 300, 150]),
        (Sampling(top_k=2), [0, 4000 / 7, 0, 3000 / 7, 0]),
        (Sampling(top_k=99), [100, 400, 50, 300, 150]),
        # The likeliest that together have the probability: 0.4 + 0.3 reach 0.7 exactly, and 0.71 takes one more.
        (Sampling(top_k=None, top_p=0.69), [0, 4000 / 7, 0, 3000 / 7, 0]),
        (Sampling(top_k=None, top_p=0.71), [0, 4000 / 8.5, 0, 3000 / 8.5, 1500 / 8.5]),
        (Sampling(top_k=None, top_p=1e-9), [0, 1000, 0, 0, 0]),
        (Sampling(top_k=None, top_p=1.0), [100, 400, 50, 300, 150]),
        # Within the two likeliest, 4/7 is more than 0.5.
        (Sampling(top_k=2, top_p=0.5), [0, 1000, 0, 0, 0]),
        # Probabilities to the power of 2, over their sum 0.285.
        (Sampling(top_k=None, temperature=0.5), [10 / 0.285, 160 / 0.285, 2.5 / 0.285, 90 / 0.285, 22.5 / 0.285]),
        (Sampling(top_k=1), [0, 1000, 0, 0, 0]),
    ],
)
def test_frequencies(sampling: Sampling, want: list[float]) -> None:
    np.testing.assert_allclose(counts(sampling), want, atol=1)
    tokens, log_probability = sampling.support(LOGITS)
    assert float(log_probability.exp().sum()) == pytest.approx(1, abs=1e-6)
    share = np.zeros(5)
    share[tokens[0]] = log_probability[0].exp()
    np.testing.assert_allclose(share, np.array(want) / 1000, atol=1e-6)
    assert (log_probability[:, :-1] >= log_probability[:, 1:]).all()


@pytest.mark.parametrize(
    "sampling", [Sampling(top_k=None), Sampling(top_k=4), Sampling(top_k=None, top_p=0.999), Sampling(temperature=5.0)]
)
def test_tokens_that_a_class_lacks_never_come(sampling: Sampling) -> None:
    """Not even at the ends of the interval, where rounding of sums shows."""
    logits = torch.randn((200, 50), generator=torch.Generator().manual_seed(0))
    logits[:, 2:] = -torch.inf
    logits[:100, 1:] = -torch.inf
    uniform = torch.tensor([0.0, 1e-8, 0.3, 0.5, 0.7, BELOW_ONE]).expand(200, -1)
    drawn = sampling.draw(logits, uniform)
    assert (drawn[:100] == 0).all() and (drawn[100:] <= 1).all()
    assert (drawn[100:, 0] == logits[100:].argmax(-1)).all()  # the likeliest come first
    assert drawn.shape == (200, 6)


def test_the_last_token_comes_at_the_end() -> None:
    """Thousands of small probabilities: their sum is rounded, and the index stays within."""
    logits = torch.zeros((1, 2048))
    drawn = Sampling(top_k=None).draw(logits, torch.tensor([[0.0, BELOW_ONE]]))
    tokens, _ = Sampling(top_k=None).support(logits)
    assert drawn.tolist() == [[int(tokens[0, 0]), int(tokens[0, -1])]]


@pytest.mark.parametrize(("num", "k"), [(2048, 48), (97, 5), (40, 10), (40, 11), (8, 1), (5, 5)])
def test_the_likeliest(num: int, k: int) -> None:
    """Those that torch finds, in its order; of equal ones any."""
    logits = torch.randn((30, num), generator=torch.Generator().manual_seed(0))
    logits[:10] = logits[:10].round(decimals=1)
    logits[:5] = logits[:5].sort(-1).values
    logits[5:8] = logits[5:8].sort(-1, descending=True).values
    logits[20:, k // 2 :] = -torch.inf
    tokens = likeliest(logits, k)
    assert torch.equal(logits.gather(1, tokens), logits.topk(k, -1).values)
    assert torch.equal(tokens[10:20], logits[10:20].topk(k, -1).indices)
    assert all(len(set(row)) == k for row in tokens.tolist())
    assert likeliest(logits.fill_(torch.nan), k).shape == (30, k)
    assert likeliest(logits[:0], k).shape == (0, k)


def decision(*sizes: int, seeds: tuple[int, ...]) -> Decision:
    """Groups of so many agents, all with the same logits."""
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    agents: Any = SimpleNamespace(group=group)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    logits = LOGITS.expand(len(group), -1)
    none: Any = None
    return Decision(logits=logits, slot=2, agents=agents, xy=none, yaw=none, network=none, rngs=rngs)


def test_each_group_draws_from_its_own_generator() -> None:
    both, first, second = decision(3, 4, seeds=(5, 6)), decision(3, seeds=(5,)), decision(4, seeds=(6,))
    sampling = Sampling(top_k=3)
    assert sampling(both).tolist() == [*sampling(first).tolist(), *sampling(second).tolist()]
    again = sampling(both)  # generators have gone on
    assert again.tolist() != sampling(decision(3, 4, seeds=(5, 6))).tolist()


def test_drawn_frequencies() -> None:
    """Through a decision: 20000 draws of one seed lie within four standard errors."""
    num = 20_000
    drawn = Sampling(top_k=None)(decision(num, seeds=(0,)))
    share = torch.bincount(drawn, minlength=5) / num
    assert ((share - PROBABILITY).abs() < 4 * (PROBABILITY * (1 - PROBABILITY) / num).sqrt()).all()


def test_greedy_draws_nothing() -> None:
    one = decision(2, seeds=(0,))
    assert GREEDY(one).tolist() == [1, 1]
    assert one.rngs[0].random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"topk": 5}, "did you mean 'top_k'"),
    ],
)
def test_bad_settings(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        Sampling(**options)
