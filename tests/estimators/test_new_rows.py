"""Rows that a fitted mixture takes: columns, containers, units, and other rows than its own."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skmoe.gates import SoftmaxGate
from support.fits import (
    UNITS,
    X,
    Y,
    fit_quietly,
    regressor,
)
from support.refusals import assert_refused, refusal

SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 3}


# --- units ------------------------------------------------------------------------------------

# The gate has the first column, which is constant in each unit.
OF_UNITS = np.column_stack([X[UNITS * 2, 0], X[:, 1]])


@pytest.fixture(scope="module")
def moe_of_units():
    return fit_quietly(regressor(gate_features=[0], **SHORT), OF_UNITS, Y, units=UNITS)


def test_units_come_in_any_container(moe_of_units):
    expected = moe_of_units.responsibilities(OF_UNITS, Y, units=UNITS)
    for rows in (OF_UNITS.tolist(), sparse.csr_array(OF_UNITS), pd.DataFrame(OF_UNITS)):
        found = moe_of_units.responsibilities(rows, Y.tolist(), units=UNITS.tolist())
        assert_allclose(found.proba, expected.proba, atol=1e-9)
    labels = np.array([f"unit {u:03d}" for u in UNITS])
    named = moe_of_units.responsibilities(OF_UNITS[::-1], Y[::-1], units=labels[::-1])
    assert named.labels.tolist() == sorted(set(labels))
    assert_allclose(named.proba, expected.proba, atol=1e-9)


def test_rows_of_weight_zero_tell_nothing_of_their_unit(moe_of_units):
    weight = np.where(np.arange(len(Y)) % 3 == 0, 0.0, 1.0)
    weight[UNITS == 4] = 0.0
    kept = weight > 0.0
    whole = moe_of_units.responsibilities(OF_UNITS, Y, units=UNITS, sample_weight=weight)
    part = moe_of_units.responsibilities(OF_UNITS[kept], Y[kept], units=UNITS[kept])
    known = np.isin(whole.labels, part.labels)
    assert_allclose(whole.proba[known], part.proba, atol=1e-12)
    assert_array_equal(whole.labels[known], part.labels)


def test_units_are_one_for_each_row_with_constant_gate_features(moe_of_units):
    assert "units" in refusal(moe_of_units.responsibilities, OF_UNITS, Y, units=UNITS[:-1])
    swapped = OF_UNITS[:, ::-1]
    for method, data in (("responsibilities", (swapped, Y)), ("predict_gate", (swapped,))):
        message = refusal(getattr(moe_of_units, method), *data, units=UNITS)
        assert_refused(message, "gate_features", "constant within each unit", "'x0'")
    rows = np.arange(len(Y))
    assert moe_of_units.responsibilities(swapped, Y, units=rows).proba.shape == (len(Y), 2)


@pytest.mark.parametrize("what", ["category", "transformer"])
def test_encoded_gate_features_are_constant_in_units_as_well(what):
    if what == "category":
        kinds = np.where(OF_UNITS[:, 0] > 0, "a", "b")
        rows = pd.DataFrame({"size": X[:, 1], "kind": pd.Categorical(kinds, ["a", "b"])})
        other = rows.assign(kind=pd.Categorical(np.where(np.arange(len(Y)) % 2, "a", "b")))
        options = {"expert": "tree", "gate_features": ["kind"]}
    else:
        rows, other = OF_UNITS, OF_UNITS[:, ::-1]
        gate = SoftmaxGate(transformer=StandardScaler())
        options = {"gate": gate, "gate_features": [0]}
    moe = fit_quietly(regressor(**SHORT | options), rows, Y, units=UNITS)
    assert moe.responsibilities(rows, Y, units=UNITS).proba.shape == (len(Y) // 2, 2)
    message = refusal(moe.responsibilities, other, Y, units=UNITS)
    assert_refused(message, "gate_features", "'kind" if what == "category" else "'x0'", "unit")


# --- other rows than those of the fit ---------------------------------------------------------

OTHER = "Other rows than those of the fit"


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_a_summary_notes_other_rows_and_weights():
    half = slice(0, 150)
    weight = np.tile([1.0, 2.0], 75)
    moe = fit_quietly(regressor(n_experts=2), X[half], Y[half], sample_weight=weight)
    assert OTHER not in str(moe.summary(X[half], Y[half], sample_weight=weight))
    note = f"{OTHER}: their weight is 150, in the fit 225."
    assert note in str(moe.summary(X[half], Y[half]))
    note = f"{OTHER}: they have another lower bound."
    assert note in str(moe.summary(X[150:], Y[150:], sample_weight=weight))
