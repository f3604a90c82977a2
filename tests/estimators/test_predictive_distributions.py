"""The distribution that an estimator predicts is that of its means, densities and draws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.heteroscedastic import HeteroscedasticExperts
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, two_regimes

SMALL = {"n_experts": 2, "n_init": 1, "max_iter": 10, "random_state": 0}
X, Y = two_regimes(n_rows=150)
CASES = {
    "linear": {},
    "shared": {"dispersion": "shared"},
    "constant gate": {"gate": "constant"},
    "routed": {"gate": SoftmaxGate(top_k=1), "n_experts": 3},
    "routed trees": {"expert": "tree", "gate": SoftmaxGate(top_k=1), "n_experts": 3},
    "mixed": {"expert": ["linear", "tree"]},
    "nested in a pipeline": {
        "expert": make_pipeline(
            StandardScaler(), MixtureOfExpertsRegressor(**SMALL | {"max_iter": 3})
        ),
        "max_iter": 3,
    },
}


def fitted(name, y):
    return fit_quietly(MixtureOfExpertsRegressor(**SMALL | CASES[name]), X, y)


@pytest.mark.parametrize("name", CASES)
def test_distribution_of_one_output_is_that_of_the_estimator(name):
    moe = fitted(name, Y)
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-9, atol=1e-9)
    assert_allclose(dist.logpdf(Y), moe.score_samples(X, Y), rtol=1e-8, atol=1e-8)
    interval = moe.predict_interval(X, 0.9)
    assert_allclose(interval, moe.predict_quantile(X, [0.05, 0.95]))
    assert_allclose(interval[:, 0], moe.predict_quantile(X, 0.05))
    assert_allclose(dist.cdf(interval), [[0.05, 0.95]] * 150, atol=1e-8)
    inside = (interval[:, 0] < Y) & (interval[:, 1] > Y)
    assert inside.mean() > 0.8
    assert ((interval[:, 1] - interval[:, 0]).mean() < 6.0 * Y.std()).all()
    draws = moe.sample(X, n_samples=50, random_state=0)
    assert draws.shape == (150, 50)
    assert_allclose(draws.mean(), dist.mean.mean(), atol=0.06 * Y.std())


def test_several_outputs_of_a_draw_share_the_regime():
    moe = fit_quietly(MixtureOfExpertsRegressor(**SMALL), X, np.column_stack([Y, -Y]))
    draws = moe.sample(X[:1], n_samples=1000, random_state=0)[0]
    joint = moe.score_samples(np.repeat(X[:1], 1000, axis=0), draws)
    marginal = moe.predict_dist(X[:1]).logpdf(draws[None]).sum(axis=-1)[0]
    assert joint.mean() > marginal.mean()  # outputs are not independent


def test_intervals_cover_held_out_rows():
    X, y = crossing_lines(n_rows=3000)
    moe = fit_quietly(MixtureOfExpertsRegressor(**SMALL | {"max_iter": 50}), X[:600], y[:600])
    for coverage in (0.5, 0.8, 0.95):
        lower, upper = moe.predict_interval(X[600:], coverage).T
        assert abs(((lower < y[600:]) & (upper > y[600:])).mean() - coverage) < 0.05


def test_experts_without_a_distribution_are_named():
    class Odd(HeteroscedasticExperts):
        components = None

    moe = fit_quietly(MixtureOfExpertsRegressor(**SMALL | {"expert": Odd()}), X, Y)
    message = refusal(moe.predict_interval, X)
    assert_refused(message, "predict_interval", "Odd", "components", "score_samples")
