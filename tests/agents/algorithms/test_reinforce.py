"""Policy gradients over tokens and over continuous actions: probabilities, signs, and that rewarded actions spread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import scene_tokens, small_network
from tests.agents.trajectory.driving import small_network as small_plan_network
from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac import Realism
from trafficgym_agents.algorithms.actors import Actor, Driven, PlanActor, TokenActor
from trafficgym_agents.algorithms.kl_control import KlControl, Leash
from trafficgym_agents.algorithms.objective import Objective
from trafficgym_agents.algorithms.reinforce import Experience, Reinforce, judge, policy_loss, reward_scale
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.decoding import Decision
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.trajectory.decoding import PlanSampling
from trafficgym_scenarios import nominal_scene

Tensor = Any
TOKENS = scene_tokens(0)
FREE = KlControl(coefficient=0.0)
METHOD = Reinforce(rollouts=2, leash=FREE)


def token_actor() -> TokenActor:
    return TokenActor(network=small_network(), sampling=Sampling(top_k=3, temperature=2.0))


def plan_actor() -> PlanActor:
    return PlanActor(network=small_plan_network().eval())


ACTORS = [token_actor, plan_actor]


def drive(actor: Actor, num: int = 2, seed: int = 0) -> Driven:
    return actor.roll_out(Batch.of([TOKENS]), num, [np.random.default_rng([seed, i]) for i in range(num)])


def experience(driven: Driven, reward: Tensor) -> Experience:
    """With rewards of one's own, by agent."""
    return Experience(batch=driven.batch, judged=(), tracks=(), reward=reward)


def test_probabilities_are_those_that_tokens_were_drawn_by() -> None:
    """Of the truncated and renormalised distribution, worked out anew with all slots at once."""
    actor, drawn = token_actor(), []

    class Recorded(Sampling):
        def __call__(self, decision: Decision) -> Tensor:
            token = super().__call__(decision)
            drawn.append(self.distribution(decision.logits).log_prob(token))
            return token

    recorded = TokenActor(network=actor.network, sampling=Recorded(top_k=3, temperature=2.0))
    driven = drive(recorded)
    with torch.no_grad():
        made = actor.decisions(actor.network, driven.batch)
    want = torch.stack(drawn, 1).flatten()  # agent after agent, slot after slot, like nodes
    assert len(want) == 16 * len(driven.steps)
    torch.testing.assert_close(made.distribution.log_prob(made.action), want, rtol=0, atol=2e-4)


@pytest.mark.parametrize("make", ACTORS)
def test_the_gradient_is_that_of_rewarded_log_probabilities(make: Any) -> None:
    """Nothing for a reward of 0; the mean of r grad log p; minus that for -r."""
    actor = make()
    driven = drive(actor)
    reward = torch.linspace(-1, 1, len(driven.steps))
    leash = Leash(actor.network, FREE)

    def gradient(loss: Tensor) -> Tensor:
        actor.network.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in actor.network.parameters() if p.grad is not None])

    assert gradient(policy_loss(actor, experience(driven, 0 * reward), METHOD, leash).total).abs().max() == 0
    made = actor.decisions(actor.network, driven.batch)
    want = gradient(-(reward[made.agent] * made.distribution.log_prob(made.action)).mean())
    assert want.abs().max() > 0
    torch.testing.assert_close(gradient(policy_loss(actor, experience(driven, reward), METHOD, leash).total), want)
    flipped = gradient(policy_loss(actor, experience(driven, -reward), METHOD, leash).total)
    torch.testing.assert_close(flipped, -want)
    scaled = policy_loss(actor, experience(driven, reward), METHOD, leash, scale=4.0)
    torch.testing.assert_close(gradient(scaled.total), want / 4)
    assert scaled.count == len(made.agent) and scaled.kl == 0 and scaled.lost == 0


@pytest.mark.parametrize("make", ACTORS)
def test_the_leash_pulls_back(make: Any) -> None:
    """From the reference the divergence is 0 and does not pull; from elsewhere it does."""
    actor = make()
    driven = drive(actor)
    leash, nothing = Leash(actor.network, KlControl(coefficient=1.0)), torch.zeros(len(driven.steps))
    method = Reinforce(rollouts=2, leash=leash.control)
    assert policy_loss(actor, experience(driven, nothing), method, leash).kl == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in leash.reference.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    optimizer = torch.optim.Adam(actor.network.parameters(), 1e-3)
    kls = []
    for _ in range(6):
        loss = policy_loss(actor, experience(driven, nothing), method, leash)
        kls.append(loss.kl)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert kls[0] > 1e-4 and kls[-1] < 0.9 * kls[0]


