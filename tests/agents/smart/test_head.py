"""What the head adds to its output layer: how near tokens are to the last one, and where they are steered to."""

from __future__ import annotations

import math

import pytest
import torch

from tests.agents.smart.generated_tokens import (
    in_general_position,
    moved,
    scene_tokens,
    small_network,
    with_gaps,
)
from tests.agents.smart.small_vocabulary import CYCLIST, PEDESTRIAN, VEHICLE
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.decoding import Decoder
from trafficgym_agents.policies.smart.network import LEVER, SmartNetwork

ENDS = (VEHICLE, PEDESTRIAN, CYCLIST)
TYPE, TOKEN = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 4, 1, 2])


def logits(network: SmartNetwork, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.next_logits(x, TYPE, TOKEN)


@pytest.mark.parametrize("per_class", [True, False])
def test_steering_is_a_gaussian_about_the_last_token(per_class: bool) -> None:
    network = small_network(SmartConfig(head_per_class=per_class, steering=True))
    steering = network.agent_encoder.steering
    x = torch.randn((4, 32), generator=torch.Generator().manual_seed(0))
    numbers = steering(x).detach().double()
    steered = logits(network, x).double()
    torch.nn.init.zeros_(steering.weight)
    torch.nn.init.zeros_(steering.bias)
    plain = logits(network, x).double()
    for i, (code, token) in enumerate(zip(TYPE.tolist(), TOKEN.tolist(), strict=True)):
        ends = torch.tensor(ENDS[code], dtype=torch.float64) * torch.tensor([1, 1, LEVER])
        off = ends - ends[token]
        sharp, blunt = (torch.log1p((raw - 1).exp()) for raw in (numbers[i, 3:], torch.zeros(3).double()))
        want = off @ numbers[i, :3] - off.square() @ sharp + off.square() @ blunt
        found = (steered - plain)[i, : len(ends)]
        torch.testing.assert_close(found - found[token], want, rtol=1e-4, atol=1e-4)
        assert torch.isneginf(steered[i, len(ends) :]).all()


def test_steering_goes_faster_and_to_the_left() -> None:
    """A slope ahead favours the token that leads further, one to the left the bend, whatever the last token was."""
    network = small_network(steering=True)
    with torch.no_grad():
        for parameter in (
            *network.agent_encoder.token_predict_head.parameters(),
            network.agent_encoder.steering.weight,
        ):
            parameter.zero_()
        network.agent_encoder.momentum.fill_(-math.inf)
        bias = network.agent_encoder.steering.bias
        x = torch.zeros((4, 32))
        bias.copy_(torch.tensor([5.0, 0, 0, 0, 0, 0]))
        assert logits(network, x)[0].argmax() == 2  # from 4 m to 5 m
        bias.copy_(torch.tensor([0.0, 9, 0, 0, 0, 0]))
        assert logits(network, x)[0].argmax() == 3
        bias.copy_(torch.tensor([0.0, 0, 0, 9, 9, 9]))  # surely as before
        assert logits(network, x).argmax(-1).tolist() == TOKEN.tolist()


@torch.no_grad()
def test_steered_predictions_turn_with_the_scene_and_come_slot_by_slot() -> None:
    """Up to rounding, which steering multiplies by squares of metres."""
    network, tokens = small_network(steering=True), with_gaps(in_general_position(scene_tokens(0)))
    batch = Batch.of([tokens])
    agents, want = batch.agents, network(batch)
    torch.testing.assert_close(
        network(Batch.of([moved(tokens, 0.7, (0.0, 0.0))])).logits, want.logits, rtol=0, atol=1e-4
    )
    decoder = Decoder(network, batch, table_rows=0)
    for slot in range(agents.token.shape[1] - 1):
        now = (values[:, slot] for values in (agents.token, agents.xy, agents.yaw, agents.valid))
        found, nodes = decoder.advance(agents, *now), want.slot == slot
        torch.testing.assert_close(found[want.agent[nodes]], want.logits[nodes], rtol=0, atol=1e-4)
