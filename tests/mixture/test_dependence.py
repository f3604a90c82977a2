"""The correlation of the rows of a unit beyond their regime, and what texts conclude from it."""

import pickle
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.inspection import export_html
from skmoe.model_selection import n_experts_table
from support.expert_kinds import draw
from support.fits import fit_quietly
from support.tables import panel

# Yields of dyestuff, five of each of six batches: O. L. Davies and P. L. Goldsmith (1972),
# "Statistical Methods in Research and Production", table 6.1.
DYESTUFF = [1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510]
DYESTUFF += [1560, 1445, 1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450]
DYESTUFF += [1480, 1445]


def regressor(n_experts=2, **options):
    given = {"gate": "constant", "n_init": 4, "random_state": 0}
    return MixtureOfExpertsRegressor(n_experts, **given | options)


def units_of(n_units, n_rows, spread=0.0, gap=0.0, seed=0):
    """Features, target and units: of levels with a spread, or of two regimes with a gap."""
    rng = np.random.default_rng(seed)
    units, X = np.repeat(np.arange(n_units), n_rows), rng.normal(size=(n_units * n_rows, 1))
    level = spread * rng.normal(size=n_units) + gap * (rng.uniform(size=n_units) < 0.4)
    return X, 1.0 + X[:, 0] + level[units] + rng.normal(size=len(units)), units


@cache
def by_degrees():
    """Units that differ by a random intercept, and fits of several numbers of experts."""
    X, y, units = units_of(300, 6, spread=1.0)
    table = n_experts_table(regressor(), X, y, range(1, 5), units=units, init=None)
    return X, y, units, table


def analysis_of_variance(residuals, units):
    """The intraclass correlation by mean squares, as textbooks have it."""
    labels, sizes = np.unique(units, return_counts=True)
    means = np.array([residuals[units == label].mean() for label in labels])
    n_rows, n_units = len(units), len(labels)
    between = (sizes * (means - residuals.mean()) ** 2).sum() / (n_units - 1)
    own = means[np.searchsorted(labels, units)]
    within = ((residuals - own) ** 2).sum() / (n_rows - n_units)
    size = (n_rows - (sizes**2).sum() / n_rows) / (n_units - 1)
    variance = (between - within) / size
    return variance / (variance + within)


def concludes(*texts):
    """Whether texts say that numbers of experts are too large."""
    return "numbers of experts are too large" in " ".join(" ".join(map(str, texts)).split())


# --- the number ---------------------------------------------------------------------------------


def test_one_regime_without_features_has_the_published_variance_components():
    y, batch = np.array(DYESTUFF, dtype=float), np.repeat(np.arange(6), 5)
    moe = regressor(1, dispersion_prior=0.0).fit(np.zeros((30, 1)), y, units=batch)
    assert_allclose(moe.residual_correlation_, 1764.05 / (1764.05 + 2451.25), rtol=1e-6)


def test_units_of_several_sizes_have_the_correlation_of_an_analysis_of_variance():
    X, y, _ = units_of(60, 5, spread=0.7)
    units = np.random.default_rng(1).integers(60, size=len(y))
    moe = regressor(1).fit(X, y, units=units)
    assert_allclose(moe.residual_correlation_, analysis_of_variance(y - moe.predict(X), units))


def test_regimes_that_are_certain_have_an_analysis_of_variance_within_each():
    X, y, units = units_of(60, 5, spread=0.7, gap=60.0)
    moe = regressor(2, dispersion="shared").fit(X, y, units=units)
    regime = moe.responsibilities(X, y, units=units).proba.argmax(axis=1)
    residuals = y - moe.predict_experts(X)[np.arange(len(y)), regime[units]]
    sizes = np.bincount(regime)
    of_units = residuals.reshape(-1, 5).mean(axis=1)
    means = np.bincount(regime, of_units) / sizes
    between = 5 * ((of_units - means[regime]) ** 2).sum() / (60 - 2)
    within = ((residuals - of_units[units]) ** 2).sum() / 240
    expected = (between - within) / (between + 4 * within)
    assert_allclose(moe.residual_correlation_, expected, rtol=1e-6)


