"""Every registered family keeps the promises of its contract, by itself and in mixtures."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from kinds import DISTRIBUTIONS, draw, example, log_density, options_of
from numpy.testing import assert_allclose
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.linear_model import GammaRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.scaling import Standardization
from skmoe.experts._generalized_linear._densities import MAX_DEVIATION, without_outliers
from skmoe.families import FAMILIES, Gamma, StudentT, Uniform

N_ROWS = 60
UNIT = Standardization(np.zeros(1), np.ones(1))


def instances():
    """Each family, fitted to an example of its target; options besides."""
    chosen = {name: example(name) for name in FAMILIES} | {"student_t_4": StudentT(df=4)}
    for name, family in chosen.items():
        y = family.example_target(np.random.default_rng(0), N_ROWS)
        yield pytest.param(family.fitted_to(y, np.ones(N_ROWS), UNIT), id=name)


WITH_PREDICTOR = [case for case in instances() if case.values[0].link]
NAMES = [name for name, family in FAMILIES.items() if family.link]


def points(family, rng):
    """A target (1, n), linear predictors (2, 1, n) and log dispersions (T, 2, 1, 1)."""
    y = family.example_target(rng, N_ROWS)
    predictor = 0.7 * rng.normal(size=(2, 1, N_ROWS))
    dispersion = [0.5 * rng.normal(size=(2, 1, 1)) for _ in family.dispersions]
    return y, predictor, dispersion


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_scores_are_derivatives_of_the_log_density(family):
    y, predictor, dispersion = points(family, np.random.default_rng(0))
    at = [predictor, *dispersion]
    gradient, step = family.gradient(y, predictor, dispersion), 1e-6
    assert gradient.shape == (len(at), 2, 1, N_ROWS)
    for i in range(len(at)):
        sides = []
        for sign in (1.0, -1.0):
            moved = [*at[:i], at[i] + sign * step, *at[i + 1 :]]
            sides.append(family.log_prob(y, moved[0], moved[1:]))
        assert_allclose(gradient[i], (sides[0] - sides[1]) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_hessians_are_derivatives_of_the_scores(family):
    y, predictor, dispersion = points(family, np.random.default_rng(1))
    hessian = family.hessian(y, predictor, dispersion)
    _, second = family.dispersion_derivatives(y, predictor, dispersion)
    for i in range(len(dispersion)):
        for j in range(len(dispersion)):
            expected = np.broadcast_to(second[i][j], predictor.shape)
            assert_allclose(hessian[1 + i, 1 + j], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_mixed_derivatives_are_those_of_the_score(family):
    y, predictor, dispersion = points(family, np.random.default_rng(5))
    cross = family.cross_derivatives(y, predictor, dispersion)
    if cross is None:
        return
    assert len(cross) == len(dispersion)
    for i, found in enumerate(cross):
        sides, step = [], 1e-6
        for sign in (1.0, -1.0):
            moved = [*dispersion[:i], dispersion[i] + sign * step, *dispersion[i + 1 :]]
            sides.append(family.gradient(y, predictor, moved)[0])
        expected = (sides[0] - sides[1]) / (2 * step)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", [case for case in WITH_PREDICTOR if case.values[0].takes_mean])
def test_dispersions_of_given_means_have_derivatives(family):
    y, predictor, dispersion = points(family, np.random.default_rng(6))
    mean = family.mean(predictor, dispersion)
    assert_allclose(family.predictor_of_mean(mean, dispersion), predictor, rtol=1e-10, atol=1e-10)

    def derivatives(theta):
        at = family.predictor_of_mean(mean, theta)
        first, second = family.mean_dispersion_derivatives(y, at, theta)
        return family.log_prob(y, at, theta), first, second

    _, first, second = derivatives(dispersion)
    step = 1e-6
    for i in range(len(dispersion)):
        sides = [
            derivatives([*dispersion[:i], dispersion[i] + sign * step, *dispersion[i + 1 :]])
            for sign in (1.0, -1.0)
        ]
        expected = (sides[0][0] - sides[1][0]) / (2 * step)
        assert_allclose(first[i] + np.zeros(expected.shape), expected, rtol=1e-5, atol=1e-7)
        for j in range(len(dispersion)):
            slopes = (sides[0][1][j] - sides[1][1][j]) / (2 * step)
            expected = np.broadcast_to(slopes, predictor.shape)
            found = np.broadcast_to(second[i][j], expected.shape)
            assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", list(instances()))
def test_a_weight_is_a_number_of_rows(family):
    """In what a family keeps of the target, and where its predictor begins."""
    rng = np.random.default_rng(7)
    y, weight = family.example_target(rng, N_ROWS), rng.integers(1, 4, size=N_ROWS)
    repeated = np.repeat(y, weight, axis=1)
    ones = np.ones(repeated.shape[1])
    fitted = type(family)().fitted_to(y, weight.astype(float), UNIT)
    assert fitted == type(family)().fitted_to(repeated, ones, UNIT)
    one = fitted.initial_predictor(y[0], weight.astype(float))
    assert_allclose(one, fitted.initial_predictor(repeated[0], ones), rtol=1e-12)


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_the_first_predictor_is_that_of_the_weighted_target(family):
    """Of the likelihood without features; of the mean, where outliers are to be found later."""
    rng = np.random.default_rng(8)
    y, weight = family.example_target(rng, N_ROWS), rng.uniform(0.2, 3.0, size=N_ROWS)
    start = family.initial_predictor(y[0], weight)
    if family.has_outliers:
        assert_allclose(start, np.average(y[0], weights=weight))
    elif family.name == "ordinal":
        share = weight[y[0] > family.values[0]].sum() / weight.sum()
        assert_allclose(start, np.log(share / (1.0 - share)))
    else:
        theta = [np.full((1, 1), -0.3)] * len(family.dispersions)
        score = family.predictor_score(y, np.full(y.shape, start), theta)
        assert_allclose((score * weight).sum(), 0.0, atol=1e-10)


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_information_is_the_expected_square_of_the_score(family):
    """Of the linear predictor, over many draws of the family."""
    predictor = np.full((1, 1), 0.3)
    dispersion = [np.full((1, 1), -0.2), np.full((1, 1), np.log(4.0))][: len(family.dispersions)]
    known = [np.log(family.df)] if isinstance(family, StudentT) and family.df else []
    reference = DISTRIBUTIONS[family.name](predictor, *(np.exp(v) for v in [*dispersion, *known]))
    values = reference.rvs(size=(1, 200_000), random_state=0)
    score = family.predictor_score(values, predictor, dispersion)
    scale = np.exp(dispersion[0]).item() if family.has_scale else 1.0
    information = family.predictor_information(predictor, dispersion).item()
    assert_allclose(np.mean(np.square(score / scale)), information / scale, rtol=0.05)
    assert_allclose(np.mean(score), 0.0, atol=5 * np.std(score) / np.sqrt(values.size))


@pytest.mark.parametrize("family", list(instances()))
def test_probabilities_sum_to_one(family):
    predictor, dispersion = np.array([[0.4]]), [np.array([[-0.3]]) for _ in family.dispersions]

    def density(y):
        return np.exp(family.log_prob(np.atleast_2d(y).astype(float), predictor, dispersion))

    if family.is_count or family.name == "ordinal":
        total = density(np.arange(2000)).sum()
    else:
        low, high = (0.0, np.inf) if family.link == "log" else (-np.inf, np.inf)
        if isinstance(family, Uniform):
            low, high = family.low[0], family.high[0]
        total = integrate.quad(lambda y: density(y).item(), low, high, limit=500)[0]
    assert_allclose(total, 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_densities_are_those_of_scipy(name):
    family = example(name)
    y, predictor, dispersion = points(family, np.random.default_rng(2))
    dispersion[1:] = [np.abs(values) + 0.1 for values in dispersion[1:]]  # more than one df
    natural = [np.exp(values) for values in dispersion]
    expected = log_density(name, y, predictor, natural)
    assert_allclose(family.log_prob(y, predictor, dispersion), expected, rtol=1e-9)
    mean = DISTRIBUTIONS[name](predictor, *natural).mean()
    assert_allclose(family.mean(predictor, dispersion), mean * np.ones_like(predictor))


# --- mixtures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_sums_are_those_of_the_derivatives(family):
    rng = np.random.default_rng(4)
    y, predictor, dispersion = points(family, rng)
    weight = rng.uniform(size=(2, 1, N_ROWS))
    first, second = family.dispersion_derivatives(y, predictor, dispersion)
    gradient, hessian = family.dispersion_sums(y, predictor, dispersion, weight)
    n_own = len(dispersion)
    assert gradient.shape == (2, 1, n_own)
    assert hessian.shape == (2, 1, n_own, n_own)
    for i in range(n_own):
        expected = (weight * first[i]).sum(axis=-1)
        assert_allclose(gradient[..., i], expected, rtol=1e-10, atol=1e-10)
        for j in range(n_own):
            expected = (weight * second[i][j]).sum(axis=-1)
            assert_allclose(hessian[..., i, j], expected, rtol=1e-10, atol=1e-10)


def test_ratings_far_from_their_thresholds_have_finite_log_probabilities():
    family, steps = example("ordinal"), np.log([[[2000.0]], [[1.0]]])
    predictor = np.array([[-100.0, 100.0, 3000.0, 0.0]])
    found = family.log_prob(np.array([[3.0, 1.0, 1.0, 4.0]]), predictor, steps)
    # Of odds that are exponentials: more than 2000, less than 0, less than 0, more than 2001.
    assert_allclose(found[0], [-2100.0 + np.log1p(-np.exp(-1.0)), -100.0, -3000.0, -2001.0])
    score = family.predictor_score(np.array([[3.0, 1.0, 1.0, 4.0]]), predictor, steps)
    assert_allclose(score[0], [1.0, -1.0, -1.0, 1.0])


def test_the_penalty_is_that_of_a_gamma_regression():
    X, y = two_regimes("gamma", 300)
    X = X / X.std(axis=0)
    options = {"alpha": 50.0, "dispersion_prior": 0.0, "tol": 1e-13, "max_iter": 1000}
    moe = MixtureOfExpertsRegressor(1, family="gamma", **options).fit(X, y)
    single = GammaRegressor(alpha=50.0 / len(y), tol=1e-12, max_iter=1000).fit(X, y)
    assert_allclose(moe.expert_coef_[0], single.coef_, rtol=0, atol=1e-6)
    assert_allclose(moe.expert_intercept_, single.intercept_, rtol=0, atol=1e-6)


def two_regimes(name, n_rows=1500, seed=0):
    """Two regimes with slopes of -1 and 1 of the linear predictor, drawn from a family."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    predictor = 1.0 + np.abs(X[:, 0])
    return X, draw(name, predictor, rng, (0.1, 4.0))


