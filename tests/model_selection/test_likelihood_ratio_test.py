"""The likelihood-ratio test of nested mixtures, and Wald's test of several coefficients."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import chi2
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, SplineTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import interval_censored, right_censored
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate
from skmoe.model_selection import likelihood_ratio_test
from support.refusals import assert_refused, refusal

NESTED = json.loads(
    (Path(__file__).parents[1] / "reference" / "nested.json").read_text(encoding="utf-8")
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
REGIME = RNG.random(200) < 0.5
Y = np.where(REGIME, 2.0 + X[:, 0], -2.0 - X[:, 0] + X[:, 1]) + 0.5 * RNG.normal(size=200)


def regressor(**options):
    return MixtureOfExpertsRegressor(**{"n_experts": 2, "random_state": 0, "n_init": 2} | options)


def test_statistic_is_that_of_the_maxima():
    """A start of the smaller model alone ends at a lower maximum."""
    columns = NESTED["datasets"]["biochem_slopes"]["columns"]
    (model,) = [one for one in NESTED["models"] if one["name"] == "biochem_nested_k2"]
    features = np.column_stack([columns["women"], columns["kid5"], columns["ment"]]).astype(float)
    options = {"family": "poisson", "gate": "constant"}
    smaller = regressor(
        **options, expert_features=[[0, 1, 2], [0, 2]], shared_features=[0], n_init=8
    )
    result = likelihood_ratio_test(smaller, regressor(**options), features, columns["y"])
    assert result.log_likelihoods[0] == pytest.approx(model["loglik"], abs=1e-4)
    assert result.n_parameters.tolist() == [model["df"], 9]
    gain = result.log_likelihoods[1] - result.log_likelihoods[0]
    assert result.statistic == pytest.approx(2.0 * gain)
    assert result.df == 2
    assert result.p_value == pytest.approx(chi2.sf(result.statistic, 2))
    assert f"{result.statistic:.4g}" in repr(result)
    assert "not rejected" in repr(result)


# What the smaller model has, what the larger one has in its place, the degrees of freedom, and why
# they are not nested if they are exchanged.
SLOPE, SHARED = "the mean of an expert depends on feature", "experts share a slope or a dispersion"
PAIRS = {
    "features of an expert": ({"expert_features": [[0], [0, 1, 2]]}, {}, 2, f"{SLOPE} 1"),
    "features of experts": ({"expert_features": [0]}, {}, 4, f"{SLOPE} 1"),
    "lists": ({"expert_features": [[0], [1]]}, {"expert_features": [[0], [0, 1]]}, 1, f"{SLOPE} 0"),
    "shared by all": ({"shared_features": [2]}, {}, 1, SHARED),
    "shared by some": (
        {"n_experts": 3, "shared_features": [2], "dispersion": "shared"},
        {"n_experts": 3, "shared_features": {2: [0, 1]}, "dispersion": "shared"},
        1,
        SHARED,
    ),
    "gate": ({"gate": "constant"}, {}, 3, "the gate of smaller has a feature"),
    "features of the gate": ({"gate_features": [1]}, {}, 2, "the gate of smaller has a feature"),
    "dispersion": ({"dispersion": "shared"}, {}, 1, SHARED),
    "dispersion features": ({}, {"dispersion_features": [0]}, 2, "the noise variance of an expert"),
    "outputs": ({}, {"covariance_type": "full"}, 2, "the correlation of an expert is estimated"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_a_model_fixes_is_counted_and_costs_likelihood(name):
    of_smaller, of_larger, df, reason = PAIRS[name]
    smaller, larger = regressor(**of_smaller), regressor(**of_larger)
    y = np.column_stack([Y, Y[::-1]]) if name == "outputs" else Y
    result = likelihood_ratio_test(smaller, larger, X, y)
    assert result.df == df
    assert result.statistic >= 0.0
    for fitted in result.estimators:
        assert fitted.converged_
    message = refusal(likelihood_ratio_test, larger, smaller, X, y)
    assert_refused(message, "larger must contain smaller", reason, "bic")
    assert not hasattr(smaller, "n_parameters_")  # the estimators are not fitted


def test_penalties_do_not_count_and_weights_and_known_experts_do():
    pairs = [
        (regressor(shared_features=[0], alpha=alpha), regressor(alpha=alpha))
        for alpha in (None, 50.0)
    ]
    first, second = (likelihood_ratio_test(*pair, X, Y).statistic for pair in pairs)
    assert first == pytest.approx(second, abs=1e-6)
    twice = likelihood_ratio_test(*pairs[0], X, Y, sample_weight=np.full(200, 2.0)).statistic
    assert twice == pytest.approx(2.0 * first, rel=1e-5)
    known = np.where(np.arange(200) % 4 == 0, REGIME.astype(int), -1)
    fits = likelihood_ratio_test(*pairs[0], X, Y, known_experts=known).estimators
    assert [fitted.n_known_ for fitted in fits] == [50, 50]


def test_classes_and_units_have_a_test():
    labels = np.where(REGIME, X[:, 0] > 0.2, X[:, 0] + X[:, 1] < 0.0)
    labels = np.where(np.random.default_rng(1).random(200) < 0.2, ~labels, labels)
    larger = MixtureOfExpertsClassifier(2, gate="constant", random_state=0)
    smaller = MixtureOfExpertsClassifier(
        2, gate="constant", random_state=0, expert_features=[[0, 1, 2], [0, 1]]
    )
    units = np.arange(200) // 4
    result = likelihood_ratio_test(smaller, larger, X, labels, units=units)
    assert result.df == 1
    assert result.statistic >= 0.0


# --- an expert of a single value ---

END = np.random.default_rng(3).uniform(0.5, 4.0, size=200)
TIME = np.exp(0.3 * X[:, 0]) * np.random.default_rng(4).weibull(1.5, size=200)
IS_CURED = np.random.default_rng(5).random(200) < 0.15


def seen(time):
    return right_censored(np.minimum(time, END), time <= END)


def cure(family="weibull", **options):
    """The model without cured rows, and with them."""
    larger = regressor(family=["never", family], **{"gate": "constant"} | options)
    return regressor(n_experts=1, family=family), larger


def test_cured_rows_are_found_with_half_of_the_chi_squared_probability():
    """The likelihoods of exponential times without features have two parameters."""
    y = seen(np.where(IS_CURED, np.inf, TIME))
    time, event = y["lower"], np.isfinite(y["upper"])
    rate = event.sum() / time.sum()
    without = event.sum() * np.log(rate) - rate * time.sum()

    def loss(theta):
        share, rate = 1.0 / (1.0 + np.exp(-theta[0])), np.exp(theta[1])
        densities = event * rate + ~event
        others = (1.0 - share) * densities * np.exp(-rate * time)
        return -np.log(others + share * ~event).sum()

    best = -minimize(loss, [-1.0, 0.0], tol=1e-10).fun
    result = likelihood_ratio_test(*cure("exponential"), np.zeros((200, 1)), y)
    assert_allclose(result.log_likelihoods, [without, best], atol=1e-5)
    assert result.df == 1
    assert result.p_value == pytest.approx(0.5 * chi2.sf(result.statistic, 1))
    assert result.replicates is None
    # Events after twice the last one less the last time of all.
    late = event & (time > 2.0 * time[event].max() - time.max())
    assert result.missed_events == pytest.approx((1.0 - late.mean()) ** 200)
    words = (
        'without "never" is rejected',
        "mean of those of 0 and 1",
        "follow-up is not long enough",
    )
    for word in words:
        assert word in repr(result)


def test_without_cured_rows_the_statistic_is_zero():
    """Times of a rising hazard, of which the end is seen."""
    rng = np.random.default_rng(0)
    time = rng.weibull(1.5, size=200)
    result = likelihood_ratio_test(*cure(), X[:, :1], right_censored(time, time > 0.2))
    assert (result.statistic, result.p_value) == (0.0, 1.0)
    assert "not rejected" in repr(result)


def test_a_cure_that_depends_on_features_is_tested_by_draws():
    y = seen(np.where(IS_CURED, np.inf, TIME))
    options, pair = {"n_bootstrap": 1, "random_state": 0}, cure("exponential", gate="softmax")
    result = likelihood_ratio_test(*pair, X[:, :1], y, **options)
    assert result.df == 2
    assert result.replicates.shape == (1,)
    assert result.statistic > result.replicates.max()
    assert result.p_value == 0.5
    assert "bootstrap with 1 draws" in repr(result)
    # A draw in which no time is censored has no cured row.
    rare = right_censored(TIME[:40], TIME[:40] < TIME[:40].max())
    found = likelihood_ratio_test(*pair, X[:40, :1], rare, **options)
    assert_allclose(found.replicates, [0.0])
    inspected = interval_censored(y["lower"], np.where(y["upper"] < 0.9, 1.0, y["upper"]))
    message = refusal(likelihood_ratio_test, *pair, X[:, :1], inspected)
    assert_refused(message, "likelihood_ratio_test by draws", "two bounds", "bic")
    # Of a constant share the distribution is known.
    found = likelihood_ratio_test(*cure(), X[:, :1], inspected)
    assert found.p_value < 1e-6
    assert np.isnan(found.missed_events)


def test_further_zeros_are_tested_beside_other_parameters():
    """The statistic has one and two degrees of freedom."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(0.5 * X[:, 0])) * (rng.random(200) < 0.7)
    larger = regressor(family=["zero", "poisson"], gate="constant")
    smaller = regressor(n_experts=1, family="poisson", expert_features=[0, 1])
    result = likelihood_ratio_test(smaller, larger, X, counts)
    assert result.df == 2
    expected = 0.5 * chi2.sf(result.statistic, 1) + 0.5 * chi2.sf(result.statistic, 2)
    assert result.p_value == pytest.approx(expected)
    assert 'without "zero" is rejected' in repr(result)
    assert np.isnan(result.missed_events)


