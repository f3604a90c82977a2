"""What exponentials of slopes are: ratios of what a family says, by its distribution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe.families import FAMILIES
from support.expert_kinds import GENERALIZED, example, n_dispersions

CHANGE = 0.3  # of the linear predictor


def odds(probability):
    return probability / (1.0 - probability)


TIMES = np.array([0.3, 1.0, 2.5])


def quantity(name, family, predictor, logs):
    """What a ratio multiplies, as an array."""
    if name == "odds ratio" and family.name == "beta":
        return odds(family.mean([predictor, *logs]))
    if family.name == "loglogistic" and name == "odds ratio":  # of the event by each time
        return (TIMES / np.exp(predictor)) ** np.exp(-0.5 * logs[0])
    if name == "odds ratio":  # of a higher value than each one
        at = [family.log_prob(np.full(1, v), [predictor, *logs]) for v in family.values]
        return odds(np.cumsum(np.exp(at[::-1]), axis=0)[:-1])
    if name in ("rate ratio", "ratio of means"):
        return family.mean([predictor, *logs])
    shape = np.exp(-0.5 * logs[0]) if logs else 1.0
    scale = np.exp(predictor)
    if name == "median ratio":
        return scale
    if name == "time ratio":
        part = family.components([np.atleast_1d(predictor), *logs])
        parameters = [values[0, 0] for values in part[1:]]
        return part.functions.quantile(np.array([0.1, 0.25, 0.5]), *parameters)
    # The hazard is the density over the survival function.
    density = np.exp(family.log_prob(TIMES, [predictor, *logs]))
    return density / np.exp(-((TIMES / scale) ** shape))


@pytest.mark.parametrize("name", GENERALIZED)
def test_ratios_multiply_what_they_name(name):
    family = example(name)
    logs = [np.full(1, value) for value in (-0.7, 0.4)][: n_dispersions(name)]
    predictor = np.full(1, 0.2)
    assert bool(family.measures) == (family.link in ("log", "logit"))
    for measure in family.measures:
        before, after = (
            quantity(measure.name, family, predictor + step, logs) for step in (0.0, CHANGE)
        )
        power = np.exp(measure.power * logs[0]) if measure.by else 1.0
        expected = np.exp(measure.factor * CHANGE * power)
        assert_allclose(after / before, np.broadcast_to(expected, after.shape), rtol=1e-9)


def test_every_family_with_a_ratio_is_among_them():
    assert {name for name in FAMILIES if FAMILIES[name]().measures} <= set(GENERALIZED)