def test_the_correlation_is_that_of_the_set_of_rows():
    X, y, units = units_of(50, 4, spread=0.6)
    moe = regressor().fit(X, y, units=units)
    order = np.random.default_rng(0).permutation(len(y))
    others = {
        "order": regressor().fit(X[order], y[order], units=units[order]),
        "labels": regressor().fit(X, y, units=[f"unit {100 - label}" for label in units]),
        "units of measurement": regressor().fit(X, 3.0 - 1e3 * y, units=units),
        "blocks": regressor().fit(RowBlocks.from_arrays(X, y, units=units)),
        "copy": pickle.loads(pickle.dumps(moe)),
        "clone": clone(moe).fit(X, y, units=units),
    }
    for name, other in others.items():
        tolerance = 1e-2 if name == "blocks" else 1e-4
        value = other.residual_correlation_
        assert_allclose(value, moe.residual_correlation_, rtol=tolerance, err_msg=name)


def test_a_row_of_weight_two_is_there_twice():
    X, y, units = units_of(50, 4, spread=0.6)
    twice = np.append(np.arange(len(y)), np.arange(40))
    weight = np.bincount(twice).astype(float)
    one = regressor(1).fit(X, y, units=units, sample_weight=weight)
    other = regressor(1).fit(X[twice], y[twice], units=units[twice])
    assert_allclose(one.residual_correlation_, other.residual_correlation_, rtol=1e-6)


def test_a_fit_without_units_has_none():
    X, y, _ = units_of(50, 4)
    moe = regressor().fit(X, y)
    assert not hasattr(moe, "residual_correlation_")
    assert "correlation in units" not in moe.summary().facts
    alone = regressor(1).fit(X, y, units=np.arange(len(y)))
    assert not hasattr(alone, "residual_correlation_")


