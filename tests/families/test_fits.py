"""Mixtures of each family: regimes, lower bounds and supports; lists, and shared slopes."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import GammaRegressor, PoissonRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.experts import LinearExperts
from skmoe.families import FAMILIES, Gamma, Ordinal, Poisson, StudentT, Uniform
from skmoe.inspection import export_text
from support.expert_kinds import draw, example_target, options_of
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

NAMES = [name for name, family in FAMILIES.items() if family.link]
FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def two_slopes(name, n_rows, seed=0):
    """Two regimes with slopes of -1 and 1 of the linear predictor, drawn from a family."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, draw(name, 1.0 + np.abs(X[:, 0]), rng, (0.1, 4.0))


def mixture(n_experts, family, **options):
    return MixtureOfExpertsRegressor(n_experts, family=family, **FIXED | options)


@pytest.mark.parametrize("name", NAMES)
def test_regimes_are_found(name):
    X, y = two_slopes(name, 1500 if name == "ordinal" else 600)
    moe = MixtureOfExpertsRegressor(2, **FIXED | options_of(name)).fit(X, y)
    # Four values, and large values of a variance that is cubic in the mean, say less of slopes.
    atol = {"ordinal": 0.35, "inverse_gaussian": 0.3}.get(name, 0.2)
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1.0, 1.0], atol=atol)
    assert moe.converged_
    if "dispersion_" in vars(moe):  # that of hazards at zero is known from few rows
        assert_allclose(moe.dispersion_, 0.1, rtol=0.6 if name == "gompertz" else 0.5)
    link = FAMILIES[name].link
    assert moe.link_ == link
    text, expected = export_text(moe), {"log": " = exp(", "logit": "log"}
    assert expected.get(link, "y = ") in text


@pytest.mark.parametrize("name", ["uniform", "inverse_gaussian", "gamma"])
def test_outputs_of_one_expert_have_the_distributions_of_separate_fits(name):
    """Although ranges and units of dispersions are those of each output."""
    rng, family = np.random.default_rng(0), FAMILIES[name]()
    X = rng.normal(size=(40, 1))
    y = np.vstack([scale * example_target(family, rng, 40) for scale in (1.0, 30.0, 0.1)]).T
    moe = mixture(1, name, dispersion_prior=0.0, tol=1e-10)
    together = moe.fit(X, y).predict_dist(X)
    for output in range(3):
        alone = moe.fit(X, y[:, output]).predict_dist(X)
        expected = alone.logpdf(y[:, output])
        assert_allclose(together.marginal(output).logpdf(y[:, output]), expected, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_lower_bound_never_falls(name, seed):
    """On tables with features of many scales; numbers stay finite, also beside another family."""
    rng = np.random.default_rng([seed, *name.encode()])
    family = FAMILIES[name]()
    X = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-2, 3, size=3)
    y = example_target(family, rng, 50)[0] * (1 if family.is_count else 10.0 ** rng.integers(-3, 4))
    partner = "student_t" if family.is_continuous else "negative_binomial"
    if name == "never":
        y, partner = right_censored(rng.exponential(size=50), np.arange(50) % 2), "weibull"
    chosen = name if family.link and seed % 2 else [name, partner, partner]
    options = {"alpha": 10.0 ** rng.uniform(-3, 1), "dispersion_prior": rng.choice([0.0, 10.0])}
    moe = mixture(3, chosen, max_iter=10, **options)
    with np.errstate(all="raise", under="ignore"):
        fit_quietly(moe, X, y)
    falls = np.diff(moe.lower_bounds_) / (1.0 + np.abs(moe.lower_bounds_[1:]))
    assert min(falls, default=0.0) > -1e-10
    assert name == "never" or np.isfinite(moe.predict(X)).all()
    assert np.isfinite(moe.score_samples(X, y)).all()


# --- one expert ---

ONE = {"tol": 1e-13, "max_iter": 1000, "dispersion_prior": 0.0}


