"""The bootstrap likelihood-ratio test of K against K + 1 experts."""

import warnings
from functools import partial

import joblib
import numpy as np
import pytest
from kinds import GENERALIZED, draw, options_of
from numpy.testing import assert_allclose
from regimes import crossing_lines, flipping_classes, quiet
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators import likelihood_ratio
from skmoe._estimators.likelihood_ratio import LikelihoodRatioTest
from skmoe._estimators.selection_data import SelectionData
from skmoe._inference.monte_carlo import Replicate, SequentialRule, draw_sequentially
from skmoe.blocks import RowBlocks
from skmoe.model_selection import n_experts_test
from skmoe.reports import NExpertsTest

# Statistics of a fake test; those of at least 5 are replicates 1, 4, 5 and 9.
FAKE = [1.0, 7.0, 0.0, 4.9, 5.0, 6.0, 2.0, 3.0, 4.0, 9.0]


def regressor(**options):
    return MixtureOfExpertsRegressor(**{"n_experts": 1, "n_init": 1} | options)


def one_line(n_rows=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 1))
    return X, X[:, 0] + rng.normal(size=n_rows)


def panel(n_units=24, n_rows=4, seed=0):
    """Units of two regimes, whose intercepts are 5 and -5; labels in no order."""
    rng = np.random.default_rng(seed)
    units = rng.permutation(np.repeat(np.arange(n_units), n_rows))
    X = rng.normal(size=(len(units), 1))
    regime = rng.uniform(size=n_units) < 0.5
    y = np.where(regime[units], 5.0, -5.0) + X[:, 0] + rng.normal(size=len(units))
    return X, y, np.array([f"unit {u}" for u in units])


def fitted_test(X, y, n_experts=1, extras=None, **options):
    """The fits of a test, and its data."""
    data = SelectionData(X, y, np.ones(len(y)), extras or {})
    return LikelihoodRatioTest(regressor(**options), n_experts, len(y)), data


# --- the stopping rule --------------------------------------------------------------------------


def fake_draw(seed):
    return Replicate(FAKE[seed], False)


@pytest.mark.parametrize(
    ("n_exceedances", "n_drawn", "p_value"),
    [
        (1, 2, 1 / 2),
        (2, 5, 2 / 5),
        (3, 6, 3 / 6),
        (4, 10, 4 / 10),
        (5, 10, 5 / 11),
        (None, 10, 5 / 11),
    ],
)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_the_stopping_rule_of_besag_and_clifford(n_exceedances, n_drawn, p_value, n_jobs):
    rule, progress = SequentialRule(5.0, n_exceedances), []
    with joblib.parallel_backend("threading"):
        drawn = draw_sequentially(
            fake_draw, range(10), rule, n_jobs, lambda *counts: progress.append(counts)
        )
    statistics = [replicate.statistic for replicate in drawn]
    assert statistics == FAKE[:n_drawn]
    assert rule.p_value(statistics) == pytest.approx(p_value)
    assert progress[-1] == (n_drawn, sum(value >= 5.0 for value in statistics))


def test_nothing_is_drawn_after_the_test_stops():
    drawn = []

    def counted(seed):
        drawn.append(seed)
        return fake_draw(seed)

    draw_sequentially(counted, range(10), SequentialRule(5.0, 2), 1, lambda *_: None)
    assert drawn == [0, 1, 2, 3, 4]


# --- what the p-value means ---------------------------------------------------------------------


def test_p_values_are_uniform_under_one_regime():
    p_values = []
    moe = regressor(gate="constant", dispersion_prior=2.0)
    for seed in range(16):
        X, y = one_line(seed=seed)
        result = n_experts_test(moe, X, y, n_bootstrap=9, n_exceedances=3, random_state=100 + seed)
        p_values.append(result.p_value)
    # The values that a p-value can have; each is at most that with this probability.
    levels = np.array([1 / 10, 2 / 10, *(3 / np.arange(10, 2, -1))])
    found = np.mean(np.array(p_values)[:, None] <= levels + 1e-9, axis=0)
    # The critical value of Kolmogorov and Smirnov at 5 % for 16 values, conservative for steps.
    assert np.abs(found - levels).max() < 0.33


