"""Fits and calls that would be silently wrong warn, and name the remedy."""

import warnings

import numpy as np
import pytest
from kinds import GENERALIZED
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import GammaRegressor, PoissonRegressor, Ridge, TweedieRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts._variance_prior import estimate_noise_variance
from skmoe.families import Ordinal, Uniform


def counts(n_rows=120):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    return X, rng.poisson(np.exp(1 + X[:, 0])) + 1.0


def messages_of(moe, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe.fit(X, y)
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


@pytest.mark.parametrize(
    ("expert", "loss", "remedy"),
    [
        (PoissonRegressor(), "poisson", 'family="poisson"'),
        (make_pipeline(StandardScaler(), PoissonRegressor()), "poisson", 'family="poisson"'),
        (GammaRegressor(), "gamma", 'family="gamma"'),
        (TweedieRegressor(power=1.5), "tweedie", 'family=["zero", "gamma"]'),
        (HistGradientBoostingRegressor(loss="poisson", max_iter=2), "poisson", 'family="poisson"'),
        (HistGradientBoostingRegressor(loss="gamma", max_iter=2), "gamma", 'family="gamma"'),
        (
            HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=2),
            "quantile",
            "predict_quantile",
        ),
        ([Ridge(), PoissonRegressor()], "poisson", 'family="poisson"'),
    ],
)
def test_losses_of_other_densities_than_the_normal_warn(expert, loss, remedy):
    X, y = counts()
    moe = MixtureOfExpertsRegressor(2, expert=expert, max_iter=2, n_init=1, random_state=0)
    found = [text for text in messages_of(moe, X, y) if "normal noise" in text]
    assert len(found) == 1
    assert f"has a {loss} loss" in found[0]
    assert remedy in found[0]


@pytest.mark.parametrize("expert", [Ridge(), "tree", "linear", MixtureOfExpertsRegressor(1)])
def test_losses_of_the_mean_do_not_warn(expert):
    X, y = counts()
    moe = MixtureOfExpertsRegressor(2, expert=expert, max_iter=2, n_init=1, random_state=0)
    assert not [text for text in messages_of(moe, X, y) if "normal noise" in text]


def test_a_half_life_in_fit_warns():
    X, y = counts()
    moe = MixtureOfExpertsRegressor(1, half_life=50)
    with pytest.warns(UserWarning, match="half_life=50 is for partial_fit"):
        moe.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MixtureOfExpertsRegressor(1, half_life=50).partial_fit(X, y)


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0), (0.5, 0.5)])
def test_an_expert_without_noise_beside_one_with_noise_warns(left, right):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.uniform(-3, -1, size=40), rng.uniform(1, 3, size=40)])[:, None]
    noise = np.repeat([left, right], 40) * rng.normal(size=80)
    options = {"alpha": 0.1, "dispersion_prior": 0.0, "n_init": 1, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options)
    found = messages_of(moe, X, np.sign(X[:, 0]) + noise)
    named = [text.split("floor: ")[1].split(".")[0] for text in found if "at its floor" in text]
    quiet_expert = f"expert {moe.noise_variance_.argmin()}"
    assert named == ([quiet_expert] if left != right else [])


def test_groups_without_folds_are_refused_with_what_they_are_for():
    X, y = counts()
    message = (
        "groups cannot be used: they keep rows of a group in one fold, and "
        'expert="linear" takes no folds. Leave it out, or use them with n_experts="auto"'
    )
    with pytest.raises(ValueError, match=message):
        MixtureOfExpertsRegressor(2).fit(X, y, groups=np.arange(len(y)) // 3)


# --- nothing leaks from inside ----------------------------------------------------------------


def regimes(n_rows=200, n_columns=3):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_rows, n_columns))
    return X, np.where(X[:, 0] > 0, 3 * X[:, 1], -3 * X[:, 1]) + 0.2 * rng.normal(size=n_rows)


