"""The bootstrap likelihood-ratio test of K against K + 1 experts."""

import warnings
from functools import cache, partial

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, right_censored
from skmoe.gates import SoftmaxGate
from skmoe.inspection import NExpertsTest
from skmoe.model_selection import n_experts_table, n_experts_test
from support.expert_kinds import KINDS_OF_FITS, draw, options_of
from support.fits import FIXED
from support.heteroscedastic import HeteroscedasticExperts
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes


def regressor(**options):
    return MixtureOfExpertsRegressor(**{"n_experts": 1, "n_init": 1} | options)


def one_line(n_rows=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 1))
    return X, X[:, 0] + rng.normal(size=n_rows)


def panel(n_units=20, n_rows=4):
    """Units of two regimes, whose intercepts are 5 and -5; labels in no order."""
    rng = np.random.default_rng(0)
    units = rng.permutation(np.repeat(np.arange(n_units), n_rows))
    X = rng.normal(size=(len(units), 1))
    regime = rng.uniform(size=n_units) < 0.5
    y = np.where(regime[units], 5.0, -5.0) + X[:, 0] + rng.normal(size=len(units))
    return X, y, np.array([f"unit {u}" for u in units])


# --- statistics, replicates and p-values ------------------------------------------------------


@cache
def whole_test():
    """A test of one regime, of which some replicates are as large as the statistic."""
    X, y = one_line(30)
    return n_experts_test(regressor(gate="constant"), X, y, n_bootstrap=4, random_state=0)


@pytest.mark.filterwarnings("ignore")  # filters of threads meet
@pytest.mark.parametrize(("n_exceedances", "n_jobs"), [(1, 1), (2, 3)])
def test_the_stopping_rule_of_besag_and_clifford(n_exceedances, n_jobs):
    """Replicates do not depend on when the test stops, nor on the number of jobs."""
    whole = whole_test()
    exceeds = whole.replicates >= whole.statistic
    assert exceeds.sum() >= 2
    assert not exceeds.all()
    X, y = one_line(30)
    with joblib.parallel_backend("threading"):
        found = n_experts_test(
            regressor(gate="constant"), X, y, n_bootstrap=4, n_exceedances=n_exceedances,
            n_jobs=n_jobs, random_state=0,
        )  # fmt: skip
    n_drawn = int(np.flatnonzero(exceeds)[n_exceedances - 1]) + 1
    expected = n_exceedances / n_drawn
    assert_array_equal(found.replicates, whole.replicates[:n_drawn])
    assert found.p_value == pytest.approx(expected)
    assert found.n_bootstrap == 4
    assert (f"({n_drawn} of at most 4 bootstrap samples)" in repr(found)) == (n_drawn < 4)
    assert whole.p_value == pytest.approx((exceeds.sum() + 1) / 5)


def test_two_regimes_are_found():
    X, y = crossing_lines(40)
    result = n_experts_test(regressor(), X, y, n_bootstrap=3, random_state=0)
    assert result.p_value == pytest.approx(1 / 4)
    assert result.statistic > 2 * result.replicates.max()
    assert len(result.replicates) == 3
    fewer, more = result.log_likelihoods
    assert result.statistic == pytest.approx(2 * (more - fewer))
    for number, log_likelihood in ((1, fewer), (2, more)):
        moe = regressor(n_experts=number, tol=1e-8, max_iter=1000, **FIXED).fit(X, y)
        assert log_likelihood == pytest.approx(moe.score_samples(X, y).sum(), abs=0.1)