@pytest.mark.parametrize("make", ACTORS)
def test_what_is_rewarded_becomes_likelier(make: Any) -> None:
    """Of two rollouts the decisions of one are rewarded, and those of the other punished."""
    actor = make()
    if isinstance(actor, TokenActor):  # of all tokens: where some leave the likeliest, others gain by that alone
        actor = TokenActor(network=actor.network, sampling=Sampling(top_k=None))
    driven, leash = drive(actor), Leash(actor.network, FREE)
    reward = torch.ones(len(driven.steps))
    reward[len(reward) // 2 :] = -1
    optimizer = torch.optim.Adam(actor.network.parameters(), 1e-3)

    def advantage() -> Tensor:
        with torch.no_grad():
            made = actor.decisions(actor.network, driven.batch)
        log_prob = made.distribution.log_prob(made.action)
        return torch.stack([log_prob[reward[made.agent] == sign].mean() for sign in (1, -1)])

    before = advantage()
    for _ in range(3):
        loss = policy_loss(actor, experience(driven, reward), METHOD, leash)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    good, bad = (advantage() - before).tolist()
    assert good > bad + 0.005


def test_everybody_is_rewarded_or_the_evaluated_alone() -> None:
    actor, realism = token_actor(), Realism(nominal_scene(0))
    driven = drive(actor)
    tracks, num = TOKENS.agents.track, len(TOKENS.agents)
    judged = np.isin(tracks, realism.evaluated_tracks)

    def rewards(**options: Any) -> Tensor:
        found = judge(Reinforce(rollouts=2, **options), driven, [realism], [TOKENS])
        assert found.mean_square == pytest.approx(float(np.square(found.judged[0].rewards).mean()))
        return found.reward.view(2, num)

    every, some = rewards(), rewards(agents="evaluated")
    assert 0 < judged.sum() < num and (every[0] == every[0, 0]).all() and every[0, 0] == -every[1, 0] != 0
    assert torch.equal(some, every * torch.from_numpy(judged))
    own = rewards(objective=Objective(credit="agent"))
    assert len(own[0].unique()) > 2 and (own[:, ~torch.from_numpy(judged)] == 0).all()
    torch.testing.assert_close(own.sum(0), torch.zeros(num), rtol=0, atol=1e-6)


def test_rewards_are_scaled_where_that_is_wanted() -> None:
    assert reward_scale(Reinforce(), 4.0) == 1
    assert [reward_scale(Reinforce(reward_scale="batch_std"), x) for x in (4.0, 0.0)] == [2.0, 1.0]


def test_bad_options() -> None:
    for make in (
        lambda: TokenActor(network=small_network(), sampling=Sampling(top_k=1)),
        lambda: PlanActor(network=small_plan_network(), sampling=PlanSampling(temperature=0)),
        lambda: Reinforce(rollouts=1),
        lambda: Reinforce(agents="nobody"),  # type: ignore[arg-type]
        lambda: Reinforce(reward_scale="x"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError):
            make()


def test_rollouts_in_the_coordinates_of_the_source_are_judged_in_the_scene() -> None:
    """A network that reads a scene elsewhere earns what it would here, up to the rounding of large numbers."""
    scene = nominal_scene(0)
    actor = token_actor()
    driven = drive(actor)
    far = replace(scene, origin=np.array([1e3, -2e3, 30.0]))
    tokens = Tokenizer(actor.network.vocabulary, frame="source")(far)
    there = replace(driven, steps=driven.steps + torch.tensor([1e3, -2e3, 0.0]), in_source=True)
    here = judge(METHOD, driven, [Realism(scene)], [TOKENS])
    same = judge(METHOD, there, [Realism(far)], [tokens])
    np.testing.assert_allclose(same.tracks[0], here.tracks[0], atol=1e-3)
    assert same.judged[0].score.ade == pytest.approx(here.judged[0].score.ade, abs=1e-3)
