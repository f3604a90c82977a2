"""What experts with a linear predictor are by themselves, without a fit."""

import numpy as np
from kinds import GENERALIZED, example
from numpy.testing import assert_allclose

from skmoe._data.scaling import Standardization
from skmoe._mixture.online import AffineMap
from skmoe.experts import GeneralizedLinearExperts
from skmoe.families import Uniform

N_ROWS, N_COLUMNS = 12, 3
RNG = np.random.default_rng(0)
DESIGN = np.column_stack([RNG.normal(size=(N_ROWS, N_COLUMNS - 1)), np.ones(N_ROWS)])


def experts_of(*families, n_outputs=1, **options):
    """Experts of families, with what they take from examples of the first one."""
    rng = np.random.default_rng(1)
    y = np.concatenate([families[0].example_target(rng, N_ROWS) for _ in range(n_outputs)])
    scales = {"noise_variance": (0.8, 1.3)[:n_outputs], "variance_floor": (1e-6,) * n_outputs}
    unit = Standardization(np.zeros(n_outputs), np.ones(n_outputs))
    experts = GeneralizedLinearExperts(tuple(families), **scales | options)
    return experts.fitted_to(DESIGN, y, np.ones(N_ROWS), unit)


def test_experts_of_a_rescaled_target_have_its_variance():
    """Those whose target is in its own units are the same."""
    for name in GENERALIZED:
        for n_outputs in (1,) if name == "ordinal" else (1, 2):
            experts = experts_of(example(name), n_outputs=n_outputs)
            y_map = AffineMap(np.array([2.0, 0.25])[:n_outputs], np.array([3.0, -1.0])[:n_outputs])
            other = experts.rescale(y_map)
            if not experts.standardizes_target:
                assert other is experts, name
                continue
            squares = np.square(y_map.slope)
            assert_allclose(other.target_variance, squares * np.array(experts.target_variance))
            assert other.initial_predictor == experts.initial_predictor
    both = experts_of(example("student_t"), Uniform((-9.0,), (5.0,)))
    moved = both.rescale(AffineMap(np.array([2.0]), np.array([3.0])))
    assert (moved.families[1].low, moved.families[1].high) == ((-15.0,), (13.0,))
    assert_allclose(moved.target_variance, 4.0 * np.array(both.target_variance))