@pytest.mark.parametrize("alpha", [1e-9, 50.0])
@pytest.mark.parametrize(
    ("name", "regression"), [("gamma", GammaRegressor), ("poisson", PoissonRegressor)]
)
def test_one_expert_is_the_regression_of_scikit_learn(name, regression, alpha):
    """Also of weighted rows; the penalty is that of scikit-learn."""
    X, y = two_slopes(name, 150)
    weight = np.random.default_rng(1).integers(1, 4, size=150).astype(float)
    X = (X - np.average(X, axis=0, weights=weight)) / np.sqrt(
        np.cov(X.T, aweights=weight, ddof=0).diagonal()
    )
    moe = mixture(1, name, **ONE | {"alpha": alpha}).fit(X, y, sample_weight=weight)
    # The penalised deviance of scikit-learn is a mean over the weights.
    single = regression(alpha=alpha / weight.sum(), tol=1e-12, max_iter=1000)
    single.fit(X, y, sample_weight=weight)
    assert_allclose(moe.expert_coef_[0], single.coef_, rtol=0, atol=1e-6)
    assert_allclose(moe.expert_intercept_, single.intercept_, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spread", [1e-4, 1e-2, 1.0, 50.0])
def test_one_lognormal_expert_is_least_squares_of_the_logarithm(spread):
    """Bounds of the variance and its start are relative to the variance of the logarithm."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(150, 1))
    logs = spread * (X[:, 0] + (1e-2 if spread < 1.0 else 0.5) * rng.normal(size=150))
    moe = mixture(1, "lognormal", **ONE | {"alpha": 0.0}).fit(X, np.exp(logs))
    design = np.column_stack([X, np.ones(150)])
    coef, (squares,), *_ = np.linalg.lstsq(design, logs, rcond=None)
    assert_allclose([*moe.expert_coef_[0], *moe.expert_intercept_], coef, atol=1e-7 * spread)
    assert_allclose(moe.dispersion_, squares / 150, rtol=1e-5)


# --- counts ---


def test_counts_that_are_all_zero_or_very_large():
    X = np.random.default_rng(0).uniform(-2, 2, size=(150, 2))
    zero = fit_quietly(mixture(2, "poisson"), X, np.zeros(150))
    assert (zero.predict(X) < 1e-3).all()
    assert (zero.predict_interval(X) == 0).all()
    large = np.random.default_rng(2).poisson(np.exp(12.0 + X[:, 0]))
    fitted = fit_quietly(mixture(2, "poisson"), X, large)
    assert fitted.score(X, large) > 0.99
    assert np.isfinite(fitted.predict(X * 1e6)).all()


# --- ways to name a family ---


@pytest.mark.parametrize("name", ["poisson", "gamma", "student_t", "ordinal"])
def test_name_object_and_list_of_one_family_are_the_same(name):
    X, y = two_slopes(name, 80)
    given = options_of(name)["family"]
    family = given if isinstance(given, Ordinal) else FAMILIES[name]()
    moe, *others = (
        fit_quietly(mixture(2, chosen, max_iter=3), X, y)
        for chosen in (given, family, [given, family])
    )
    for same in others:
        assert_allclose(same.expert_coef_, moe.expert_coef_, rtol=1e-12)


def test_experts_object_keeps_its_own_penalty():
    X, y = two_slopes("poisson", 80)
    found = [
        fit_quietly(MixtureOfExpertsRegressor(2, **FIXED | given | {"max_iter": 3}), X, y)
        for given in (
            {"expert": LinearExperts((Poisson(),), alpha=0.1)},
            {"family": "poisson"},
            {"expert": LinearExperts((Poisson(),), alpha=1e5), "alpha": None},
        )
    ]
    assert_allclose(found[0].expert_coef_, found[1].expert_coef_, rtol=1e-12)
    assert np.abs(found[2].expert_coef_).max() < 0.1


def test_families_belong_to_the_regressor():
    message = refusal(MixtureOfExpertsClassifier, 2, family="poisson")
    assert_refused(message, "MixtureOfExpertsClassifier", "family")


# --- refusals ---

X, COSTS = two_slopes("gamma", 40)


@pytest.mark.parametrize(
    ("family", "y", "words"),
    [
        ("gamma", [1.0, 0.0], ["positive numbers", 'family="gamma"', "row 1 holds 0"]),
        ("lognormal", [1.0, -1.0], ["positive numbers", 'family="lognormal"', "row 1 holds -1"]),
        ("poisson", [1.0, 2.0, -1.0], ["non-negative integers", "row 2 holds -1"]),
        ("negative_binomial", [1.0, 0.5], ["counts", "row 1 holds 0.5"]),
        (["zero", "gamma"], [1.0, -2.0], ["zeros or positive numbers", "'zero'", "-2"]),
    ],
    ids=str,
)
def test_values_outside_the_support_are_refused(family, y, words):
    moe = mixture(2, family)
    y = np.resize(np.asarray(y), 40)
    assert_fit_refused(moe, (X, y), "y must hold", *words)
    # Of two outputs, each must be possible.
    both = np.column_stack([np.ones(40), y])
    for outputs in (both, both[:, ::-1]):
        assert_fit_refused(moe, (X, outputs), "y must hold", words[0])


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"family": "cauchy"}, "family", ["one of", "gamma", "cauchy"]),
        ({"family": Uniform}, "family", ["one of"]),
        ({"family": ["normal", "gamma", "gamma"]}, "family", ["one entry", "n_experts=2"]),
        ({"family": "ordinal"}, 'family="ordinal"', ["2 to 30 different values"]),
        ({"family": "ordinal", "expert": "tree"}, "expert='tree'", ['expert="linear"', "ordinal"]),
        (
            {"family": ["normal", "student_t"], "dispersion": "shared"},
            "dispersion='shared'",
            ["one family"],
        ),
        ({"family": StudentT(df=-1.0)}, "df", ["at least 0.1", -1.0]),
        ({"shared_features": [7]}, "shared_features", [7]),
        (
            {"shared_features": [1], "expert_features": [0]},
            "shared_features",
            ["among", "expert_features", "1"],
        ),
        ({"expert": ["poisson", "linear"]}, "expert[0]", ["one of", "poisson"]),
    ],
    ids=str,
)
def test_invalid_families_are_refused(options, name, words):
    moe = MixtureOfExpertsRegressor(2, **FIXED | options)
    assert_fit_refused(moe, (X, COSTS), name, *words)


def test_rows_outside_every_support_are_impossible():
    moe = fit_quietly(mixture(2, "poisson", max_iter=5), *two_slopes("poisson", 80))
    assert np.isneginf(moe.score_samples(X[:2], [0.5, -1.0])).all()
    assert_allclose(moe.responsibilities(X[:2], [0.5, -1.0]), 0.5)


@pytest.mark.parametrize("family", ["poisson", "gamma"])
def test_one_expert_with_many_features_is_the_regression_of_scikit_learn(family):
    """With more features than matrices are formed for."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1001))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    rate = np.exp(0.5 + 0.3 * X[:, 0])
    y = rng.poisson(rate) if family == "poisson" else rate * rng.gamma(5.0, 0.2, size=60)
    moe = mixture(1, family, alpha=30.0, tol=1e-9, max_iter=500).fit(X, y)
    regression = {"poisson": PoissonRegressor, "gamma": GammaRegressor}[family]
    reference = regression(alpha=0.5, tol=1e-8, max_iter=1000).fit(X, y)
    assert_allclose(moe.predict(X), reference.predict(X), rtol=1e-3)


def test_slopes_of_many_features_can_be_shared():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 1001))
    y = X[:, 0] + np.where(X[:, 1] > 0, X[:, 2], -X[:, 2])
    # One expert of that many is enough, since the matrix is that of both.
    options = {"shared_features": [0], "expert_features": [list(range(1001)), [0, 2]]}
    moe = mixture(2, "student_t", gate_features=[0], max_iter=1, **options)
    slopes = fit_quietly(moe, X, y).expert_coef_
    assert slopes[0, 0] == slopes[1, 0] != 0.0


