"""Defaults of the base classes of experts and gates, from which users derive their own."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmoe.protocols import Experts, Gate


def with_defaults(kind, **methods):
    """An object with the defaults of a base class, and some methods of its own."""
    others = dict.fromkeys(kind.__abstractmethods__, lambda self, *given: None)
    return type("Own", (kind,), others | methods)()


@pytest.mark.parametrize("kind", [Experts, Gate])
def test_classes_that_are_no_dataclasses_ignore_all_options(kind):
    own = with_defaults(kind)
    assert own.with_options({"alpha": 2.0, "dispersion_prior": 1.0}) is own


def test_the_mean_of_one_expert_is_that_among_all():
    means = np.arange(24.0).reshape(2, 3, 4)
    own = with_defaults(Experts, mean=lambda self, params, design: params - design)
    for k in range(2):
        assert_array_equal(own.mean_of(2.0 * means, k, 3.0), 2.0 * means[k] - 3.0)
        assert_array_equal(own.mean_of(means, k, np.ones(4)), means[k] - 1.0)


def test_experts_estimate_nothing_before_the_fit():
    own = with_defaults(Experts)
    assert own.with_estimates({"noise_variance": (1.0,)}) is own
