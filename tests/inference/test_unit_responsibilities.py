"""Responsibilities of units, looked up by their labels."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import softmax

from skmoe.inspection import UnitResponsibilities
from support.fits import UNITS, X, Y, fitted_case
from support.refusals import assert_refused, refusal

LABELS = np.array(["a", "b", "c"])
PROBA = np.random.default_rng(0).dirichlet(np.ones(2), size=3)
TABLE = UnitResponsibilities(LABELS, PROBA, ["one", "two"])


def test_rows_have_the_probabilities_of_their_unit():
    assert_array_equal(TABLE.rows(["c", "a", "c"]), PROBA[[2, 0, 2]])
    assert TABLE.rows([]).shape == (0, 2)
    assert len(TABLE) == 3
    assert repr(TABLE) == "UnitResponsibilities(3 units, 2 experts)"


def test_rows_of_new_units_have_the_probabilities_given():
    new = np.full((3, 2), 0.5)
    assert_array_equal(TABLE.rows(["z", "a", "b"], new), [new[0], PROBA[0], PROBA[1]])
    assert_refused(refusal(TABLE.rows, ["a", "z"]), "units", "z", "predict_gate")
    assert_refused(refusal(TABLE.rows, ["a", "z"], new), "new", "(2, 2)", "(3, 2)", "same rows")


def test_the_frame_has_units_as_rows_and_experts_as_columns():
    frame = TABLE.to_frame()
    assert_array_equal(frame.loc["b"], PROBA[1])
    assert frame.columns.tolist() == ["one", "two"]
    assert frame.index.name == "unit"
    assert UnitResponsibilities(LABELS, PROBA).to_frame().columns.tolist() == [
        "expert 0",
        "expert 1",
    ]


def test_responsibilities_are_the_prior_times_the_densities_of_all_rows_of_a_unit():
    moe = fitted_case("units")
    table = moe.responsibilities(X, Y, units=UNITS)
    prior = moe.predict_gate(X, units=UNITS)
    logs = stats.norm.logpdf(Y[:, None], moe.predict_experts(X), np.sqrt(moe.noise_variance_))
    sums = np.stack([logs[unit == UNITS].sum(axis=0) for unit in np.unique(UNITS)])
    expected = softmax(np.log(prior) + sums[UNITS], axis=1)
    assert_allclose(table.rows(UNITS), expected, atol=1e-8)
    assert_array_equal(table.labels, np.unique(UNITS))
    assert table.expert_names == list(moe.expert_names_)