@pytest.mark.parametrize("name", NAMES)
def test_regimes_are_found(name):
    X, y = two_regimes(name)
    moe = MixtureOfExpertsRegressor(2, family=name, random_state=0).fit(X, y)
    atol = 0.35 if name == "ordinal" else 0.15  # four values say less than a number
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1.0, 1.0], atol=atol)
    assert moe.converged_
    if "dispersion_" in vars(moe):
        assert_allclose(moe.dispersion_, 0.1, rtol=0.4)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", range(4))
def test_the_lower_bound_never_falls(name, seed):
    """On hard tables, also beside experts of another family; the numbers stay finite."""
    rng = np.random.default_rng([seed, *name.encode()])
    family = FAMILIES[name]()
    X = rng.normal(size=(80, 3)) * 10.0 ** rng.integers(-2, 3, size=3)
    y = family.example_target(rng, 80)[0] * (1 if family.is_count else 10.0 ** rng.integers(-3, 4))
    partner = "student_t" if family.is_continuous else "negative_binomial"
    chosen = name if family.link and seed % 2 else [name, partner, partner]
    moe = MixtureOfExpertsRegressor(
        3,
        family=chosen,
        n_init=2,
        max_iter=40,
        alpha=10.0 ** rng.uniform(-3, 1),
        dispersion_prior=rng.choice([0.0, 10.0]),
        random_state=seed,
    )
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe.fit(X, y)
    falls = np.diff(moe.lower_bounds_) / (1.0 + np.abs(moe.lower_bounds_[1:]))
    assert min(falls, default=0.0) > -1e-10
    assert np.isfinite(moe.predict(X)).all()
    assert np.isfinite(moe.score_samples(X, y)).all()


