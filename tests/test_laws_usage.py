"""How much the experts of a mixture are used, and who has made the rows of a fit."""

import numpy as np
import pytest
from cases import CASES, UNITS, X, Y, fitted_case, regressor
from numpy.testing import assert_allclose
from regimes import quiet

from skmoe._data.rows import UserRows
from skmoe._mixture.model import MixtureModel, responsibilities
from skmoe._mixture.numbering import can_be_reordered
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

PARAMETRIC = ["poisson-regressor", "linear-classifier", "units", "outputs", "weights", "routing"]


@pytest.mark.parametrize("case", PARAMETRIC)
def test_responsibilities_of_a_fit_are_probabilities_of_the_experts(case):
    """Those of the rows of a fit are those of the same rows as new ones, unless they are routed."""
    moe, (_, y, given) = fitted_case(case), CASES[case]
    mixture = moe._fitted
    codes = np.searchsorted(moe.classes_, y) if hasattr(moe, "classes_") else np.atleast_2d(y.T)
    weight = given.get("sample_weight", np.ones(len(X)))
    rows = mixture.preprocessor.transform_units(
        UserRows(X, codes, weight, None, given.get("units"))
    )
    found = responsibilities(mixture.model, mixture.params, rows)
    assert_allclose(found.sum(axis=0), 1.0)
    if case == "routing":
        assert set(found.ravel()) == {0.0, 1.0}
        return
    units = {"units": UNITS} if case == "units" else {}
    expected = moe.responsibilities(X, y, **units)
    assert_allclose(found.T, expected.proba if units else expected, atol=1e-9)


@pytest.mark.parametrize("top_k", [1, 2])
def test_rows_are_routed_to_some_experts_of_each_start_of_an_average(top_k):
    """Each start routes a row to its own `top_k` experts."""
    options = {"combine": "average", "n_init": 3, "max_iter": 5, "top_k": top_k}
    moe = quiet(regressor(**options), X, Y)
    assert moe.load_.sum() == 3 * top_k * len(X)
    assert_allclose(moe.load_.reshape(3, 3).sum(axis=1), top_k * len(X))
    assert moe._fitted.model.top_k == 3 * top_k


class InOneOrder:
    """A part without a method that changes the order of the experts."""

    def limitation(self, capability):
        return ""


def test_experts_are_reordered_if_both_gate_and_experts_can_be():
    parts = {True: (SoftmaxGate(), LinearExperts()), False: (InOneOrder(), InOneOrder())}
    for gate in parts:
        for experts in parts:
            model = MixtureModel(parts[gate][0], parts[experts][1], 2)
            assert can_be_reordered(model) == (gate and experts)
