"""EM on prepared rows, without an estimator: the only module of tests that imports its names."""

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.units import make_units
from skmoe._mixture.em import EMOptions, EMStart, params_from_responsibilities, run_em
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.steps import e_step_block
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

__all__ = ["Dataset", "MixtureModel", "Params", "e_step_block"]


def design_of(X):
    """Features and a last column of ones."""
    return np.column_stack([X, np.ones(len(X))])


def dataset(X, y, weight=None, sizes=None, unit_weight=None):
    """Rows as EM sees them: y (m, n) or class codes (n,); sizes of units of contiguous rows."""
    design = design_of(X)
    weight = np.ones(len(X)) if weight is None else weight
    if sizes is None:
        return Dataset(design, design, y, weight)
    units = make_units(np.repeat(np.arange(len(sizes)), sizes))
    units = units._replace(weight=units.weight if unit_weight is None else unit_weight)
    return Dataset(design[units.starts], design, y, weight, units)


def mixture(gate=None, experts=None, n_experts=2, **options):
    return MixtureModel(gate or SoftmaxGate(), experts or LinearExperts(), n_experts, **options)


def soft_labels(labels, n_experts=2, certainty=0.9):
    """Responsibilities (K, n) of a partition."""
    assigned = np.arange(n_experts)[:, None] == np.asarray(labels)
    return certainty * assigned + (1.0 - certainty) / n_experts


def start_from(model, rows, resp, n_steps=5):
    """Parameters after M-steps from given responsibilities."""
    return params_from_responsibilities(model, rows, resp, n_steps)


def run(model, rows, params, *, block_rows=None, observe=None, previous=None, **options):
    """EM from given parameters, or as the continuation of a previous run."""
    settings = {"max_iter": 300, "tol": 1e-7, "n_plain_iter": 5} | options
    start = EMStart(params) if previous is None else previous
    blocks = rows if isinstance(rows, list) else split_into_blocks(rows, block_rows or 10**6)
    return run_em(
        model, blocks, start, EMOptions(**settings), observe or (lambda n_iter, state: False)
    )


def flat(params):
    """All numbers of the parameters of gate and experts."""
    return np.concatenate([np.ravel(array) for part in params for array in part])
