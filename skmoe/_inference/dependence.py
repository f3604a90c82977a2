"""Exact linear dependence of columns, such as of indicators of all categories, which add up to one.

Some directions of the coefficients then change no linear predictor. The data do not determine the
estimates along them; the penalty does, without any error, and it is no information about them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset
from skmoe._inference.coefficients import ListedBlock
from skmoe._mixture.information import Information
from skmoe._mixture.maximum import EIGENVALUE_TOL
from skmoe._numerics.offset_design import split_offset
from skmoe._numerics.typing import Array

# Components of unit vectors up to this size are round-off.
DIRECTION_TOL = 1e-6


def invariant_directions(
    dataset: Dataset, blocks: Sequence[ListedBlock], information: Information, free: Array
) -> Array:
    """Directions (D, r) of the free coordinates, boolean (D,), that change no linear predictor.

    There are none if a design has fewer rows than columns, which depend on each other by chance.
    """
    size = len(information.observed)
    designs = split_offset(dataset.expert_design)[0], dataset.gate_design
    if any(rows.shape[0] < rows.shape[1] for rows in designs):
        return np.zeros((size, 0))
    of_experts, of_gate = (
        products.toarray() if sparse.issparse(products) else products
        for products in (rows.T @ rows for rows in designs)
    )
    if not any(_null_space(products).size for products in (of_experts, of_gate)):
        return np.zeros((size, 0))
    gram = np.zeros((size, size))
    for listed in blocks:
        index = listed.index_in(information)
        width = 1 if listed.block.is_dispersion else 1 + len(listed.columns)
        products = of_gate if listed.expert is None else of_experts
        products = products[-width:, -width:]  # of a constant gate, those of the ones
        gram[np.ix_(index, index)] += np.kron(np.eye(len(index) // width), products)
    gram[~free] = gram[:, ~free] = 0.0
    return _null_space(gram)


def _null_space(gram: Array) -> Array:
    """Directions (D, r) of length zero by the products (D, D) of columns, without zero columns."""
    used = np.flatnonzero(np.diag(gram) > 0.0)
    unit = 1.0 / np.sqrt(np.diag(gram)[used])
    eigenvalues, vectors = np.linalg.eigh(gram[np.ix_(used, used)] * unit[:, None] * unit)
    vectors = vectors[:, eigenvalues <= EIGENVALUE_TOL * eigenvalues.max(initial=0.0)]
    directions = np.zeros((len(gram), vectors.shape[1]))
    directions[used] = np.where(np.abs(vectors) > DIRECTION_TOL, vectors, 0.0) * unit[:, None]
    return directions
