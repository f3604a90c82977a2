"""The parametric bootstrap: refits to targets that are drawn from the fit."""

import warnings
from functools import cache

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import interval_censored, left_censored, right_censored
from skmoe.inspection import average_effects
from support.fits import fit_quietly
from support.heteroscedastic import HeteroscedasticExperts
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes, panel

OPTIONS = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "tol": 1e-5, "random_state": 0}


def counts():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(150, 1))
    mean = np.exp(np.where(rng.uniform(size=150) < 0.5, 0.5 + X[:, 0], 3 - X[:, 0]))
    moe = MixtureOfExpertsRegressor(2, family="poisson", gate="constant", **OPTIONS)
    return moe, X, rng.poisson(mean).astype(float), {}


def lines():
    return MixtureOfExpertsRegressor(2, **OPTIONS), *crossing_lines(n_rows=150), {}


def classes():
    X, y = flipping_classes(n_rows=400)
    return MixtureOfExpertsClassifier(2, **OPTIONS), X, np.array(["no", "yes"])[y], {}


def in_units():
    """Regimes of units, whose gate has no features: rows of a unit must be drawn together."""
    X, y, units, _ = panel(n_units=40, n_rows=4, n_regimes=2, noise=0.3)
    moe = MixtureOfExpertsRegressor(2, gate="constant", **OPTIONS)
    return moe, X, y, {"units": units}


# Times of which few are observed, so that errors without censoring would be far smaller.
TIMES = {"family": "weibull", "dispersion_prior": 0.0} | OPTIONS


def times(n_rows=150):
    rng = np.random.default_rng(0)
    X, end = rng.normal(size=(n_rows, 1)), rng.uniform(0.0, 0.9, size=n_rows)
    time = np.exp(0.3 * X[:, 0]) * rng.weibull(1.5, size=n_rows)
    return X, np.minimum(time, end), time <= end


def of_later_entry():
    """Half of the rows enter late, and one in five has the event."""
    X, time, event = times(400)
    entry = np.where(np.arange(400) % 2, 0.3, 0.0)
    kept = time > entry
    y = right_censored(time[kept], event[kept], entry=entry[kept])
    return MixtureOfExpertsRegressor(1, **TIMES), X[kept], y, {}


def of_the_smallest():
    """Logarithms of times, of which most lie below a limit that differs between rows."""
    X, time, is_seen = times()
    y = left_censored(-np.log(time), is_seen)
    return MixtureOfExpertsRegressor(1, **OPTIONS), X, y, {}


def inspected():
    """Times between inspections, which are resampled."""
    X, time, event = times()
    lower, upper = np.floor(5 * time) / 5, np.where(event, np.ceil(5 * time) / 5, np.inf)
    return MixtureOfExpertsRegressor(1, **TIMES), X, interval_censored(lower, upper), {}


def start_stop():
    """Two rows of each unit, of which the second one enters when the first ends."""
    X, time, event = times()
    unit, entry = np.repeat(np.arange(150), 2), np.column_stack([0 * time, time / 2]).ravel()
    end, last = np.column_stack([time / 2, time]).ravel(), np.arange(300) % 2 == 1
    y = right_censored(end, last & np.repeat(event, 2), entry=entry)
    return MixtureOfExpertsRegressor(1, **TIMES), np.repeat(X, 2, axis=0), y, {"units": unit}


@cache
def bootstrapped(make):
    moe, X, y, given = make()
    moe.fit(X, y, **given)
    options = {"method": "bootstrap", "n_bootstrap": 12, "random_state": 0}
    return moe, X, y, given, moe.inference(X, y, **given, **options)


CENSORED = of_later_entry, of_the_smallest, inspected, start_stop


@pytest.mark.parametrize("make", [lines, classes, counts, in_units, *CENSORED])
def test_the_bootstrap_agrees_with_the_information(make):
    moe, X, y, given, drawn = bootstrapped(make)
    ratio = drawn.standard_errors / moe.inference(X, y, **given).standard_errors
    # Each has an error of about a fifth by 12 draws, and few rows have heavier tails.
    assert 0.6 < np.median(ratio) < 1.5
    assert 0.3 < np.nanmin(ratio) < np.nanmax(ratio) < 2.5
    assert_array_equal(drawn.reasons, [""] * len(drawn.terms))
    is_resampled = make in (inspected, start_stop)
    assert drawn.method.startswith("nonparametric" if is_resampled else "parametric")