# --- lists of families ---


def test_zero_inflated_counts_are_recovered():
    """The gate finds the share of rows that are always zero."""
    rng = np.random.default_rng(1)
    X = rng.uniform(-2, 2, size=(3000, 2))
    y = draw("poisson", 1.0 + 0.7 * X[:, 0], rng)
    y = np.where(rng.uniform(size=len(y)) < 1 / (1 + np.exp(1 + X[:, 1])), 0.0, y)
    moe = mixture(2, ["zero", "poisson"]).fit(X, y)
    assert_allclose(moe.expert_coef_[1], [0.7, 0.0], atol=0.05)
    share = moe.predict_gate([[2.0, 0.0], [-2.0, 0.0], [2.0, 1.0]])[:, 0]
    assert_allclose(share, 1 / (1 + np.exp([1.0, 1.0, 2.0])), atol=0.06)
    # The point mass has no coefficients, and explains zeros only.
    assert np.isnan(moe.expert_intercept_[0])
    assert not moe.expert_coef_[0].any()
    assert moe.n_parameters_ == 3 + 3
    assert not moe.predict_experts(X)[:, 0].any()
    resp = moe.responsibilities(X, y)
    assert not resp[y > 0, 0].any()
    assert (resp[y == 0, 0] > 0.0).all()


