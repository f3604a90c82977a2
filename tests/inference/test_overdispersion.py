"""A summary names another family where counts vary more within experts than theirs allows."""

import warnings

import numpy as np
import pytest

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.fits import fit_quietly

X = np.random.default_rng(0).normal(size=(600, 2))
MEAN = np.exp(1.0 + 0.4 * X[:, 0])


def poisson(mean, n_rows=600):
    return np.random.default_rng(1).poisson(mean, size=n_rows)


COUNTS = poisson(MEAN)
VARIABLE = poisson(MEAN * np.random.default_rng(2).gamma(1.0, 1.0, size=600))
LINKED_COUNTS = [name for name, family in FAMILIES.items() if family.is_count and family.link]
WITHOUT_PENALTY = {"alpha": 1e-6, "gate_alpha": 1e-6}


def notes(y, n_experts=1, **options):
    given = {name: options.pop(name) for name in ("units", "sample_weight") if name in options}
    options = {"random_state": 0, "n_init": 1, "family": "poisson"} | options
    moe = fit_quietly(MixtureOfExpertsRegressor(n_experts, **options), X, y, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return moe, [note for note in moe.summary(X, y, **given).notes if "Pearson" in note]


def test_the_dispersion_is_that_of_pearson():
    moe, [note] = notes(VARIABLE, **WITHOUT_PENALTY)
    mean = moe.predict(X)
    expected = ((VARIABLE - mean) ** 2 / mean).sum() / (600 - 3)
    assert f"the variance is {expected:.2g} times the mean" in note
    assert 'try family="negative_binomial"' in note


@pytest.mark.parametrize("family", LINKED_COUNTS)
def test_only_families_whose_variance_is_the_mean_are_concerned(family):
    assert bool(notes(VARIABLE, family=family)[1]) == bool(FAMILIES[family].larger_variance)
    assert notes(COUNTS, family=family)[1] == []
    assert FAMILIES[family].larger_variance in ("", *FAMILIES)


@pytest.mark.parametrize(
    "options",
    [
        {"n_experts": 2, "gate": "constant", "units": np.arange(600) // 2},
        {"n_experts": 2, "family": ["zero", "poisson"]},
        {"n_experts": 2, "family": ["poisson", "negative_binomial"]},
        {"expert": "tree", "max_iter": 3},
        {"n_experts": 1, "sample_weight": np.arange(600) % 2},
    ],
    ids=["units", "zero", "list", "tree", "weights"],
)
def test_fits_of_every_kind(options):
    assert notes(COUNTS, **options)[1] == []
    if options.get("family") != ["poisson", "negative_binomial"]:
        assert len(notes(VARIABLE * 3, **options)[1]) == 1


def test_small_tables_and_rare_counts_are_not_accused():
    rare = np.arange(600) % 50 == 0
    assert notes(rare.astype(int))[1] == []
    few = np.append(poisson(2.0, 40), np.zeros(560))
    assert notes(few, sample_weight=np.arange(600) < 40)[1] == []


def test_regimes_are_no_overdispersion():
    """Two regimes vary more than one Poisson distribution, and each of them does not."""
    y = poisson(np.where(X[:, 1] > 0.0, 1.0, 9.0))
    assert len(notes(y, expert_features=[0])[1]) == 1
    assert notes(y, n_experts=2)[1] == []
