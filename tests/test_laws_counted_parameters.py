"""Numbers of parameters: what counts, and what does not."""

from itertools import product

import numpy as np
import pytest
from cases import CLASSES, X, Y, classifier, regressor
from regimes import quiet

from skmoe._inference.criteria import n_parameters

COLUMNS = (None, [0], [1], [0, 1])


@pytest.mark.parametrize(("make", "y"), [(regressor, Y), (classifier, CLASSES)])
@pytest.mark.parametrize(("gate", "experts"), product(COLUMNS, COLUMNS))
def test_slopes_of_constant_features_do_not_count(make, y, gate, experts):
    """A constant is put before, between and after the features of gate and experts."""
    options = {"n_experts": 2, "n_init": 1, "max_iter": 2}
    chosen = {"gate_features": gate, "expert_features": experts}
    plain = quiet(make(**options | chosen), X, y)
    n_used = {name: 2 if columns is None else len(columns) for name, columns in chosen.items()}
    n_of_experts = 2 * (n_used["expert_features"] + 1 + (make is regressor))
    assert n_parameters(plain._fitted) == n_used["gate_features"] + 1 + n_of_experts
    for place in range(3):
        with_constant = np.insert(X, place, 7.0, axis=1)
        moved = {
            name: columns and [j + (j >= place) for j in columns] + [place] * (n == 1)
            for n, (name, columns) in enumerate(chosen.items())
        }
        moe = quiet(make(**options | moved), with_constant, y)
        assert n_parameters(moe._fitted) == n_parameters(plain._fitted)