def test_two_regimes_are_found():
    X, y = crossing_lines(80)
    result = n_experts_test(regressor(), X, y, n_bootstrap=19, random_state=0)
    assert result.p_value == pytest.approx(1 / 20)
    assert result.statistic > 2 * result.replicates.max()
    assert len(result.replicates) == 19
    fewer, more = result.log_likelihoods
    assert result.statistic == pytest.approx(2 * (more - fewer))
    moe = regressor(tol=1e-8).fit(X, y)
    assert fewer == pytest.approx(moe.score_samples(X, y).sum(), abs=0.02)


def test_the_test_stops_early_where_one_regime_is_enough():
    X, y = one_line()
    result = n_experts_test(regressor(), X, y, n_exceedances=2, random_state=0)
    assert len(result.replicates) < 30
    assert (result.replicates >= result.statistic).sum() == 2
    assert result.replicates[-1] >= result.statistic
    assert result.p_value == pytest.approx(2 / len(result.replicates))
    assert f"({len(result.replicates)} of at most 99 bootstrap samples)" in repr(result)
    assert "2 experts do not fit significantly better than 1" in repr(result)


def test_the_result_is_a_sentence():
    result = NExpertsTest(2, np.array([-50.0, -29.4]), 41.2, 0.01, np.zeros(99), 99, 0)
    assert repr(result) == (
        "3 experts against 2: likelihood ratio statistic 41.2, p = 0.01 (99 bootstrap samples). "
        "3 experts fit significantly better than 2, at the level of 5 %."
    )


@pytest.mark.parametrize(("p_value", "verb"), [(0.049, "fit"), (0.05, "fit"), (0.051, "do not")])
def test_a_p_value_of_the_level_is_significant(p_value, verb):
    """Which is that of 19 samples, none of which reaches the statistic."""
    if p_value == 0.05:
        assert SequentialRule(5.0, None).p_value([0.0] * 19) == p_value
    result = NExpertsTest(1, np.zeros(2), 5.0, p_value, np.zeros(19), 19, 0)
    assert f"2 experts {verb} " in repr(result)


@pytest.mark.parametrize(
    ("n_drawn", "n_bootstrap", "words"),
    [(1, 1, "(1 bootstrap sample)"), (1, 9, "(1 of at most 9 bootstrap samples)")],
)
def test_samples_that_were_not_drawn_are_named(n_drawn, n_bootstrap, words):
    result = NExpertsTest(1, np.zeros(2), 5.0, 0.5, np.zeros(n_drawn), n_bootstrap, 0)
    assert words in repr(result)