def test_censored_times_of_two_regimes_have_a_test():
    y = seen(np.where(REGIME, 0.2, 3.0) * TIME)
    given = {"family": "weibull", "gate": "constant", "expert_features": [0]}
    result = likelihood_ratio_test(
        regressor(**given, shared_features=[0]), regressor(**given), X, y
    )
    assert result.df == 1
    assert result.p_value > 0.01


REFUSED = [
    (regressor(), regressor(n_experts=3), ["n_experts=2", "n_experts_test", "never"]),
    (
        regressor(n_experts=1, family="gamma"),
        regressor(family=["zero", "weibull"]),
        ["n_experts=1", 'family="weibull"'],
    ),
    (regressor(), regressor(family="student_t"), ["family", "bic"]),
    (regressor(), regressor(random_features=[]), ["random_features=None", "bic"]),
    (regressor(monotonic_cst=[1, 0, 0]), regressor(), ["monotonic_cst"]),
    (regressor(), regressor(), ["more parameters"]),
    (regressor(), MixtureOfExpertsClassifier(2), ["MixtureOfExpertsRegressor"]),
    (regressor(gate_features=[0]), regressor(gate_features=[1]), ["gate of smaller"]),
    (regressor(expert=LinearExperts()), regressor(), ["expert", 'Use expert="linear"']),
    (
        regressor(),
        regressor(gate=SoftmaxGate(transformer=SplineTransformer())),
        ["SplineTransformer", "without a transformer", "bic"],
    ),
    (LinearExperts(), regressor(), ["smaller must be a MixtureOfExpertsRegressor"]),
]