def test_regimes_of_censored_times_are_found():
    """Some rows are observed from an entry on only."""
    rng = np.random.default_rng(0)
    time = np.where(rng.random(150) < 0.5, 4.0, 0.4) * rng.weibull(3.0, size=150)
    end, entry = rng.uniform(0.3, 5.0, size=150), np.where(np.arange(150) % 2, 0.1, 0.0)
    kept = np.minimum(time, end) > entry
    y = right_censored(np.minimum(time, end)[kept], (time <= end)[kept], entry=entry[kept])
    moe, X = regressor(family="exponential", gate="constant"), rng.normal(size=(len(y), 1))
    result = n_experts_test(moe, X, y, n_bootstrap=1, random_state=0)
    assert result.statistic > 10.0 + result.replicates.max()
    assert result.p_value == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("p_value", "n_drawn", "n_bootstrap", "words"),
    [
        (0.049, 19, 19, "2 experts fit significantly better than 1"),
        (0.05, 19, 19, "2 experts fit significantly better than 1"),
        (0.05, 19, 19, "the smallest that so many samples can give"),
        (0.051, 19, 19, "2 experts do not fit significantly better than 1"),
        (0.5, 1, 1, "p = 0.5 (1 bootstrap sample)"),
        (0.5, 1, 9, "(1 of at most 9 bootstrap samples)"),
        (0.01, 99, 99, "2 experts against 1: likelihood ratio statistic 41.2, p = 0.01 (99 boot"),
    ],
)
def test_the_result_is_a_sentence(p_value, n_drawn, n_bootstrap, words):
    result = NExpertsTest(1, np.zeros(2), 41.2, p_value, np.zeros(n_drawn), n_bootstrap, 0)
    assert words in repr(result)


