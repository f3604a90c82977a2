"""Designs with an offset."""

import numpy as np
import pytest
from scipy import sparse

from skmoe._numerics.linalg import (
    OffsetDesign,
    linear_predictor,
    offset_predictor,
    split_offset,
    with_offset,
)


@pytest.mark.parametrize("as_matrix", [np.asfortranarray, sparse.csr_array])
@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_offset_is_added_to_linear_predictors(as_matrix, shape):
    rng = np.random.default_rng(0)
    matrix, offset = as_matrix(rng.normal(size=(7, 3))), rng.normal(size=shape)
    coef = rng.normal(size=(4, 2, 3))
    design = OffsetDesign(matrix, offset)
    assert design.shape == (7, 3)
    expected = linear_predictor(coef, matrix) + offset
    np.testing.assert_array_equal(offset_predictor(coef, design), expected)
    for index in (slice(2, 5), np.array([6, 0]), np.arange(7) > 3):
        predictor = offset_predictor(coef, design[index])
        np.testing.assert_allclose(predictor, expected[..., index], rtol=1e-13)


def test_designs_without_offset_stay_what_they_are():
    matrix = np.ones((3, 2))
    assert with_offset(matrix, None) is matrix
    assert split_offset(matrix) == (matrix, 0.0)
    coef = np.ones((2, 1, 2))
    np.testing.assert_array_equal(offset_predictor(coef, matrix), linear_predictor(coef, matrix))


def test_matrix_and_offset_come_back():
    matrix, offset = np.ones((3, 2)), np.arange(3.0)
    parts = split_offset(with_offset(matrix, offset))
    assert parts[0] is matrix
    assert parts[1] is offset
