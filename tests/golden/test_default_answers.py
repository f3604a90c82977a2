"""What default fits answer: the values of `default_answers.json`, which change with a default.

    python tests/golden/test_default_answers.py

writes the file again. Look at the differences before they are kept.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored

FILE = Path(__file__).with_name("default_answers.json")

# Estimates are those of maxima that are flat in some directions. Round-off decides between equal
# splits of trees, and so where EM leads them.
TOLERANCE = {"rtol": 2e-3, "atol": 2e-3}
TOLERANCE_OF_TREES = {"rtol": 0.1, "atol": 0.03}


def two_regimes(n_rows=900):
    """Two clear regimes, whose noise has a standard deviation of 0.3."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    mean = np.where(rng.random(n_rows) < 1 / (1 + np.exp(-1.5 * X[:, 0])), 2 + X[:, 1], -2)
    return X, mean - 0.5 * (mean == -2) * X[:, 1] + 0.3 * rng.normal(size=n_rows)


def one_regression(n_rows=300):
    """One regression with five features and noise of one."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_rows, 5))
    return X, X @ [1.0, -1.0, 0.5, 0.0, 0.0] + rng.normal(size=n_rows)


def counts(n_rows=600):
    """Counts of two regimes."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n_rows, 2))
    log_mean = np.where(X[:, 0] > 0, 2.0 + 0.5 * X[:, 1], 0.3 - 0.5 * X[:, 1])
    return X, rng.poisson(np.exp(log_mean)).astype(float)


def times(n_rows=400):
    """Times to an event of two regimes, of which a third are censored."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_rows, 2))
    scale = np.exp(np.where(X[:, 0] > 0, 1.5 + 0.6 * X[:, 1], -0.5 - 0.6 * X[:, 1]))
    time, end = scale * rng.weibull(1.5, n_rows), rng.exponential(6.0, n_rows)
    return X, right_censored(np.minimum(time, end), time <= end)


def widths_of_sepals():
    """Lengths of sepals and petals, and widths of sepals, of irises."""
    data = load_iris().data
    return data[:, [0, 2]], data[:, 1]


R, C = MixtureOfExpertsRegressor, MixtureOfExpertsClassifier
CASES = {
    "two regimes": (two_regimes, R, {}),
    "two regimes, two experts": (two_regimes, R, {"n_experts": 2}),
    "two regimes, number found": (two_regimes, R, {"n_experts": "auto"}),
    "one regression": (one_regression, R, {}),
    "one regression, number found": (one_regression, R, {"n_experts": "auto"}),
    "counts": (counts, R, {"family": "poisson"}),
    "times": (times, R, {"family": "weibull", "n_experts": 2}),
    "irises": (widths_of_sepals, R, {}),
    "irises, number found": (widths_of_sepals, R, {"n_experts": "auto"}),
    "diabetes": (lambda: load_diabetes(return_X_y=True), R, {}),
    "diabetes, two trees": (
        lambda: load_diabetes(return_X_y=True),
        R,
        {"expert": "tree", "n_experts": 2},
    ),
    "wine, alcohol": (lambda: (load_wine().data[:, 1:], load_wine().data[:, 0]), R, {}),
    "wine, classes": (lambda: load_wine(return_X_y=True), C, {}),
    "tumours, classes": (lambda: load_breast_cancer(return_X_y=True), C, {}),
}


def answers(case):
    """What a user reads first, of a fit to two thirds of the rows, and the others predicted."""
    load, estimator, options = CASES[case]
    X, y = load()
    rows = np.random.default_rng(0).permutation(len(X))
    train, test = rows[: 2 * len(X) // 3], rows[2 * len(X) // 3 :]
    moe = estimator(**options, random_state=0).fit(X[train], y[train])
    found = {
        "n_experts": moe.n_experts_,
        "shares": sorted(moe.weights_.tolist()),
        "log_density": float(moe.score_samples(X[test], y[test]).mean()),
        "score": float(moe.score(X[test], y[test])),
    }
    for name in ("noise_variance_", "dispersion_"):
        if hasattr(moe, name):
            found[name] = sorted(np.ravel(getattr(moe, name)).tolist())
    if y.dtype.names is None and estimator is R:
        low, high = moe.predict_interval(X[test], 0.9).T
        found["coverage"] = float(((low <= y[test]) & (y[test] <= high)).mean())
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::skmoe.exceptions.CollapsedExpertsWarning")
def test_default_answers_are_those_of_the_file(case):
    expected, found = json.loads(FILE.read_text("utf-8"))[case], answers(case)
    assert found.keys() == expected.keys()
    tolerance = TOLERANCE_OF_TREES if "trees" in case else TOLERANCE
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **tolerance, err_msg=name)


def test_numbers_of_trees_are_tied():
    """Round-off decides which of them is selected."""
    X, y = load_diabetes(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[: 2 * len(X) // 3]
    moe = MixtureOfExpertsRegressor(expert="tree", random_state=0).fit(X[rows], y[rows])
    assert {2, moe.n_experts_} <= set(moe.n_experts_ties_)


@pytest.mark.parametrize("name", ["two regimes", "two regimes, number found"])
def test_the_noise_of_clear_regimes_is_the_true_one(name):
    expected = json.loads(FILE.read_text("utf-8"))[name]
    std = np.sqrt(expected["noise_variance_"])
    weighted = np.average(std, weights=expected["shares"]) if len(std) > 2 else std
    np.testing.assert_allclose(weighted, 0.3, rtol=0.1)
    assert 0.85 <= expected["coverage"] <= 0.95


if __name__ == "__main__":
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {case: answers(case) for case in CASES}
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
