"""Designs with an offset."""

import numpy as np
import pytest
from scipy import sparse

from skmoe._numerics.linalg import OffsetDesign, split_offset, with_offset


@pytest.mark.parametrize("as_matrix", [np.asfortranarray, sparse.csr_array])
@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_rows_of_a_design_keep_their_offset(as_matrix, shape):
    rng = np.random.default_rng(0)
    matrix, offset = as_matrix(rng.normal(size=(7, 3))), rng.normal(size=shape)
    design = OffsetDesign(matrix, offset)
    assert design.shape == (7, 3)
    for index in (slice(2, 5), np.array([6, 0]), np.arange(7) > 3):
        rows, own = split_offset(design[index])
        np.testing.assert_array_equal(own, offset[..., index])
        assert abs(rows - matrix[index]).max() == 0.0


def test_designs_without_offset_stay_what_they_are():
    matrix = np.ones((3, 2))
    assert with_offset(matrix, None) is matrix
    assert split_offset(matrix) == (matrix, 0.0)


def test_matrix_and_offset_come_back():
    matrix, offset = np.ones((3, 2)), np.arange(3.0)
    parts = split_offset(with_offset(matrix, offset))
    assert parts[0] is matrix
    assert parts[1] is offset