@pytest.mark.parametrize(
    ("n_experts", "family"), [(2, "student_t"), (3, ["normal", "normal", "uniform"])], ids=str
)
def test_outliers_do_not_hide_the_regimes(n_experts, family):
    X, y = two_slopes("normal", 600)
    rng = np.random.default_rng(2)
    gross = rng.uniform(size=len(y)) < 0.05
    y = np.where(gross, rng.uniform(-60, 60, size=len(y)), y)
    error, error_of_normal = (
        np.abs(moe.fit(X, y).predict(X[~gross]) - 1.0 - np.abs(X[~gross, 0])).mean()
        for moe in (mixture(n_experts, family, n_init=3), mixture(2, "normal", n_init=3))
    )
    assert error < 0.35
    assert error_of_normal > 2 * error


def test_order_of_a_list_does_not_matter_where_the_data_choose():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1500, 1))
    right = X[:, 0] > 0
    y = np.where(right, rng.gamma(2.0, 3.0, size=1500), rng.lognormal(1.0, 1.0, size=1500))
    order = ["gamma", "lognormal"]
    moe, swapped = (mixture(2, family, n_init=3).fit(X, y) for family in (order, order[::-1]))
    assert moe.predict_gate([[1.5]])[0, 0] > 0.8
    assert_allclose(moe.lower_bound_, swapped.lower_bound_, atol=2e-3)


@pytest.mark.parametrize("family", ["normal", "student_t", "gamma", "lognormal"])
def test_density_beside_a_point_mass_is_that_of_the_distribution(family):
    X, y = two_slopes(family, 100)
    y[::4] = 0.0
    moe = fit_quietly(mixture(2, ["zero", family]), X, y)
    assert_allclose(moe.predict_dist(X).logpdf(y), moe.score_samples(X, y), rtol=1e-9)
    assert_allclose(moe.responsibilities(X, y)[y == 0.0, 0], 1.0, rtol=1e-12)


@dataclass(frozen=True)
class StrictGamma(Gamma):
    """Derivatives are asked for at positive numbers only."""

    def derivatives(self, y, eta):
        assert (y > 0.0).all()
        return super().derivatives(y, eta)

    def second(self, y, eta):
        assert (y > 0.0).all()
        return super().second(y, eta)


