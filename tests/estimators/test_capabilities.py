"""What an estimator can do with its parameters: row blocks, units, probabilities of the experts."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.experts import LinearExperts
from skmoe.families import Uniform
from skmoe.gates import ConstantGate
from support.fits import X as ALL_X
from support.fits import Y as ALL_Y
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

N_ROWS = 60
X, Y = ALL_X[:N_ROWS], ALL_Y[:N_ROWS]
UNITS = np.arange(N_ROWS) // 2
OPTIONS = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0}
OPTIONS |= {"alpha": 0.1, "gate_alpha": 1.0}
BOUNDED = Uniform(low=(-50.0,), high=(50.0,))


def regressor(**options):
    return MixtureOfExpertsRegressor(**OPTIONS | options)


def blocks(*given):
    return RowBlocks(lambda: iter([given]))


@pytest.mark.parametrize("options", [{"family": BOUNDED}, {"expert": LinearExperts()}])
def test_rows_come_in_parts_where_the_table_of_conflicts_does_not_refuse_it(options):
    moe = regressor(**options)
    assert np.isfinite(fit_quietly(clone(moe), blocks(X, Y)).predict(X)).all()
    assert np.isfinite(moe.partial_fit(X, Y).predict(X)).all()


# --- units ------------------------------------------------------------------------------------

# Parameters, units and weights, and the name and further words of the message.
REFUSED_UNITS = [
    ({"gate": "constant"}, np.zeros(N_ROWS), None, "n_experts", "number of units", "1"),
    ({"gate": "constant"}, UNITS, UNITS == 3, "n_experts", "positive weight", "1"),
    ({"gate": "constant", "n_experts": 3}, UNITS, UNITS < 2, "n_experts", "units", "2"),
    ({}, UNITS, None, "gate_features", "constant", "'x0'", 'gate="constant"'),
    ({"gate_features": [1]}, UNITS, None, "gate_features", "constant", "'x1'"),
    ({"gate": "constant"}, UNITS[:-1], None, "units", str(N_ROWS)),
    ({"gate": "constant"}, UNITS[:, None], None, "units", "dimension"),
    ({"gate": "constant"}, ["a", None] * (N_ROWS // 2), None, "units", "one kind"),
]


@pytest.mark.parametrize("case", REFUSED_UNITS)
def test_units_of_a_fit_are_several_with_constant_gate_features(case):
    options, units, weight, name, *words = case
    moe = regressor(**options)
    assert_fit_refused(moe, (X, Y), name, *words, units=units, sample_weight=weight)


def test_units_of_row_blocks_are_together_with_constant_gate_features():
    moe = regressor(gate="constant")
    message = refusal(moe.fit, blocks(X, Y, None, None, np.append(UNITS[1:], 0)))
    assert_refused(message, "block 0: units", "next to each other", "unit 0", "Sort")
    message = refusal(regressor().fit, blocks(X, Y, None, None, UNITS))
    assert_refused(message, "block 0: gate_features", "constant", "'x0'")


def test_gate_features_may_vary_where_they_are_not_used():
    moe = fit_quietly(regressor(gate=ConstantGate()), X, Y, units=UNITS)
    fit_quietly(clone(moe), blocks(X, Y, None, None, UNITS))
    probs = moe.predict_gate(X, units=UNITS)
    assert_allclose(probs[::2], probs[1::2], atol=1e-12)


def test_gate_features_are_constant_after_the_remedy_of_the_message():
    frame, moe = pd.DataFrame(X, columns=["age", "income"]), regressor(gate_features=[0])
    remedy = "df.groupby(unit)['age'].transform('mean')"
    assert_fit_refused(moe, (frame, Y), "gate_features", "'age'", "unit 0", remedy, units=UNITS)
    reduced = frame.assign(age=frame.groupby(UNITS)["age"].transform("mean"))
    probs = fit_quietly(moe, reduced, Y, units=UNITS).predict_gate(reduced, units=UNITS)
    assert_array_equal(probs[::2], probs[1::2])
    assert np.ptp(probs[:, 0]) > 0.01


def test_initial_responsibilities_of_units_are_those_of_all_their_rows():
    first = np.where(UNITS % 2, 0.2, 0.7)
    init = np.column_stack([first, 1.0 - first])
    moe = regressor(gate="constant", init=init)
    fit_quietly(clone(moe), X, Y, units=UNITS)
    init[7] = [0.5, 0.5]
    assert_fit_refused(moe, (X, Y), "init", "row 7", "unit 3", "Average", units=UNITS)


# --- probabilities of the experts, and methods of regressors ------------------------------------


@pytest.mark.parametrize(
    ("shape", "row", "word"),
    [
        ((N_ROWS - 1, 2), [0.5, 0.5], f"({N_ROWS}, 2)"),
        ((N_ROWS, 3), [0.5, 0.5, 0.0], f"({N_ROWS}, 3)"),
        ((N_ROWS, 2), [0.2, 0.7], "Divide"),
        ((N_ROWS, 2), [1.2, -0.2], "row 4"),
        ((N_ROWS, 2), [np.nan, 1.0], "row 4"),
        ((N_ROWS, 2), [np.inf, 0.0], "row 4"),
    ],
)
def test_given_probabilities_of_experts_are_checked(shape, row, word):
    moe = fit_quietly(regressor(), X, Y)
    proba = np.resize([0.5, 0.5, 0.0][: shape[1]], shape)
    proba[4] = row
    assert_refused(refusal(moe.predict_dist, X, gate_proba=proba), "gate_proba", word)
    own, slightly = (
        moe.predict_dist(X, gate_proba=factor * moe.predict_gate(X)) for factor in (1, 1 + 9e-7)
    )
    assert_allclose(slightly.mean, own.mean, rtol=1e-12)
