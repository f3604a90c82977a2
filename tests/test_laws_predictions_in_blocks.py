"""Predictions are made block by block: those of a row do not depend on its block."""

import numpy as np
import pytest
from cases import CASES, CLASSES, X, Y, classifier, fitted_case, regressor
from numpy.testing import assert_allclose
from regimes import quiet

from skmoe._data.rows import UserRows
from skmoe._inference.criteria import fit_statistics

IN_BLOCKS = ["linear-classifier", "poisson-regressor", "outputs", "routing", "average"]
IN_ONE_CALL = ["trees", "base"]
EXPLAINED = ["linear-classifier", "poisson-regressor", "outputs", "average"]


@pytest.mark.parametrize("case", [*IN_BLOCKS, *IN_ONE_CALL])
@pytest.mark.parametrize("size", [1, 7, 299])
def test_predictions_of_a_row_do_not_depend_on_its_block(case, size, monkeypatch):
    moe, y = fitted_case(case), CASES[case][1]
    methods = {
        name: getattr(moe, name)
        for name in ("predict", "predict_gate", "predict_experts", "predict_proba")
        if hasattr(moe, name)
    }
    few, of_few = X[:30], y[:30]
    expected = {name: method(few) for name, method in methods.items()}
    expected_logs = moe.score_samples(few, of_few), moe.responsibilities(few, of_few)
    gate = np.random.default_rng(0).dirichlet(np.ones(moe.n_experts_), size=30)
    of_other_gate = moe.predict(few, gate_proba=gate)
    explanation = dict(moe.explain(few)) if case in EXPLAINED else {}
    monkeypatch.setattr("skmoe._data.preprocessing.BLOCK_ROWS", size)
    for name, method in methods.items():
        assert_allclose(method(few), expected[name], rtol=1e-9, atol=1e-12)
    found_logs = moe.score_samples(few, of_few), moe.responsibilities(few, of_few)
    for found, logs in zip(found_logs, expected_logs, strict=True):
        assert_allclose(found, logs, rtol=1e-9, atol=1e-12)
    assert_allclose(moe.predict(few, gate_proba=gate), of_other_gate, rtol=1e-9, atol=1e-12)
    if case in EXPLAINED:
        again = moe.explain(few)
        assert set(again) == set(explanation)
        for name, values in explanation.items():
            assert_allclose(again[name], values, rtol=1e-9, atol=1e-12)
    if hasattr(moe, "predict_dist"):
        assert_allclose(moe.predict_dist(few).mean, expected["predict"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("make", "y"), [(regressor, 100.0 * Y), (classifier, CLASSES)])
def test_the_likelihood_of_weighted_rows_is_the_weighted_sum_of_log_densities(make, y):
    """The unit of y counts once for each row, and its weight is that of the density."""
    moe = quiet(make(n_init=1, max_iter=5), X, y)
    weight = np.random.default_rng(0).uniform(0.5, 3.0, size=len(X))
    target = y if make is classifier else y[None]
    found = fit_statistics(moe._fitted, UserRows(X, target, weight, None))
    logs, resp = moe.score_samples(X, y), moe.responsibilities(X, y)
    assert_allclose(found.log_likelihood, weight @ logs)
    assert_allclose(found.n_rows, weight.sum())
    assert_allclose(found.expert_weight, weight @ resp)
    entropy = -np.where(resp > 0.0, resp * np.log(np.maximum(resp, 1e-300)), 0.0).sum(axis=1)
    assert_allclose(found.entropy, weight @ entropy)