# --- what can be tested -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, task in KINDS_OF_FITS if task == "regressor"])
def test_families_with_a_distribution_are_tested(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1))
    predictor = 0.5 * X[:, 0] + 0.5
    y = draw(name, predictor, rng) if name != "linear" else predictor + rng.normal(size=40)
    moe = regressor(gate="constant", **options_of(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = n_experts_test(moe, X, y, n_bootstrap=1, random_state=0)
    assert result.statistic >= 0.0
    assert result.replicates.shape == (1,)
    assert result.replicates[0] >= 0.0
    assert result.p_value == (1 + (result.replicates[0] >= result.statistic)) / 2
    assert not hasattr(moe, "n_experts_")  # the estimator is not fitted


def test_classes_are_tested():
    X, y = flipping_classes(80)
    labels = np.array(["no", "yes"])[y]
    moe = MixtureOfExpertsClassifier(n_experts=4, n_init=1)
    result = n_experts_test(moe, X, labels, n_experts=1, n_bootstrap=2, random_state=0)
    assert result.n_experts == 1
    assert result.p_value == pytest.approx(1 / 3)
    assert result.statistic > 2 * result.replicates.max()


def test_counts_have_an_offset():
    rng = np.random.default_rng(0)
    X, exposure = rng.uniform(-2, 2, size=(80, 1)), rng.uniform(1, 200, size=80)
    y = rng.poisson(exposure * np.exp(0.5 * X[:, 0])).astype(float)
    test = partial(n_experts_test, n_bootstrap=1, random_state=0)
    moe = regressor(family="poisson", gate="constant")
    ignored, used = test(moe, X, y), test(moe, X, y, offset=np.log(exposure))
    # Without the exposure many regimes are needed.
    assert ignored.statistic > 100 > 10 * used.statistic
    # Targets drawn with the exposure come from one regime too.
    assert used.replicates.max() < 20


def test_rows_of_a_unit_are_drawn_from_one_expert():
    """Two regimes of units are enough, and targets drawn from them do not need a third."""
    X, y, units = panel()
    options = {"gate": "constant", "dispersion_prior": 0.1, "alpha": 0.1}
    test = partial(n_experts_test, regressor(**options), X, y, units=units, random_state=0)
    two = test(n_experts=2, n_bootstrap=1)
    fewer = MixtureOfExpertsRegressor(2, **options, tol=1e-8).fit(X, y, units=units)
    likelihood = fewer.score_samples(X, y, units=units).sum()
    assert two.log_likelihoods[0] == pytest.approx(likelihood, abs=0.02)
    assert two.statistic < 15
    # If they came from different experts, one regression with more noise would be better.
    assert two.replicates.max() < 25
    assert test(n_experts=1, n_bootstrap=1).statistic > 100


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weight_two_equals_two_rows():
    X, y = one_line()
    weight = np.random.default_rng(0).integers(3, size=len(y))
    moe = regressor(gate="constant")
    test = partial(n_experts_test, moe, n_bootstrap=1, random_state=0)
    weighted = test(X, y, sample_weight=weight)
    repeated = test(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.replicates, repeated.replicates, atol=1e-3)
    assert weighted.statistic == pytest.approx(repeated.statistic, abs=1e-3)


def test_the_seed_of_the_test_decides():
    X, y = one_line(30)
    test = partial(n_experts_test, X=X[:20], y=y[:20], n_bootstrap=1)
    moe = regressor(gate="constant")
    first = test(regressor(gate="constant", random_state=0), random_state=0)
    assert_array_equal(first.replicates, test(moe, random_state=0).replicates)
    assert not np.array_equal(first.replicates, test(moe, random_state=1).replicates)


def test_both_hypotheses_have_the_initial_penalties():
    """Those of a frame, whose columns have names."""
    X, y = crossing_lines(30)
    X, given = pd.DataFrame({"size": X[:, 0], "noise": y[::-1]}), {"expert_features": ["size"]}
    results = [
        n_experts_test(regressor(**options, **given), X, y, n_bootstrap=1, random_state=0)
        for options in (
            {"alpha": "auto", "gate_alpha": "ard", "dispersion_prior": "auto"},
            {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 10.0},
        )
    ]
    assert_array_equal(*[result.log_likelihoods for result in results])


# --- searches ---------------------------------------------------------------------------------


def test_an_expert_without_rows_is_not_a_further_expert():
    """Under penalties its lower bound is the largest, and its likelihood is not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = 2 * np.where(X[:, 0] > 0, X[:, 2], -X[:, 2]) + rng.normal(size=400)
    result = n_experts_test(regressor(), X, y, n_experts=2, n_bootstrap=1, random_state=0)
    assert result.statistic > 1.0


class Worse(HeteroscedasticExperts):
    """Experts whose densities are smaller, the more of them there are."""

    def log_prob(self, params, design, y):
        return super().log_prob(params, design, y) - 10.0 * (len(params.coef) - 1)

    def m_step(self, statistics, factor, params, step):
        """Several stay where they start, so that their fits end at once."""
        moved = super().m_step(statistics, factor, params, step)
        return moved if len(params.coef) == 1 else params


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_searches_that_fail_count_as_zero():
    X, y = one_line(15)
    moe = regressor(expert=Worse(), gate="constant", max_iter=3)
    with pytest.warns(UserWarning, match="In 1 of 1 bootstrap samples no fit"):
        result = n_experts_test(moe, X, y, n_bootstrap=1, random_state=0)
    assert result.statistic == 0.0
    assert result.replicates.tolist() == [0.0]
    assert result.n_failed_searches == 1
    assert result.p_value == 1.0


def test_progress_is_shown(capsys):
    X, y = one_line()
    moe = regressor(gate="constant")
    n_experts_test(moe, X, y, n_bootstrap=2, random_state=0, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("2 of at most 2 bootstrap samples: ")


def test_fits_that_have_not_converged_are_named():
    X, y = crossing_lines(60)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 iterations on the data"):
        n_experts_test(regressor(max_iter=2), X, y, n_bootstrap=1, random_state=0)


def test_a_pipeline_is_tested_with_the_features_of_its_steps():
    X, y = crossing_lines(60)
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), regressor())
    options = {"n_bootstrap": 1, "random_state": 0}
    found = n_experts_test(pipeline, X, y, **options)
    expected = n_experts_test(pipeline[-1], pipeline[:-1].fit_transform(X), y, **options)
    assert_allclose(found.replicates, expected.replicates)
    assert_allclose(found.log_likelihoods, expected.log_likelihoods)


# --- refusals ---------------------------------------------------------------------------------

REFUSED_ESTIMATORS = [
    (regressor(n_experts="bic"), "n_experts_test", ("integer", "'bic'", "n_experts=2")),
    (regressor(n_experts=0), "n_experts", ("at least 1", 0)),
    (regressor(expert="tree"), "n_experts_test", ("expert='tree'", 'expert="linear"')),
    (regressor(expert=LinearRegression()), "n_experts_test", ("LinearRegression", "linear")),
    (regressor(expert=["linear"]), "n_experts_test", ("expert=['linear']", "any number")),
    (regressor(family=["normal"]), "n_experts_test", ("family=['normal']", "any number")),
    (regressor(base=LinearRegression()), "n_experts_test", ("LinearRegression", "base=None")),
    (
        regressor(gate=SoftmaxGate(top_k=1)),
        "n_experts_test",
        ("top_k=1", "a gate without top_k"),
    ),
    (regressor(init=np.ones((40, 1))), "n_experts_test", ("init as an array", "any number")),
    (MixtureOfExpertsClassifier(1, class_weight="balanced"), "n_experts_test", ("class_weight",)),
    (make_pipeline(StandardScaler(), LinearRegression()), "estimator", ("Linear", "pipeline that")),
    (MixtureOfExpertsRegressor, "estimator", ("instance",)),
]


@pytest.mark.parametrize(("moe", "name", "words"), REFUSED_ESTIMATORS, ids=str)
def test_estimators_without_a_test_are_refused(moe, name, words):
    assert_refused(refusal(n_experts_test, moe, *one_line()), name, *words)


REFUSED_ARGUMENTS = [
    ({"n_experts": 1.5}, "n_experts", ("integer", 1.5)),
    ({"n_experts": "auto"}, "n_experts", ("integer", "auto")),
    ({"n_experts": 40}, "n_experts", ("number of rows", "40")),
    ({"n_bootstrap": 0}, "n_bootstrap", ("at least 1", 0)),
    ({"n_exceedances": 0}, "n_exceedances", ("at least 1", 0)),
    ({"n_jobs": 0}, "n_jobs", (0,)),
    ({"verbose": -1}, "verbose", (-1,)),
    ({"random_state": "x"}, "random_state", ("x",)),
    ({"sample_weight": np.full(40, 0.5)}, "sample_weight", ("whole numbers", "row 0", "0.5")),
    ({"offset": np.zeros(40)}, "offset", ()),
    ({"units": np.zeros(39)}, "units", ("39",)),
    ({"time": np.arange(40)}, "time", ('gate="markov" only',)),
]


@pytest.mark.parametrize(("options", "name", "words"), REFUSED_ARGUMENTS)
def test_arguments_are_refused_before_any_fit(options, name, words):
    class NoFits(HeteroscedasticExperts):
        """Experts that cannot be fitted."""

        def m_step(self, *given):
            raise AssertionError("a fit before the refusal")

    X, y = one_line()
    moe = regressor() if name == "offset" else regressor(expert=NoFits())
    assert_refused(refusal(n_experts_test, moe, X, y, **options), name, *words)


@pytest.mark.parametrize("use", [n_experts_test, n_experts_table])
def test_series_are_refused_before_any_fit(use):
    X, y = one_line()
    given = {"units": np.arange(40) // 20, "time": np.arange(40), "n_bootstrap": 1}
    message = refusal(use, regressor(gate="markov"), X, y, **given)
    name = "n_experts_test" if use is n_experts_test else "n_bootstrap"
    assert_refused(message, f"gate='markov' cannot be used with {name}", "their bic")


def test_rows_elsewhere_are_refused():
    blocks = RowBlocks.from_arrays(*one_line())
    message = refusal(n_experts_test, regressor(), blocks, None)
    assert_refused(message, "n_experts_test", "in memory", "RowBlocks", "sample of the rows")