@pytest.mark.parametrize("seed", range(4))
def test_units_with_an_expert_of_their_own_have_none(seed):
    """No two units can be compared, and round-off of responsibilities is no comparison."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(4), [5, 4, 6, 3])
    X, y = rng.normal(size=(len(units), 1)), 10.0 * units + rng.normal(size=len(units))
    assert np.isnan(fit_quietly(regressor(4), X, y, units=units).residual_correlation_)


# --- families -----------------------------------------------------------------------------------

FAMILIES = ["poisson", "negative_binomial", "gamma", "lognormal", "student_t", "ordinal", "weibull"]


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_notices_levels_of_units_and_nothing_else(family):
    rng = np.random.default_rng(0)
    units, X = np.repeat(np.arange(200), 5), rng.normal(size=(1000, 2))
    found = {}
    for spread in (0.0, 1.0):
        predictor = 0.5 + 0.4 * X[:, 0] + spread * np.random.default_rng(1).normal(size=200)[units]
        y = draw(family, predictor, np.random.default_rng(2))
        fitted = fit_quietly(regressor(1, family=family), X, y, units=units)
        found[spread] = fitted.residual_correlation_
    assert abs(found[0.0]) < 0.05
    assert found[1.0] > 0.1


def test_classes_and_several_outputs_have_one_number():
    X, y, units = units_of(200, 5, spread=1.5)
    options = {"gate": "constant", "random_state": 0}
    for labels in (y > 1.0, np.digitize(y, [0.0, 2.0])):
        moe = MixtureOfExpertsClassifier(1, **options).fit(X, labels, units=units)
        assert 0.1 < moe.residual_correlation_ < 0.7
    both = regressor(1).fit(X, np.column_stack([y, -y]), units=units)
    one = regressor(1).fit(X, y, units=units)
    assert_allclose(both.residual_correlation_, one.residual_correlation_, rtol=1e-4)


def test_residuals_of_estimators_are_out_of_fold():
    X, y, units = units_of(100, 5, spread=1.0)
    linear = regressor(1, alpha=1e-6).fit(X, y, units=units).residual_correlation_
    own = regressor(1, expert=LinearRegression()).fit(X, y, units=units)
    assert_allclose(own.residual_correlation_, linear, atol=0.02)
    # Deep trees repeat y in the rows of their fit, where nothing would be left.
    tree = regressor(1, expert=DecisionTreeRegressor(random_state=0)).fit(X, y, units=units)
    assert tree.residual_correlation_ > 0.1


# --- what texts conclude ------------------------------------------------------------------------


def test_the_correlation_falls_slowly_where_units_differ_by_degrees():
    correlation = by_degrees()[3].to_frame()["residual_correlation"]
    assert 0.4 < correlation[1] < 0.6
    assert (correlation.diff().dropna() < 0.01).all()
    assert correlation[2] > 0.1


@pytest.mark.parametrize("number", range(1, 5))
def test_a_summary_says_that_units_differ_by_degrees(number):
    X, y, units, table = by_degrees()
    moe = table.estimators[number - 1]
    for summary in (moe.summary(), moe.summary(X, y, units=units)):
        assert f"{moe.residual_correlation_:.2f}" == summary.facts["correlation in units"]
        [note] = [note for note in summary.notes if "numbers of experts are too large" in note]
        assert note.endswith("random_features=[] models it.")


def test_the_table_says_so_of_the_number_with_the_best_criterion():
    table = by_degrees()[3]
    best = table.best("bic")
    assert f"Of {best} experts, by BIC: " in repr(table)
    assert concludes(table)


def test_the_report_says_so(tmp_path):
    X, y, units, table = by_degrees()
    export_html(table.estimators[1], X, y, tmp_path / "report.html", units=units)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert text.count("Rows of a unit are correlated beyond their regime") == 2  # also the summary


def test_nothing_is_concluded_where_there_are_regimes():
    X, y, units, _ = panel(100, 5)
    table = n_experts_table(regressor(), X, y, [2, 3], units=units, init=None)
    moe = table.estimators[1]
    assert table.best("bic") == 3
    assert abs(moe.residual_correlation_) < 0.05
    assert not concludes(moe.summary(X, y, units=units), table)


def test_few_of_many_tables_mislead():
    """At the number of the best BIC, of one population, and of two groups."""

    def is_noticed(seed, **kind):
        X, y, units = units_of(100, 8, seed=seed, **kind)
        best, lowest = None, np.inf
        for number in range(1, 5):
            fitted = fit_quietly(regressor(number, alpha=0.1, n_init=2), X, y, units=units)
            bic = fitted.bic(X, y, units=units)
            best, lowest = (fitted, bic) if bic < lowest else (best, lowest)
        return concludes(best.summary())

    assert all(is_noticed(seed, spread=1.0) for seed in range(3))
    assert not any(is_noticed(seed, gap=2.0) for seed in range(3))


@pytest.mark.parametrize("family", ["poisson", "gamma", "ordinal"])
def test_groups_of_other_families_are_not_suspected(family):
    rng = np.random.default_rng(0)
    units, X = np.repeat(np.arange(200), 5), rng.normal(size=(1000, 1))
    predictor = 2.0 * (rng.uniform(size=200) < 0.5)[units] + 0.3 * X[:, 0]
    y = (
        draw(family, predictor, rng)
        if family != "ordinal"
        else 1.0 * (rng.logistic(size=1000) < 2.0 * predictor - 2.0)
    )
    moe = fit_quietly(regressor(2, family=family), X, y, units=units)
    assert not concludes(moe.summary())
    assert abs(moe.residual_correlation_) < 0.05


@pytest.mark.parametrize("family", ["poisson", "student_t"])
def test_random_features_are_a_remedy_for_normal_noise_only(family):
    X, y, units = units_of(100, 5, spread=1.0)
    y = y if family == "student_t" else np.random.default_rng(0).poisson(np.exp(y))
    text = str(fit_quietly(regressor(1, family=family), X, y, units=units).summary())
    assert concludes(text)
    assert "random_features" not in text