def test_derivatives_are_not_asked_for_outside_the_support():
    X, y = two_slopes("gamma", 100)
    y[::4] = 0.0
    strict, plain = (
        fit_quietly(mixture(2, ["zero", family], max_iter=5, tol=0.0), X, y)
        for family in (StrictGamma(), "gamma")
    )
    assert_allclose(strict.expert_coef_, plain.expert_coef_)
    assert np.isfinite(strict.inference(X, y).standard_errors).all()


def test_expert_without_possible_rows_has_a_predictor_of_zero():
    X, y = two_slopes("gamma", 100)
    with pytest.warns(UserWarning, match="collapsed"):
        moe = mixture(2, ["normal", "gamma"]).fit(X, -y)
    assert_allclose([moe.expert_intercept_[1], *moe.expert_coef_[1]], 0.0, atol=1e-12)
    assert_allclose(moe.predict_gate(X)[:, 0], 1.0, atol=1e-2)


# --- shared slopes ---


def test_shared_slope_is_one_parameter_that_is_listed_once():
    X, y = two_slopes("poisson", 200)
    free, moe = (
        MixtureOfExpertsRegressor(2, family="poisson", shared_features=features, **FIXED).fit(X, y)
        for features in (None, [1])
    )
    assert moe.expert_coef_[0, 1] == moe.expert_coef_[1, 1]
    assert moe.expert_coef_[0, 0] != moe.expert_coef_[1, 0]
    assert moe.n_parameters_ == free.n_parameters_ - 1
    before, after = str(moe.summary(X, y)).split("\nCommon to all experts\n")
    shared, gate = after.split("\nGate: ")
    # Once with its estimate, and once as a ratio.
    assert [part.count("\n  x1 ") for part in (before, shared, gate)] == [0, 2, 2]
    assert "\n  x0 " not in shared


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].link])
def test_single_expert_shares_its_slopes_with_nobody(name):
    X, y = two_slopes(name, 100)
    options = FIXED | options_of(name) | {"tol": 1e-12, "max_iter": 1000, "alpha": 2.0}
    one, shared = (
        fit_quietly(MixtureOfExpertsRegressor(1, shared_features=features, **options), X, y)
        for features in (None, [0, 1])
    )
    assert_allclose(shared.expert_coef_, one.expert_coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(shared.lower_bound_, one.lower_bound_, rtol=1e-8)


def test_likelihood_ratio_of_true_shared_slopes_is_small():
    """Twice the loss is a chi-squared variable of two degrees of freedom."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(1000, 2))
    level = np.where(rng.uniform(size=1000) < 0.5, 0.0, 2.0)
    y = draw("gamma", level + X @ [0.5, -0.3], rng, (0.05,))
    options = FIXED | {"gate": "constant", "alpha": 0.0, "tol": 1e-9, "n_init": 3}
    free, shared = (
        MixtureOfExpertsRegressor(2, family="gamma", shared_features=features, **options).fit(X, y)
        for features in (None, [0, 1])
    )
    gain = 2 * len(y) * (free.score_samples(X, y).mean() - shared.score_samples(X, y).mean())
    assert 0.0 < gain < 15.0
    assert_allclose(shared.expert_coef_[0], [0.5, -0.3], atol=0.05)


def test_the_experts_of_a_shared_slope_may_be_a_mask():
    X, y = two_slopes("normal", 60)
    options = {"n_experts": 3, "max_iter": 20} | FIXED
    found, expected = (
        fit_quietly(MixtureOfExpertsRegressor(shared_features={0: sharing}, **options), X, y)
        for sharing in ([True, False, True], [0, 2])
    )
    assert_allclose(found.expert_coef_, expected.expert_coef_)
    assert found.expert_coef_[0, 0] == found.expert_coef_[2, 0] != found.expert_coef_[1, 0]
