"""The table of numbers of experts: its criteria by their formulas, its units, weights and text."""

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import xlogy
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.model_selection import n_experts_table, n_experts_test
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0, "gate": "constant"}
CRITERIA = ["aic", "bic", "sabic", "caic", "awe", "icl"]


def regressor(**options):
    return MixtureOfExpertsRegressor(**{"n_init": 3} | FIXED | options)


def quiet_table(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return n_experts_table(*args, **{"init": None} | options)


def assert_criteria(table, k, log_likelihood, resp, n):
    """Of an unweighted table; `resp` are the responsibilities of n rows or units."""
    entropy, p = -xlogy(resp, resp).sum(), table.estimators[k].n_parameters_
    expected = {
        "log_likelihood": log_likelihood,
        "n_parameters": p,
        "aic": 2 * p - 2 * log_likelihood,
        "bic": p * np.log(n) - 2 * log_likelihood,
        "sabic": p * np.log((n + 2) / 24) - 2 * log_likelihood,
        "caic": p * (np.log(n) + 1) - 2 * log_likelihood,
        "awe": 2 * p * (1.5 + np.log(n)) - 2 * (log_likelihood - entropy),
        "icl": p * np.log(n) - 2 * log_likelihood + 2 * entropy,
        "entropy": entropy,
        "smallest_share": resp.mean(axis=0).min(),
        "mean_probability": resp.max(axis=1).mean(),
    }
    assigned = resp.argmax(axis=1)
    own = [resp[assigned == j, j].mean() for j in range(resp.shape[1])]
    expected["smallest_probability"] = min(own)
    of_number = table.to_frame("experts").loc[table.n_experts[k]]
    assert_allclose(of_number["mean_probability"], own)
    assert_allclose(of_number["share"], resp.mean(axis=0))
    assert of_number.index.tolist() == list(table.estimators[k].expert_names_)
    if resp.shape[1] > 1:
        odds = [p / (1 - p) / (s / (1 - s)) for p, s in zip(own, resp.mean(axis=0), strict=True)]
        assert_allclose(of_number["odds_of_correct_classification"], odds)
        expected["smallest_odds"] = min(odds)
        expected["relative_entropy"] = 1 - entropy / (n * np.log(resp.shape[1]))
    for name, value in expected.items():
        assert_allclose(table.columns[name][k], value, err_msg=name)


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_columns_are_those_of_the_formulas(task):
    X, y = crossing_lines(80) if task == "regressor" else flipping_classes(80)
    moe = regressor() if task == "regressor" else MixtureOfExpertsClassifier(**FIXED, n_init=3)
    table = quiet_table(moe, X, y, [2, 1])
    assert table.n_experts == [1, 2]
    for k, fitted in enumerate(table.estimators):
        assert fitted.n_experts_ == k + 1
        resp = fitted.responsibilities(X, y)
        assert_criteria(table, k, fitted.score_samples(X, y).sum(), resp, len(y))
    assert np.isnan(table.columns["relative_entropy"][0])
    assert np.isnan(table.columns["p_value"]).all()


def test_units_count_once():
    X, y = crossing_lines(90)
    units = np.arange(90) // 3
    table = quiet_table(regressor(), X, y, [1, 2], units=units)
    for k, fitted in enumerate(table.estimators):
        resp = fitted.responsibilities(X, y, units=units).proba
        log_likelihood = fitted.score_samples(X, y, units=units).sum()
        assert_criteria(table, k, log_likelihood, resp, 30)


def test_steps_of_a_pipeline_are_fitted_once():
    X, y = crossing_lines(60)
    pipeline = make_pipeline(StandardScaler(), regressor())
    table = quiet_table(pipeline, X, y, [1, 2])
    expected = quiet_table(regressor(), StandardScaler().fit_transform(X), y, [1, 2])
    for name, values in table.columns.items():
        assert_allclose(values, expected.columns[name])
    assert table.estimators[1].predict(X).shape == y.shape
    assert not hasattr(pipeline[0], "mean_")


def test_fits_are_searched_and_their_starts_counted():
    X, y = crossing_lines(60)
    table = n_experts_table(regressor(n_init=1), X, y, [2])
    (fitted,) = table.estimators
    assert (fitted.init, fitted.maxima_.runs) == ("search", "runs of one search")
    assert table.columns["n_reached"].tolist() == [fitted.maxima_.n_times[0]]
    assert table.columns["n_runs"].tolist() == [fitted.maxima_.n_runs]
    quick = quiet_table(regressor(), X, y, [2]).estimators[0]
    assert quick.init == "auto"
    assert fitted.lower_bound_ >= quick.lower_bound_ - 1e-6


def test_p_values_are_those_of_the_test_against_one_expert_fewer():
    X, y = crossing_lines(60)
    table = quiet_table(regressor(n_init=1), X, y, [1, 2], n_bootstrap=2)
    test = n_experts_test(regressor(n_init=1), X, y, n_experts=1, n_bootstrap=2, random_state=0)
    assert np.isnan(table.columns["p_value"][0])
    assert table.columns["p_value"][1] == test.p_value
    assert f"{test.p_value:.3f}" in repr(table).splitlines()[-2]


@cache
def small():
    X, y = crossing_lines(80)
    return quiet_table(regressor(), X, y, [1, 2, 3])


def test_frame_and_text_have_all_numbers():
    table = small()
    frame = table.to_frame()
    assert frame.index.tolist() == [1, 2, 3]
    for name, values in table.columns.items():
        assert_allclose(frame[name], values)
    lines = repr(table).splitlines()
    first, second = lines[1:4], lines[6:9]
    for k, (criteria, separation) in enumerate(zip(first, second, strict=True)):
        assert criteria.split()[0] == separation.split()[0] == str(k + 1)
        printed = [float(cell.strip("*")) for cell in criteria.split()[3:]]
        assert_allclose(printed, [table.columns[name][k] for name in CRITERIA], atol=0.051)
    assert max(map(len, lines)) <= 88
    for j, name in enumerate(CRITERIA):
        starred = [k + 1 for k, line in enumerate(first) if line.split()[3 + j].endswith("*")]
        assert starred == [table.best(name)] == [1 + np.argmin(table.columns[name])]
    assert_refused(refusal(table.best, "bick"), "criterion", "'bick'", "bic")
    assert "best reached" in table._repr_html_() or "n_reached" in table._repr_html_()


def test_warnings_name_the_number():
    X, y = crossing_lines(60)
    with pytest.warns(UserWarning, match="With n_experts=2: EM did not converge"):
        n_experts_table(regressor(max_iter=1), X, y, [2], init=None)


def test_progress_is_printed(capsys):
    X, y = crossing_lines(60)
    table = quiet_table(regressor(), X, y, [1, 2], verbose=1)
    lines = capsys.readouterr().out.splitlines()
    bic = table.columns["bic"]
    assert [line.split(".")[0] for line in lines] == [
        f"{k} experts: BIC {value:.6g}".split(".")[0] for k, value in zip((1, 2), bic, strict=True)
    ]


@pytest.mark.parametrize(
    ("moe", "numbers", "words"),
    [
        (make_pipeline(StandardScaler(), Ridge()), [1], ["estimator", "Ridge"]),
        (regressor(expert=Ridge()), [1], ["n_experts_table", "Ridge", '"linear"']),
        (regressor(family=["normal", "gamma"]), [2], ["n_experts_table", "family", "given number"]),
        (regressor(), [], ["n_experts", "range(1, 7)"]),
        (regressor(), [0], ["n_experts", "0"]),
        (regressor(), ["two"], ["n_experts", "two"]),
        (regressor(), 3, ["n_experts", "a list", "3", "range(1, 7)"]),
        (regressor(), "auto", ["n_experts", "a list", "auto", "range(1, 7)"]),
    ],
)
def test_what_has_no_table_is_refused(moe, numbers, words):
    X, y = crossing_lines(40)
    assert_refused(refusal(n_experts_table, moe, X, y, numbers), *words)


def test_aic_selects_a_number():
    X, y = crossing_lines(80)
    moe = regressor(n_experts="aic", n_init=1).fit(X, y)
    fits = [regressor(n_experts=k).fit(X, y).aic(X, y) for k in (1, 2)]
    assert moe.n_experts_ >= 2
    assert_allclose(-moe.n_experts_scores_[:2], fits, atol=0.5)