@pytest.mark.parametrize("make", CENSORED)
def test_drawn_times_are_observed_as_the_rows_are(make):
    """Else the refits would be off; their mean has an error of 0.3."""
    drawn = bootstrapped(make)[-1]
    bias = (drawn.replicates.mean(axis=0) - drawn.estimates) / drawn.standard_errors
    assert np.abs(bias).max() < 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"shared_features": [0]},
        {"expert": HeteroscedasticExperts(), "tol": 1e-6},
        {"family": "inverse_gaussian", "dispersion": "shared"},
        {"alpha": "ard"},
    ],
    ids=lambda options: str([*options]),
)
def test_coefficients_of_every_form_are_drawn(options):
    """Those that are shared, of objects, in other units, or dropped."""
    X, y = crossing_lines(n_rows=120)
    X, y = np.column_stack([X, X[::-1, 0] ** 2]), np.exp(0.3 * y)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **OPTIONS | options), X, y)
    drawn = moe.inference(X, y, method="bootstrap", n_bootstrap=12, random_state=0)
    errors = moe.inference(X, y).standard_errors
    is_known = np.isfinite(errors)
    assert 0.6 < np.median(drawn.standard_errors[is_known] / errors[is_known]) < 1.7
    effects = average_effects(moe, X, inference=drawn)
    assert effects.replicates.shape == (12, len(effects.terms))
    assert np.isfinite(effects.standard_errors).all()


def test_covariance_and_reflected_intervals_are_those_of_the_replicates():
    moe, *_, drawn = bootstrapped(lines)
    assert drawn.replicates.shape == (12, len(drawn.terms))
    assert_allclose(drawn.covariance, np.cov(drawn.replicates, rowvar=False))
    assert_allclose(drawn.standard_errors, drawn.replicates.std(axis=0, ddof=1))
    for level in (0.8, 0.95):
        tails = 0.5 - level / 2, 0.5 + level / 2
        low, high = np.quantile(drawn.replicates, tails, axis=0)
        expected = np.column_stack([2 * drawn.estimates - high, 2 * drawn.estimates - low])
        assert_allclose(drawn.conf_int(level), expected)
    slopes = [term.name == "x0" and term.part != "gate" for term in drawn.terms]
    assert_array_equal(drawn.estimates[slopes], moe.expert_coef_.ravel())


@pytest.mark.filterwarnings("ignore")  # filters of threads meet
def test_the_seed_decides_and_the_number_of_jobs_does_not():
    moe, X, y, _, drawn = bootstrapped(lines)
    before = moe.predict(X), moe.n_iter_
    for seed, n_jobs, same in ((0, 2, True), (1, 1, False)):
        options = {"n_bootstrap": 3, "random_state": seed, "n_jobs": n_jobs}
        with joblib.parallel_backend("threading"):
            again = moe.inference(X, y, method="bootstrap", **options)
        assert np.allclose(again.replicates, drawn.replicates[:3], rtol=1e-6) is same
    assert_array_equal(moe.predict(X), before[0])
    assert moe.n_iter_ == before[1]


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_the_offset_is_part_of_what_is_drawn():
    """Means without the exposure would be far from those of the fit."""
    rng = np.random.default_rng(0)
    X, exposure = rng.uniform(-1, 1, size=(100, 1)), rng.uniform(1, 200, size=100)
    y = rng.poisson(exposure * np.exp(0.5 * X[:, 0])).astype(float)
    moe = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y, offset=np.log(exposure))
    given = {"offset": np.log(exposure)}
    drawn = moe.inference(X, y, method="bootstrap", n_bootstrap=20, random_state=0, **given)
    ratio = drawn.standard_errors / moe.inference(X, y, **given).standard_errors
    assert 0.6 < ratio.min() < ratio.max() < 1.6
    # A row of weight two has its exposure twice.
    weight = np.arange(100) % 3
    rows = np.repeat(np.arange(100), weight)
    moe.fit(X, y, sample_weight=weight, **given)
    options = {"method": "bootstrap", "n_bootstrap": 2, "random_state": 0}
    weighted = moe.inference(X, y, sample_weight=weight, **given, **options).replicates
    repeated = moe.inference(X[rows], y[rows], offset=np.log(exposure)[rows], **options).replicates
    assert_allclose(weighted, repeated, atol=1e-5)
    # Weights that are no whole numbers are kept by the rows.
    halves = moe.inference(X, y, sample_weight=0.5 * weight, **given, **options)
    assert (halves.standard_errors > 0.0).all()


def test_targets_are_drawn_until_all_classes_are_there():
    """A draw of 40 rows lacks the class of one of them with a probability of about a third."""
    X = np.linspace(-1.0, 1.0, 40)[:, None]
    y = np.repeat(["a", "b", "c"], [20, 19, 1])
    moe = MixtureOfExpertsClassifier(1, alpha=1.0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = moe.inference(X, y, method="bootstrap", n_bootstrap=12, random_state=0)
    assert found.replicates.shape == (12, len(found.terms))
    assert np.isfinite(found.replicates).all()


class NoDistribution(HeteroscedasticExperts):
    """Experts from which no target can be drawn."""

    components = None


def test_only_the_bootstrap_needs_a_distribution():
    X, y = crossing_lines(n_rows=60)
    moe = MixtureOfExpertsRegressor(2, expert=NoDistribution(), n_init=1, random_state=0).fit(X, y)
    for method in ("observed", "sandwich"):
        assert np.isfinite(moe.inference(X, y, method=method).standard_errors).all()
    message = refusal(moe.inference, X, y, method="bootstrap")
    assert_refused(message, "the bootstrap", "predictive distribution", "components")
