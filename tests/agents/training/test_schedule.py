"""Learning rates and budgets, against numbers."""

from __future__ import annotations

import pytest
import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.schedule import Schedule, set_learning_rate


def test_the_reference_s_rates_are_reproduced() -> None:
    """shared/golden/smart/README.md 6.13: four epochs, peak 5e-4, minimum 0.01, measured by running the reference."""
    schedule = Schedule(minimum=0.01, reference_lag=True)
    rates = [5e-4 * schedule.factor(epoch, 4) for epoch in range(4)]
    assert rates == pytest.approx([4.275e-4, 4.275e-4, 2.525e-4, 7.75e-5], rel=1e-3)


def test_the_cosine_goes_from_one_to_its_minimum_and_stays() -> None:
    schedule = Schedule(minimum=0.2)
    assert [schedule.factor(epoch, 4) for epoch in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert schedule.factor(0.5, 1.0) == pytest.approx(0.6)  # a fraction of the budget


def test_warm_up_rises_by_steps_under_any_schedule() -> None:
    assert [Schedule(kind="constant", warm_up=4).factor(0, 1, step=s) for s in (0, 1, 3, 50)] == [0.25, 0.5, 1.0, 1.0]
    assert Schedule(minimum=0.2, warm_up=10).factor(2, 4, step=4) == pytest.approx(0.3)


def test_every_group_of_parameters_gets_the_rate() -> None:
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW([{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}])
    set_learning_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


def test_a_budget_is_spent_when_the_first_of_its_two_is() -> None:
    budget = Budget(steps=10, seconds=100.0)
    assert budget.fraction(5, 20.0) == 0.5
    assert budget.fraction(5, 80.0) == 0.8
    assert budget.is_spent(10, 0.0) and budget.is_spent(0, 100.0) and not budget.is_spent(9, 99.0)
    assert Budget(steps=0).is_spent(0, 0.0)


def test_bad_values_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        Schedule(kind="cosin")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"minimum is 1.5"):
        Schedule(minimum=1.5)
    with pytest.raises(ConfigError, match="no budget"):
        Budget()
    with pytest.raises(ConfigError, match="seconds is -1"):
        Budget(seconds=-1)
