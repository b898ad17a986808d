import numpy as np
import pytest

from trafficgym.errors import ConfigError
from trafficgym.metrics import Bootstrap, paired_difference, ratio_interval

RNG = np.random.default_rng(4)
COUNT = RNG.integers(1, 30, 25)
TOTAL = RNG.binomial(COUNT, 0.3)


def test_percentile_interval_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    result = stats.bootstrap(
        (TOTAL, COUNT),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        paired=True,
        n_resamples=3000,
        method="percentile",
        confidence_level=0.9,
        random_state=np.random.default_rng(7),
    )
    found = ratio_interval(TOTAL, COUNT, Bootstrap(num_resamples=3000, level=0.9, seed=7))
    assert found.value == pytest.approx(TOTAL.sum() / COUNT.sum())
    assert (found.low, found.high) == pytest.approx(result.confidence_interval)


def test_a_difference_of_a_policy_with_itself_is_exactly_0():
    found = paired_difference((TOTAL, COUNT), (TOTAL, COUNT))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairing_sees_a_constant_improvement_that_scenes_hide():
    hard = np.linspace(0, 10, 20)  # scenes differ by far more than the policies
    better, ones = hard - 0.1, np.ones(20)
    alone = ratio_interval(hard, ones)
    paired = paired_difference((better, ones), (hard, ones))
    assert alone.low < better.mean() < alone.high
    assert (paired.low, paired.high) == pytest.approx((-0.1, -0.1))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    options = Bootstrap(num_resamples=400)
    found = [ratio_interval(rng.normal(3, 1, 60), np.ones(60), options) for _ in range(200)]
    covered = np.mean([one.low <= 3 <= one.high for one in found])
    assert 0.88 <= covered <= 0.99


def test_scenes_without_agents_are_harmless_and_nothing_but_them_has_no_interval():
    found = ratio_interval([3, 0], [6, 0])
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    assert ratio_interval([0, 0], [0, 0]) is None
    assert ratio_interval([], []) is None


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigError, match="same scenes"):
        paired_difference(([1], [1]), ([1, 2], [1, 1]))
    with pytest.raises(ConfigError, match="alike"):
        ratio_interval([1, 2], [1])
    with pytest.raises(ConfigError, match="level"):
        Bootstrap(level=95)