# --- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", *GENERALIZED])
def test_every_family_with_a_distribution_is_tested(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 1))
    predictor = 0.5 * X[:, 0] + 0.5
    y = draw(name, predictor, rng) if name != "linear" else predictor + rng.normal(size=50)
    moe = regressor(gate="constant", **options_of(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = n_experts_test(moe, X, y, n_bootstrap=2, random_state=0)
    assert result.statistic >= 0.0
    assert len(result.replicates) == 2
    assert (result.replicates >= 0.0).all()
    assert len(set(result.replicates) - {0.0}) == np.count_nonzero(result.replicates)
    larger = (result.replicates >= result.statistic).sum()
    assert result.p_value == (larger + 1) / 3
    assert not hasattr(moe, "n_experts_")


def test_classes_are_tested():
    X, y = flipping_classes(150)
    labels = np.array(["no", "yes"])[y]
    moe = MixtureOfExpertsClassifier(n_experts=4, n_init=2)
    result = n_experts_test(moe, X, labels, n_experts=1, n_bootstrap=5, random_state=0)
    assert result.n_experts == 1
    assert result.p_value == pytest.approx(1 / 6)
    assert result.statistic > 2 * result.replicates.max()


def test_counts_have_an_offset():
    rng = np.random.default_rng(0)
    X, exposure = rng.uniform(-2, 2, size=(120, 1)), rng.uniform(1, 200, size=120)
    y = rng.poisson(exposure * np.exp(0.5 * X[:, 0])).astype(float)
    test = partial(n_experts_test, n_bootstrap=3, random_state=0)
    moe = regressor(family="poisson", gate="constant")
    ignored, used = test(moe, X, y), test(moe, X, y, offset=np.log(exposure))
    # Without the exposure many regimes are needed.
    assert ignored.statistic > 100 > 10 * used.statistic
    # Targets drawn with the exposure come from one regime too.
    assert used.replicates.max() < 20


def test_rows_of_a_unit_are_drawn_from_one_expert(monkeypatch):
    X, y, units = panel()
    targets = []

    def spy(*arguments):
        targets.append(draw_target(*arguments))
        return targets[-1]

    draw_target = likelihood_ratio.draw_target
    monkeypatch.setattr(likelihood_ratio, "draw_target", spy)
    moe = regressor(gate="constant", n_init=2, dispersion_prior=0.1)
    test = partial(n_experts_test, moe, X, y, n_bootstrap=2, random_state=0)
    result = test(units=units, n_experts=2)
    assert len(targets) == 2
    for target in targets:
        level = target - X[:, 0]
        for unit in np.unique(units):
            assert np.ptp(np.sign(level[units == unit])) == 0
        assert np.ptp(np.sign(level)) == 2
    fewer = MixtureOfExpertsRegressor(2, gate="constant", dispersion_prior=0.1, tol=1e-8).fit(
        X, y, units=units
    )
    likelihood = fewer.score_samples(X, y, units=units).sum()
    assert result.log_likelihoods[0] == pytest.approx(likelihood, abs=0.02)
    assert result.statistic < 10
    assert test(units=units, n_experts=1).statistic > 100


def test_jobs_do_not_matter():
    X, y = one_line(30)
    moe = regressor(gate="constant", family="poisson")
    y = np.round(np.exp(1.0 + 0.3 * y))
    options = {"n_bootstrap": 5, "n_exceedances": 2, "random_state": 0}
    one, two = (n_experts_test(moe, X, y, n_jobs=n_jobs, **options) for n_jobs in (1, 2))
    assert np.array_equal(one.replicates, two.replicates)
    assert one.p_value == two.p_value
    assert one.statistic == two.statistic


def test_a_weight_of_two_is_the_row_twice():
    X, y = one_line()
    weight = np.random.default_rng(0).integers(3, size=len(y))
    test = partial(n_experts_test, regressor(), n_bootstrap=2, random_state=0)
    weighted = test(X, y, weight)
    repeated = test(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert np.array_equal(weighted.replicates, repeated.replicates)
    assert weighted.statistic == repeated.statistic
    assert weighted.statistic != test(X, y).statistic


def test_the_unit_of_the_target_does_not_matter():
    X, y = one_line()
    test = partial(n_experts_test, regressor(), n_bootstrap=2, random_state=0)
    one, other = test(X, y), test(X, 100.0 + 1e3 * y)
    assert other.statistic == pytest.approx(one.statistic, abs=1e-3)
    assert other.replicates == pytest.approx(one.replicates, abs=1e-3)


def test_the_seed_of_the_test_decides():
    X, y = one_line()
    test = partial(n_experts_test, X=X, y=y, n_bootstrap=2)
    first = test(regressor(random_state=0), random_state=0)
    assert np.array_equal(first.replicates, test(regressor(), random_state=0).replicates)
    assert not np.array_equal(first.replicates, test(regressor(), random_state=1).replicates)


# --- searches -----------------------------------------------------------------------------------


def test_an_expert_without_rows_is_not_a_further_expert():
    """Under penalties its lower bound is the largest, and its likelihood is not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3))
    y = 2 * np.where(X[:, 0] > 0, X[:, 2], -X[:, 2]) + rng.normal(size=1000)
    test, data = fitted_test(X, y, 2, n_init=2)
    null = test.fit_null(data, 0)
    ratio = test.ratio(null, data, 0)
    best = quiet(test._estimator({"n_experts": 3, "n_init": 1}), X, y)
    assert best.weights_.min() < 1e-3
    assert ratio.statistic > 1.0


def test_failed_searches_are_repeated_and_count_as_zero(monkeypatch):
    X, y = one_line()
    n_starts = []
    best_fit = LikelihoodRatioTest._best_fit

    def worse(self, data, n_experts, starts, *arguments):
        n_starts.append(len(starts))
        found = best_fit(self, data, n_experts, starts[:1], *arguments)
        lowered = found.log_likelihood - 100.0 * (n_experts - 1)
        return found._replace(log_likelihood=lowered)

    monkeypatch.setattr(LikelihoodRatioTest, "_best_fit", worse)
    with pytest.warns(UserWarning, match="In 1 of 1 bootstrap samples no fit"):
        result = n_experts_test(regressor(n_init=2), X, y, n_bootstrap=1, random_state=0)
    assert n_starts == [1, 2, 4] * 2
    assert result.statistic == 0.0
    assert result.replicates.tolist() == [0.0]
    assert result.n_failed_searches == 1
    assert result.p_value == 1.0


def test_progress_is_shown(capsys):
    X, y = one_line()
    n_experts_test(regressor(), X, y, n_bootstrap=2, random_state=0, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("2 of at most 2 bootstrap samples: ")


def test_fits_that_have_not_converged_are_named():
    X, y = crossing_lines(60)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 iterations on the data"):
        n_experts_test(regressor(max_iter=2), X, y, n_bootstrap=1, random_state=0)


# --- what is refused ----------------------------------------------------------------------------


def no_fit(*arguments, **options):
    raise AssertionError("a fit before the refusal")


@pytest.mark.parametrize(
    ("moe", "message"),
    [
        (regressor(n_experts="bic"), r"integer n_experts.*'bic'.*n_experts=2"),
        (regressor(n_experts=0), r"n_experts must be an integer of at least 1; got 0"),
        (regressor(expert="tree"), r"expert='tree'.*Use expert=\"linear\""),
        (regressor(expert=LinearRegression()), r"LinearRegression\(\).*Use expert=\"linear\""),
        (regressor(expert=["linear"]), r"expert=\['linear'\].*Give one expert"),
        (regressor(family=["normal"]), r"family=\['normal'\].*Give one family"),
        (regressor(combine="average", n_init=2), r"combine='average'.*Use combine=\"best\""),
        (regressor(base=LinearRegression()), r"base=LinearRegression\(\).*Use base=None"),
        (regressor(top_k=1), r"top_k=1.*Use top_k=None"),
        (regressor(init=np.ones((40, 1))), r"init=array.*Use a named init"),
        (
            MixtureOfExpertsClassifier(1, class_weight="balanced"),
            r"class_weight='balanced'.*Use class_weight=None",
        ),
    ],
)
def test_estimators_without_a_test_are_refused_by_name(moe, message, monkeypatch):
    X, y = one_line()
    monkeypatch.setattr(type(moe), "_fit", no_fit)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        n_experts_test(moe, X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_experts": 1.5}, r"n_experts must be an integer.*1\.5"),
        ({"n_experts": "auto"}, r"n_experts must be an integer.*'auto'"),
        ({"n_bootstrap": 0}, r"n_bootstrap must be an integer of at least 1; got 0"),
        ({"n_exceedances": 0}, r"n_exceedances must be an integer of at least 1; got 0"),
        ({"n_jobs": 0}, r"n_jobs must be"),
        ({"verbose": -1}, r"verbose must be"),
        ({"random_state": "x"}, r"random_state must be"),
        ({"sample_weight": np.full(40, 0.5)}, r"sample_weight must hold integers.*row 0 has.*0\.5"),
        ({"offset": np.zeros(40)}, r"offset"),
        ({"units": np.zeros(39)}, r"units"),
        ({"n_experts": 40}, r"n_experts must not exceed the number of rows, 40"),
    ],
)
def test_arguments_are_refused_before_any_fit(options, message, monkeypatch):
    X, y = one_line()
    monkeypatch.setattr(MixtureOfExpertsRegressor, "_fit", no_fit)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        n_experts_test(regressor(), X, y, **options)


def test_other_estimators_and_rows_elsewhere_are_refused():
    X, y = one_line()
    with pytest.raises(TypeError, match=r"got Pipeline.*last step of the pipeline"):
        n_experts_test(make_pipeline(StandardScaler(), regressor()), X, y)
    with pytest.raises(TypeError, match=r"Pass an instance"):
        n_experts_test(MixtureOfExpertsRegressor, X, y)
    with pytest.raises(ValueError, match=r"all rows in memory.*RowBlocks.*a sample of the rows"):
        n_experts_test(regressor(), RowBlocks.from_arrays(X, y), None)


def test_names_of_columns_and_lists_are_accepted():
    pandas = pytest.importorskip("pandas")
    X, y = one_line()
    frame = pandas.DataFrame({"size": X[:, 0], "noise": expit(X[::-1, 0])})
    moe = regressor(expert_features=["size"], gate_features=["size"])
    options = {"n_bootstrap": 1, "random_state": 0}
    named = n_experts_test(moe, frame, pandas.Series(y), **options)
    plain = n_experts_test(
        regressor(expert_features=[0], gate_features=[0]),
        frame.to_numpy().tolist(),
        list(y),
        **options,
    )
    # The order of the numbers in memory changes round-off.
    assert_allclose(named.statistic, plain.statistic, rtol=1e-9)
    assert_allclose(named.replicates, plain.replicates, rtol=1e-9)