@pytest.mark.parametrize("spread", [1e-4, 1e-2, 1.0, 50.0])
def test_one_lognormal_expert_is_least_squares_of_the_logarithm(spread):
    """Bounds of the variance and its start are relative to the variance of the logarithm."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 1))
    logs = spread * (X[:, 0] + (1e-2 if spread < 1.0 else 0.5) * rng.normal(size=300))
    options = {"alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-12, "max_iter": 20}
    moe = mixture(1, "lognormal", **options).fit(X, np.exp(logs))
    design = np.column_stack([X, np.ones(300)])
    coef, (squares,), *_ = np.linalg.lstsq(design, logs, rcond=None)
    assert_allclose([*moe.expert_coef_[0], *moe.expert_intercept_], coef, atol=1e-8 * spread)
    assert_allclose(moe.dispersion_, squares / 300, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_outliers_are_moved_in_any_unit(unit):
    y = unit * np.array([[-100.0, -1.0, 0.0, 1.0, 100.0], [3.0, 3.0, 7.0, 3.0, 3.0]])
    # The median absolute deviation of the first row is one, that of the second one is zero.
    end = MAX_DEVIATION * unit / stats.norm.ppf(0.75)
    expected = [[-end, -unit, 0.0, unit, end], y[1]]
    assert_allclose(without_outliers(y), expected, rtol=1e-4)


# --- lists of families ------------------------------------------------------------------------


def mixture(K, family, **options):
    return MixtureOfExpertsRegressor(K, family=family, **({"random_state": 0} | options))


def test_zero_inflated_counts():
    """The gate finds the share of rows that are always zero."""
    rng = np.random.default_rng(1)
    X = rng.uniform(-2, 2, size=(3000, 2))
    y = draw("poisson", 1.0 + 0.7 * X[:, 0], rng)
    y = np.where(rng.uniform(size=len(y)) < 1 / (1 + np.exp(1 + X[:, 1])), 0.0, y)
    moe = mixture(2, ["zero", "poisson"]).fit(X, y)
    assert_allclose(moe.expert_coef_[1], [0.7, 0.0], atol=0.05)
    share = moe.predict_gate([[2.0, 0.0], [-2.0, 0.0], [2.0, 1.0]])[:, 0]
    assert_allclose(share, 1 / (1 + np.exp([1.0, 1.0, 2.0])), atol=0.05)
    assert np.isnan(moe.expert_intercept_[0])
    assert (moe.expert_coef_[0] == 0.0).all()
    assert moe.n_parameters_ == 3 + 3
    assert (moe.predict_experts(X)[:, 0] == 0.0).all()
    resp = moe.responsibilities(X, y)
    assert (resp[y > 0, 0] == 0.0).all()
    assert (resp[y == 0, 0] > 0.0).all()


@pytest.mark.parametrize(
    ("K", "family"), [(2, "student_t"), (3, ["normal", "normal", "uniform"])], ids=str
)
def test_outliers_do_not_hide_the_regimes(K, family):
    X, y = two_regimes("normal", n_rows=600)
    rng = np.random.default_rng(2)
    gross = rng.uniform(size=len(y)) < 0.05
    y = np.where(gross, rng.uniform(-60, 60, size=len(y)), y)
    robust = mixture(K, family).fit(X, y)
    clean = ~gross
    error = np.abs(robust.predict(X[clean]) - (1.0 + np.abs(X[clean, 0]))).mean()
    normal = mixture(2, "normal").fit(X, y)
    assert error < 0.35
    assert np.abs(normal.predict(X[clean]) - (1.0 + np.abs(X[clean, 0]))).mean() > 2 * error


def test_a_list_lets_the_data_choose():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(3000, 1))
    right = X[:, 0] > 0
    y = np.where(right, rng.gamma(2.0, 3.0, size=3000), rng.lognormal(1.0, 1.0, size=3000))
    order = ["gamma", "lognormal"]
    moe, swapped = (mixture(2, family).fit(X, y) for family in (order, order[::-1]))
    assert moe.predict_gate([[1.5]])[0, 0] > 0.9
    assert_allclose(moe.lower_bound_, swapped.lower_bound_, atol=1e-3)


def test_one_family_in_a_list_is_that_family():
    X, y = two_regimes("gamma", n_rows=300)
    one, listed = (mixture(2, family).fit(X, y) for family in ("gamma", ["gamma"] * 2))
    assert (one.expert_coef_ == listed.expert_coef_).all()
    plain, normal = (mixture(2, family).fit(X, y) for family in ("normal", ["normal"] * 2))
    assert (plain.expert_coef_ == normal.expert_coef_).all()


def test_normal_experts_beside_others_are_linear_experts():
    """At the same parameters the density of normal experts is that of linear experts."""
    X, y = two_regimes("normal", n_rows=300)
    plain = mixture(1, "normal", tol=1e-12, dispersion_prior=0.0).fit(X, y)
    start = np.column_stack([np.ones(300), np.zeros(300)])
    beside = mixture(2, ["normal", "student_t"], init=start, tol=1e-12, dispersion_prior=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the other expert has no rows
        beside.set_params(gate="constant", max_iter=1).fit(X, y)
    assert_allclose(beside.expert_coef_[0], plain.expert_coef_[0], rtol=1e-2, atol=1e-2)
    assert_allclose(beside.noise_variance_[0], plain.noise_variance_[0], rtol=0.1)


@pytest.mark.parametrize("family", ["normal", "student_t", "gamma", "lognormal"])
def test_densities_beside_a_point_mass(family):
    """Scores are those of the predictive distribution, also at the atom."""
    X, y = two_regimes(family, n_rows=300)
    y[::4] = 0.0
    moe = mixture(2, ["zero", family]).fit(X, y)
    assert_allclose(moe.predict_dist(X).logpdf(y), moe.score_samples(X, y), rtol=1e-9)
    assert (moe.responsibilities(X, y)[y == 0.0, 0] == 1.0).all()


@dataclass(frozen=True)
class StrictGamma(Gamma):
    """Derivatives are asked for at positive numbers only."""

    def predictor_score(self, y, predictor, log_dispersion):
        assert (y > 0.0).all()
        return super().predictor_score(y, predictor, log_dispersion)

    def dispersion_derivatives(self, y, predictor, log_dispersion):
        assert (y > 0.0).all()
        return super().dispersion_derivatives(y, predictor, log_dispersion)


def test_families_are_not_asked_for_derivatives_outside_their_support():
    X, y = two_regimes("gamma", n_rows=300)
    y[::4] = 0.0
    strict, plain = (
        mixture(2, ["zero", family], max_iter=5, tol=0.0) for family in (StrictGamma(), "gamma")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # five iterations are few
        assert_allclose(strict.fit(X, y).expert_coef_, plain.fit(X, y).expert_coef_)
        assert np.isfinite(strict.inference(X, y).standard_errors).all()


def test_an_expert_without_possible_rows_says_nothing():
    """Its linear predictor is zero, as that of experts of which nothing is known."""
    X, y = two_regimes("gamma", n_rows=100)
    with pytest.warns(UserWarning, match="collapsed"):
        moe = mixture(2, ["normal", "gamma"]).fit(X, -y)
    assert_allclose(moe.expert_intercept_[1], 0.0, atol=1e-12)
    assert_allclose(moe.expert_coef_[1], 0.0, atol=1e-12)
    assert_allclose(moe.predict_gate(X)[:, 0], 1.0, atol=1e-3)


def test_rows_outside_every_support_are_impossible():
    X, y = two_regimes("poisson", n_rows=300)
    moe = mixture(2, "poisson").fit(X, y)
    assert np.isneginf(moe.score_samples(X[:2], [0.5, -1.0])).all()
    assert_allclose(moe.responsibilities(X[:2], [0.5, -1.0]), 0.5)


@pytest.mark.parametrize(
    ("family", "y", "message"),
    [
        ("gamma", [1.0, 0.0], 'positive numbers for family="gamma"; row 1 holds 0'),
        ("lognormal", [1.0, -1.0], 'positive numbers for family="lognormal"; row 1 holds -1'),
        ("negative_binomial", [1.0, 0.5], 'for family="negative_binomial"; row 1 holds 0.5'),
        (["zero", "gamma"], [1.0, -2.0], r"zeros or positive numbers for family=\['zero'"),
        ("ordinal", np.arange(40.0), 'family="ordinal" needs 2 to 30 different values'),
    ],
)
def test_values_outside_the_support(family, y, message):
    y = np.resize(np.asarray(y), 40)
    X = np.random.default_rng(0).normal(size=(40, 2))
    moe = mixture(2, family)
    with pytest.raises(ValueError, match=message):
        moe.fit(X, y)
    assert not hasattr(moe, "expert_coef_")


def test_all_outputs_must_be_in_the_support():
    X = np.random.default_rng(0).normal(size=(40, 2))
    for column in (0, 1):
        y = np.ones((40, 2))
        y[3, column] = -1.0
        with pytest.raises(ValueError, match='numbers for family="gamma"; row 3 holds'):
            mixture(2, "gamma").fit(X, y)


def test_a_constant_output_has_a_uniform_density_of_one():
    family = Uniform().fitted_to(np.full((1, 5), 3.0), np.ones(5), None)
    assert_allclose(family.log_prob(np.full((1, 5), 3.0), np.zeros((1, 5)), ()), 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "weibull"}, r"family must be one of \['gamma', .*; got 'weibull'"),
        ({"family": Uniform}, "family must be one of"),
        ({"family": ["normal", "poisson", "poisson"]}, "one entry for each of the n_experts=2"),
        ({"family": "ordinal", "expert": "tree"}, "needs expert=\"linear\"; got expert='tree'"),
        ({"family": ["normal", "student_t"], "dispersion": "shared"}, "needs one family for all"),
        ({"family": StudentT(df=-1.0)}, r"df must be a finite number of at least 0.1; got -1.0"),
        ({"shared_features": [7]}, "shared_features"),
        (
            {"shared_features": [1], "expert_features": [0]},
            "shared_features must be among the expert_features; column 1 is not",
        ),
    ],
)
def test_invalid_families(options, message):
    X, y = two_regimes("gamma", n_rows=100)
    moe = MixtureOfExpertsRegressor(2, **options)
    with pytest.raises(ValueError, match=message):
        moe.fit(X, y)
    assert not hasattr(moe, "expert_coef_")


# --- shared slopes ----------------------------------------------------------------------------


def test_shared_slopes_are_listed_once():
    X, y = two_regimes("poisson", n_rows=600)
    moe = mixture(2, "poisson", shared_features=[1]).fit(X, y)
    assert moe.expert_coef_[0, 1] == moe.expert_coef_[1, 1]
    assert moe.expert_coef_[0, 0] != moe.expert_coef_[1, 0]
    assert moe.n_parameters_ == mixture(2, "poisson").fit(X, y).n_parameters_ - 1
    before, after = str(moe.summary(X, y)).split("\nCommon to all experts\n")
    table, gate = after.split("\nGate: ")
    assert [part.count("\n  x1 ") for part in (before, table, gate)] == [0, 1, 1]
    assert "\n  x0 " not in table


@pytest.mark.parametrize("name", NAMES)
def test_a_single_expert_shares_its_slopes_with_nobody(name):
    X, y = two_regimes(name, n_rows=300)
    options = options_of(name) | {"tol": 1e-12, "max_iter": 1000, "alpha": 2.0}
    one, shared = (
        MixtureOfExpertsRegressor(1, shared_features=features, **options).fit(X, y)
        for features in (None, [0, 1])
    )
    assert_allclose(shared.expert_coef_, one.expert_coef_, rtol=1e-5)
    assert_allclose(shared.lower_bound_, one.lower_bound_, rtol=1e-9)


def test_shared_slopes_are_a_constraint():
    """The likelihood falls, and equals that without the constraint where it holds."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 2))
    level = np.where(rng.uniform(size=4000) < 0.5, 0.0, 2.0)
    y = draw("gamma", level + X @ [0.5, -0.3], rng, (0.05,))
    options = {"gate": "constant", "alpha": 0.0, "tol": 1e-9}
    free, shared = (
        mixture(2, "gamma", shared_features=features, **options).fit(X, y)
        for features in (None, [0, 1])
    )
    gain = 2 * len(y) * (free.score_samples(X, y).mean() - shared.score_samples(X, y).mean())
    assert 0.0 < gain < 15.0  # a chi-squared variable of two degrees of freedom
    assert_allclose(shared.expert_coef_[0], [0.5, -0.3], atol=0.05)


