"""Mixtures of each family: regimes, single regressions, lower bounds and supports."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.linear_model import GammaRegressor, PoissonRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.experts import LinearExperts
from skmoe.families import FAMILIES, Ordinal, Poisson, StudentT, Uniform
from skmoe.inspection import export_text
from support.expert_kinds import draw, options_of
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


def test_every_family_has_a_way_to_draw_its_target():
    for name in NAMES:
        _, y = two_slopes(name, 20)
        assert FAMILIES[name]().in_support(y).all()


@pytest.mark.parametrize("name", NAMES)
def test_regimes_are_found(name):
    X, y = two_slopes(name, 1500 if name == "ordinal" else 600)
    moe = MixtureOfExpertsRegressor(2, **FIXED | options_of(name)).fit(X, y)
    # Four values, and large values of a variance that is cubic in the mean, say less of slopes.
    atol = {"ordinal": 0.35, "inverse_gaussian": 0.3}.get(name, 0.2)
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1.0, 1.0], atol=atol)
    assert moe.converged_
    if "dispersion_" in vars(moe):
        assert_allclose(moe.dispersion_, 0.1, rtol=0.5)
    link = FAMILIES[name].link
    assert moe.link_ == link
    text, expected = export_text(moe), {"log": " = exp(", "logit": "log"}
    assert expected.get(link, "y = ") in text


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_lower_bound_never_falls(name, seed):
    """On tables with features of many scales; numbers stay finite, also beside another family."""
    rng = np.random.default_rng([seed, *name.encode()])
    family = FAMILIES[name]()
    X = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-2, 3, size=3)
    y = family.example_target(rng, 50)[0] * (1 if family.is_count else 10.0 ** rng.integers(-3, 4))
    partner = "student_t" if family.is_continuous else "negative_binomial"
    if name == "never":
        y, partner = right_censored(rng.exponential(size=50), np.arange(50) % 2), "weibull"
    chosen = name if family.link and seed % 2 else [name, partner, partner]
    options = {"alpha": 10.0 ** rng.uniform(-3, 1), "dispersion_prior": rng.choice([0.0, 10.0])}
    moe = mixture(3, chosen, max_iter=15, **options)
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


@pytest.fixture(scope="module")
def counts():
    X, y = two_slopes("poisson", 300)
    return mixture(2, "poisson", max_iter=200).fit(X, y), X, y


def test_counts_have_a_mixture_of_poisson_distributions(counts):
    moe, X, y = counts
    X, y = X[:40], y[:40]
    gate, means = moe.predict_gate(X), moe.predict_experts(X)
    numbers = np.arange(200)
    pmf = (gate[..., None] * stats.poisson.pmf(numbers, means[..., None])).sum(axis=1)
    dist = moe.predict_dist(X)
    assert_allclose(dist.pmf(np.tile(numbers, (40, 1))), pmf, atol=1e-12)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpmf(y), moe.score_samples(X, y))
    assert_allclose(dist.crps(y), np.square(pmf.cumsum(1) - (numbers >= y[:, None])).sum(1))
    low, high = moe.predict_interval(X, coverage=0.9).T
    for bound, level in ((low, 0.05), (high, 0.95)):
        # The least count that is reached with this probability.
        up_to = pmf.cumsum(axis=1)
        assert_allclose(bound, (up_to < level).sum(axis=1))


@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_explanation_is_the_derivative_of_the_prediction_under_a_log_link(gate):
    X, y = two_slopes("poisson", 150)
    moe = fit_quietly(mixture(2, "poisson", gate=gate, max_iter=20), X, y)
    explanation, step = moe.explain(X[:20]), 1e-5
    for j, unit in enumerate(np.eye(2)):
        up, down = (moe.predict(X[:20] + sign * step * unit) for sign in (1, -1))
        found = explanation.slope[:, j] + explanation.gate_effect[:, j]
        assert_allclose(found, (up - down) / (2 * step), rtol=1e-5, atol=1e-6)


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
        ({"family": "ordinal", "expert": "tree"}, "family='ordinal'", ['expert="linear"', "tree"]),
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


def test_rows_outside_every_support_are_impossible(counts):
    moe, X, _ = counts
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
    moe = mixture(2, "student_t", shared_features=[0], max_iter=1)
    slopes = fit_quietly(moe, X, y).expert_coef_
    assert slopes[0, 0] == slopes[1, 0] != 0.0