@pytest.mark.parametrize(("smaller", "larger", "words"), REFUSED, ids=lambda case: str(case)[:40])
def test_models_that_are_not_nested_are_refused(smaller, larger, words):
    message = refusal(likelihood_ratio_test, smaller, larger, X, Y)
    for word in words:
        assert word in message


def test_pipelines_with_the_same_steps_are_compared():
    pair = [
        make_pipeline(StandardScaler(), regressor(**options))
        for options in ({"shared_features": [0]}, {})
    ]
    found = likelihood_ratio_test(*pair, X, Y)
    expected = likelihood_ratio_test(*(one[-1] for one in pair), X, Y)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-5)
    assert_allclose(found.estimators[0].predict(X), expected.estimators[0].predict(X), atol=1e-4)
    assert not hasattr(pair[0][0], "mean_")


@pytest.mark.parametrize("step", [MinMaxScaler(), StandardScaler(with_mean=False), None])
def test_pipelines_with_other_steps_are_refused(step):
    larger = regressor() if step is None else make_pipeline(step, regressor())
    smaller = make_pipeline(StandardScaler(), regressor(shared_features=[0]))
    message = refusal(likelihood_ratio_test, smaller, larger, X, Y)
    assert_refused(message, "larger must have the steps", "StandardScaler()", "expert_features")
    assert 'set_params(mixture__gate="constant")' in message