def test_shared_features_may_be_names_wherever_rows_are_arrays():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    y = np.abs(frame["a"]) + frame["c"] + 0.2 * rng.normal(size=300)
    options = {"n_init": 1, "random_state": 0}
    named = MixtureOfExpertsRegressor(
        2, expert_features=["a", "c"], shared_features=["c"], gate_features=["a"], **options
    )
    numbered = MixtureOfExpertsRegressor(
        2, expert_features=[0, 2], shared_features=[2], gate_features=[0], **options
    )
    drawn = {"method": "bootstrap", "n_bootstrap": 3, "random_state": 0}
    errors = [
        moe.fit(X, y).inference(X, y, **drawn).standard_errors
        for moe, X in ((named, frame), (numbered, frame.to_numpy()))
    ]
    assert_allclose(*errors)
    # The second batch doubles the rows, on which the mixture is initialised again.
    named, numbered = clone(named), clone(numbered)
    for rows in (slice(0, 100), slice(100, 300)):
        named.partial_fit(frame[rows], y[rows])
        numbered.partial_fit(frame.to_numpy()[rows], y[rows])
    assert_allclose(named.expert_coef_, numbered.expert_coef_)
    assert np.ptp(named.expert_coef_[:, 2]) == 0.0
    assert np.ptp(named.expert_coef_[:, 0]) > 1.0
