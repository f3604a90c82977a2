"""Random draws: no more of them than are needed."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmoe._inference.bootstrap import sample_classes


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_the_first_draw_with_all_classes_is_taken(n_classes, seed):
    probs = np.tile([0.7, *[0.3 / (n_classes - 1)] * (n_classes - 1)], (9, 1))
    rng, same = np.random.RandomState(seed), np.random.RandomState(seed)
    codes = sample_classes(probs, rng)
    while True:
        expected = (same.uniform(size=(9, 1)) > np.cumsum(probs, axis=1)[:, :-1]).sum(axis=1)
        if set(expected) == set(range(n_classes)):
            break
    assert_array_equal(codes, expected)
    assert rng.uniform() == same.uniform()