@pytest.mark.parametrize("weight", [1e-12, 1e12, 1e100])
def test_the_noise_estimate_does_not_warn_for_extreme_weights(weight):
    """More columns than rows: the penalty of the ridge regression must keep its size."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 60)), rng.normal(size=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Experts have collapsed")  # of so little weight
        moe = MixtureOfExpertsRegressor(1).fit(X, y, sample_weight=np.full(20, weight))
    assert np.isfinite(moe.predict(X)).all()


@pytest.mark.parametrize("weight", [1e-3, 1e12])
def test_the_noise_estimate_does_not_depend_on_the_unit_of_the_weights(weight):
    X, _ = regimes()
    Y = X[:, :1].T + 0.1 * X[:, 1:2].T  # a linear function, for the ridge regression
    own = np.random.default_rng(2).uniform(1, 2, size=len(X))
    assert_allclose(
        estimate_noise_variance(X, Y, weight * own), estimate_noise_variance(X, Y, own), rtol=1e-9
    )


TARGETS = {"poisson": "counts", "negative_binomial": "counts", "student_t": "regression"}
STRICT = [
    (MixtureOfExpertsRegressor(3, random_state=0), "regression"),
    (MixtureOfExpertsRegressor(4, top_k=2, random_state=0), "regression"),
    (MixtureOfExpertsRegressor(3, dispersion="shared", random_state=0), "regression"),
    (MixtureOfExpertsRegressor("auto", random_state=0), "regression"),
    (MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0), "regression"),
    (MixtureOfExpertsRegressor(2, random_state=0), "outputs"),
    *[
        (MixtureOfExpertsRegressor(2, family=name, random_state=0), TARGETS.get(name, "positive"))
        for name in GENERALIZED
        if name != "ordinal"
    ],
    (
        MixtureOfExpertsRegressor(
            2, family=Ordinal(values=tuple(np.arange(4.0))), n_init=1, max_iter=2, random_state=0
        ),
        "ratings",
    ),
    (MixtureOfExpertsRegressor(2, family=["zero", "poisson"], random_state=0), "counts"),
    (
        MixtureOfExpertsRegressor(2, family=["normal", Uniform((-50.0,), (50.0,))], random_state=0),
        "regression",
    ),
    (MixtureOfExpertsClassifier(3, random_state=0), "classes"),
]


@pytest.mark.parametrize(("moe", "task"), STRICT)
def test_no_floating_point_error_is_raised_where_numpy_raises_them(moe, task):
    X, y = regimes()
    target = {
        "regression": y,
        "outputs": np.column_stack([y, X[:, 1]]),
        "counts": np.abs(np.round(y)),
        "ratings": np.minimum(np.abs(np.round(y)), 3.0),
        "positive": np.exp(0.2 * y),
        "classes": y > 0,
    }[task]
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = clone(moe).fit(X, target)
        for method in ("predict", "predict_gate", "predict_experts", "explain"):
            getattr(moe, method)(X)
        for method in ("score", "score_samples", "responsibilities", "summary"):
            getattr(moe, method)(X, target)
        if hasattr(moe, "partial_fit"):
            clone(moe).partial_fit(X, target, **({"classes": [0, 1]} if task == "classes" else {}))
        if task != "classes":
            distribution = moe.predict_dist(X)
            values = [distribution.mean, distribution.std, distribution.mode]
            values += [distribution.ppf(0.3), distribution.cdf(target), distribution.crps(target)]
            assert all(np.isfinite(value).all() for value in values)


def not_converged(moe, X, y):
    moe.set_params(max_iter=1).fit(X, y)


def collapsed(moe, X, y):
    moe.set_params(n_experts=9, gate_alpha=0.01).fit(X[:20], y[:20])


def with_half_life(moe, X, y):
    moe.set_params(half_life=50).fit(X, y)


def with_special_loss(moe, X, y):
    moe.set_params(expert=PoissonRegressor(), max_iter=2).fit(X, np.exp(y))


def through_a_pipeline(moe, X, y):
    make_pipeline(StandardScaler(), moe.set_params(max_iter=1)).fit(X, y)


@pytest.mark.parametrize(
    "fit", [not_converged, collapsed, with_half_life, with_special_loss, through_a_pipeline]
)
def test_warnings_point_at_the_line_of_the_user(fit):
    X, y = regimes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(MixtureOfExpertsRegressor(2, n_init=1, random_state=0), X, y)
    assert caught
    assert {warning.filename for warning in caught} == {__file__}


def test_too_few_iterations_leave_no_estimate_of_the_gain():
    X, y = regimes()
    with pytest.warns(ConvergenceWarning, match="gain per row cannot be estimated, tol="):
        MixtureOfExpertsRegressor(2, n_init=1, max_iter=1, random_state=0).fit(X, y)