# --- Wald's test ---


def test_wald_statistic_of_several_coefficients_is_a_quadratic_form():
    result = regressor().fit(X, Y).inference(X, Y)
    terms = [("expert 0", "", "x0"), ("expert 1", "", "x0"), ("expert 1", "", "x2")]
    index = [result.terms.index(term) for term in terms]
    inverse = np.linalg.inv(result.covariance[np.ix_(index, index)])
    test = result.wald_test(terms)
    assert test.df == 3
    expected = result.estimates[index] @ inverse @ result.estimates[index]
    assert test.statistic == pytest.approx(expected)
    equal = result.wald_test(terms[:2], equal=True)
    first, second = index[:2]
    variance = np.array([1.0, -1.0]) @ result.covariance[np.ix_(index[:2], index[:2])]
    difference = result.estimates[first] - result.estimates[second]
    assert equal.statistic == pytest.approx(difference**2 / (variance @ [1.0, -1.0]))


def test_wald_test_of_a_feature_of_the_gate_does_not_depend_on_the_reference():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 2))
    regime = np.digitize(features[:, 0] + 0.5 * rng.normal(size=300), [-0.5, 0.5])
    y = np.array([-5.0, 0.0, 5.0])[regime] + features[:, 1] + 0.5 * rng.normal(size=300)
    moe = MixtureOfExpertsRegressor(3, gate_alpha=0.1, random_state=0).fit(features, y)
    results = []
    for reference in range(3):
        terms = [("gate", f"expert {k}", "x1") for k in range(3) if k != reference]
        found = moe.inference(features, y, gate_reference=reference)
        results.append(found.wald_test(terms))
    assert [result.df for result in results] == [2, 2, 2]
    assert_allclose([result.statistic for result in results], results[0].statistic, rtol=1e-6)


def test_terms_of_wald_test_must_have_an_error():
    result = regressor().fit(X, Y).inference(X, Y)
    assert "x9" in refusal(result.wald_test, [("expert 0", "", "x9")])
    for terms, shown in (([0, 1], "0"), (1, "1"), ("x0", "'x0'"), ([], "[]"), ([{}], "{}")):
        assert_refused(refusal(result.wald_test, terms), "terms must be", shown, "inference.terms")
    noise = [("expert 0", "", "log(noise variance)"), ("expert 1", "", "log(noise variance)")]
    assert "dispersion" in refusal(result.wald_test, noise)
    assert result.wald_test(noise, equal=True).df == 1
    assert "at least two" in refusal(result.wald_test, noise[:1], equal=True)
