"""SMART networks that take goals get those that are clicked in the viewer's window."""

from __future__ import annotations

import numpy as np
import torch

from trafficgym.scene.generated import family_scene
from trafficgym.viewer.goals import ClickedGoals
from trafficgym.viewer.live import LiveRun
from trafficgym_agents.policies.smart.checkpoint import load_smart
from trafficgym_agents.policies.smart.conditioning import conditioned
from trafficgym_agents.policies.smart.policy import SmartPolicy


def test_clicked_goals_reach_the_network() -> None:
    base = load_smart("micro")[0]
    assert not ClickedGoals(SmartPolicy(base)).taken
    network = conditioned(base, "concatenation")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in dict(base.named_parameters()):
                parameter.normal_(0, 3.0, generator=torch.Generator().manual_seed(0))  # as if it had learned something
    policy = SmartPolicy(network)

    def drive(goal: tuple[float, float] | None) -> np.ndarray:
        run = LiveRun(family_scene("cut-in", 3), "idm", background=policy)
        slot = int(np.flatnonzero(run.goals.taken)[0])
        run.frame(10)
        run.send(slot, goal)
        return np.array([[run.frame(k).x[slot], run.frame(k).y[slot]] for k in range(31)])

    free = drive(None)
    x, y = free[10]
    sent = drive((float(x) - 30, float(y) + 30))
    assert np.array_equal(sent[:11], free[:11])
    assert not np.array_equal(sent, free)
    assert policy.goals == "none"  # other worlds that it drives in know of nothing
