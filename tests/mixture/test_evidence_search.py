"""The search of penalties: rounds of EM, each followed by an update, until they settle."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsRegressor
from skmoe._mixture.em import Run
from skmoe._mixture.evidence import (
    FINAL_FACTOR,
    ITERATIONS_BETWEEN_UPDATES,
    Penalty,
    search_penalties,
    updated_penalties,
)
from skmoe._mixture.information import end_at_maximum
from support.mixtures import case, started
from support.tables import two_regimes

X, Y = two_regimes(150)
BOTH = [Penalty("gate", ("alpha",), 1.0, "auto"), Penalty("experts", ("alpha",), 1.0, "auto")]
SCALES = Penalty("experts", ("dispersion_prior", "noise_variance"), 10.0, "auto")


def searched(own, penalties, limits=(2000, 1e-8), observer=None):
    objective = own.objective._replace(observer=observer)
    start = Run(started(own), [])
    return search_penalties(objective, own.mixture, penalties, start, limits)


def evidence(own, mixture, theta):
    """Log evidence per row at the maximum for the penalties of a mixture."""
    state = own._replace(mixture=mixture).objective.at(theta[None])
    return updated_penalties(BOTH, own.mixture, state)


@pytest.mark.parametrize("name", ["normal", "gamma", "poisson", "4 classes", "units"])
def test_penalties_that_are_found_have_more_evidence(name):
    own = case(name)
    found = searched(own, BOTH)
    assert found.converged
    at_end = evidence(own, found.mixture, found.theta)
    default = end_at_maximum(own.objective, searched(own, []), 3000, 1e-8)
    before = evidence(own, own.mixture, default.theta)
    assert at_end.log_evidence >= before.log_evidence - 1e-6
    # Another update would change them little.
    assert at_end.factor < FINAL_FACTOR or abs(at_end.gain) < 1e-8
    assert min(np.diff(found.lower_bounds)) > -1e-9


def test_each_kind_of_search_changes_its_own_penalties():
    own = case("normal, dispersion features")
    of_dispersions = Penalty("experts", ("dispersion_alpha",), 1.0, "auto")
    for penalties, changed in (
        ([BOTH[0]], {("gate", "alpha")}),
        ([of_dispersions], {("experts", "dispersion_alpha")}),
        ([SCALES], {("experts", "dispersion_prior"), ("experts", "noise_variance")}),
    ):
        found = searched(own, penalties).mixture
        for name in ("gate", "experts"):
            for field, value in getattr(own.mixture, name).penalties.items():
                same = np.array_equal(getattr(found, name).penalties[field], value)
                assert same == ((name, field) not in changed), (name, field)
    each = [Penalty("experts", ("alpha",), 1.0, "ard")]
    assert len(searched(own, each).mixture.experts.penalties["alpha"]) == 3


def test_rounds_become_longer_and_iterations_have_numbers():
    own, heard = case("normal"), []

    def observe(n_iter, run):
        heard.append((n_iter, run.n_earlier))
        return False

    run = searched(own, [*BOTH, SCALES], observer=observe)
    numbers, earlier = np.array(heard).T
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    assert numbers[-1] == run.n_earlier + len(run.lower_bounds)
    rounds = np.bincount(np.unique(earlier, return_inverse=True)[1])
    assert rounds[0] == ITERATIONS_BETWEEN_UPDATES[0]
    short = rounds[: len(ITERATIONS_BETWEEN_UPDATES)]
    assert (np.diff(short[:-1]) >= 0).all()

    def stop(n_iter, run):
        return n_iter == 4

    assert searched(own, BOTH, observer=stop).stopped


@pytest.mark.parametrize("max_iter", [2, 7, 18])
def test_all_iterations_of_a_search_count(max_iter):
    run = searched(case("normal"), BOTH, (max_iter, 0.0))
    assert run.n_earlier + len(run.lower_bounds) == max_iter
    assert not run.converged


def test_a_search_takes_few_times_the_iterations_of_a_fit():
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, Y)
    given = {"alpha": moe.alpha_, "gate_alpha": moe.gate_alpha_}
    fixed = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **given).fit(X, Y)
    assert fixed.n_iter_ < moe.n_iter_ <= 4 * fixed.n_iter_
    assert_allclose(moe.predict(X), fixed.predict(X), atol=0.1)
    with pytest.warns(ConvergenceWarning, match="max_iter=4 iterations"):
        MixtureOfExpertsRegressor(2, n_init=1, max_iter=4, random_state=0).fit(X, Y)
