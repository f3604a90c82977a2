"""Arguments that would have no effect, or are out of range, are refused before any work."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from skmoe import MixtureOfExpertsRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 2))
Y = np.where(X[:, 0] > 0.0, X[:, 1], -X[:, 1]) + 0.1 * RNG.normal(size=120)
GROUPS = np.arange(120) // 4


@pytest.mark.parametrize("n_experts", [2, "bic", "icl"])
def test_groups_without_folds_are_refused(n_experts, monkeypatch):
    """Criteria of the fit itself have no folds."""
    monkeypatch.setattr("skmoe._estimators.n_experts_selection.n_experts_grid", None)
    moe = MixtureOfExpertsRegressor(n_experts, random_state=0)
    with pytest.raises(ValueError, match="groups"):
        moe.fit(X, Y, groups=GROUPS)
    assert not hasattr(moe, "n_experts_")


def test_groups_are_used_by_the_held_out_choice():
    moe = MixtureOfExpertsRegressor("auto", random_state=0)
    scores = [clone(moe).fit(X, Y, groups=g).n_experts_scores_[0] for g in (None, GROUPS)]
    assert scores[0] != scores[1]


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, -0.1])
def test_the_level_of_a_summary_is_checked_at_once(level):
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    for data in ((), (X, Y)):
        with pytest.raises(ValueError, match=rf"level must be in \(0, 1\); got {level}"):
            moe.summary(*data, level=level)
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\)"):
        moe.inference(X, Y).conf_int(level)


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, None])
def test_the_number_of_draws_is_named_as_in_the_signature(n_samples):
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    with pytest.raises((TypeError, ValueError), match="n_samples must be"):
        moe.sample(X, n_samples)
    assert_allclose(moe.sample(X, np.int64(2), 0), moe.sample(X, 2, 0))
