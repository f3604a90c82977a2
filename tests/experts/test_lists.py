"""Lists of families as experts: what they have in common, and the rows they start with."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._mixture.partitions import restricted
from skmoe.experts import LinearExperts
from skmoe.families import FAMILIES, Poisson
from support.expert_kinds import example
from support.families import no_scaling
from support.mixtures import linear, rows_of

ESTIMATES = {"noise_variance": (1.0,), "variance_floor": (1e-6,)}


Y = np.array([[0.0, 0.0, 1.0, 2.0, 1.5, 0.2, -1.0, -2.5, 4.0]])


@pytest.mark.parametrize("first", FAMILIES)
def test_list_is_what_its_families_have_in_common(first):
    for second in FAMILIES:
        families = one, other = example(first), example(second)
        experts = LinearExperts(families)
        links = {family.link for family in families if family.link}
        assert experts.link == (min(links) if len(links) == 1 else "")
        assert experts.takes_offset == (links == {"log"})
        standard = all(family.standardizes_target for family in families if family.link)
        has_atoms = one.atoms or other.atoms
        assert experts.standardizes_target == bool(links and standard and not has_atoms)
        assert experts.takes_bounds == (one.takes_bounds and other.takes_bounds)
        expected = one.in_support(Y)[0] | other.in_support(Y)[0]
        assert_array_equal(experts.in_support(Y), expected)
        # The scale of the initialisation is that of the first family with a predictor.
        target = (one if one.link or not other.link else other).working_target(Y)[0]
        found = experts.working_target(Y)[0]
        assert np.ptp(found) <= np.ptp(target)
        if not (one.has_outliers or other.has_outliers):
            assert_allclose(found, target)


NAMES = ["zero", "poisson", "gamma", "uniform", "normal"]
# At zero, which has positive probability, densities are zero.
POSSIBLE = np.array(
    [Y[0] == 0.0, (Y[0] >= 0.0) & (Y[0] == np.round(Y[0])), Y[0] > 0.0, Y[0] != 0.0, Y[0] != 0.0]
)


def constant_rows(y):
    """Rows without features."""
    return rows_of(y, design=np.ones((y.shape[-1], 1)), weight=np.ones(y.shape[-1]))


def experts_of(*names, y=Y):
    """Experts of some families, and values that only some of them can have made."""
    families = tuple(FAMILIES[name]() for name in names)
    return LinearExperts(families).experts_of(
        constant_rows(y), no_scaling(), len(families), ESTIMATES, {}
    )


def test_no_expert_starts_with_rows_that_it_cannot_have_made():
    experts = experts_of(*NAMES)
    assert experts.with_predictor == [1, 2, 4]
    labels = np.random.default_rng(0).dirichlet(np.ones(3), size=9).T
    found = experts.initial_responsibilities(labels, Y, None)
    assert_allclose(found.sum(axis=0), 1.0)
    assert_array_equal(found > 1e-6, POSSIBLE)
    # The cells belong to the experts with predictors, in turn.
    free = POSSIBLE[[1, 2, 4]].all(axis=0)
    shares = found[[1, 2, 4]][:, free]
    assert_allclose(shares / shares.sum(axis=0), labels[:, free], atol=1e-9)
    # Relative to its cells, a zero is more likely to be of the point mass than a number is of the
    # uniform distribution.
    of_zeros = found[0, :2] / found[1, :2] * labels[0, :2]
    of_numbers = found[3, 2:] / found[4, 2:] * labels[2, 2:]
    assert_allclose(of_zeros, of_zeros[0])
    assert_allclose(of_numbers, of_numbers[0])
    assert 0.0 < of_numbers[0] < of_zeros[0] < 1.0


def test_cells_are_shuffled_between_different_families():
    """With a generator; equal families take them in their order."""
    labels, rng = np.eye(3), np.random.default_rng(1)
    rows = Y[:, [2, 3, 8]]
    experts = experts_of(*NAMES)
    orders = {
        tuple(experts.initial_responsibilities(labels, rows, rng).argmax(axis=0)) for _ in range(30)
    }
    assert len(orders) > 1
    experts = experts_of("zero", "poisson", "poisson")
    labels = np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.6]])
    for _ in range(5):
        found = experts.initial_responsibilities(labels, rows, rng)
        assert_allclose(found[1:], labels, atol=1e-7)
    same = experts_of("poisson", "poisson", y=Y[:, :4])
    assert_array_equal(same.initial_responsibilities(labels, rows, rng), labels)


def test_responsibilities_are_restricted_to_possible_experts():
    experts = experts_of(*NAMES)
    resp = np.random.default_rng(0).dirichlet(np.ones(5), size=9).T
    resp[:, 7] = [1.0, 0.0, 0.0, 0.0, 0.0]  # of an expert that cannot have made the row
    found = restricted(experts, resp, constant_rows(Y))
    assert_allclose(found.sum(axis=0), 1.0)
    assert_array_equal(found[~POSSIBLE], 0.0)
    rows = np.arange(9) != 7
    expected = (resp * POSSIBLE)[:, rows]
    assert_allclose(found[:, rows], expected / expected.sum(axis=0), atol=1e-7)
    # The row is shared by those that can have made it.
    assert_allclose(found[POSSIBLE[:, 7], 7], 1.0 / POSSIBLE[:, 7].sum())


def test_impossible_experts_do_not_count():
    own = linear("zero", "gamma", "lognormal")
    y = own.rows.y.copy()
    y[0, :5] = 0.0
    own = own._replace(rows=own.rows._replace(y=y))
    [data] = own.blocks()
    resp, log_density = own.mixture.responsibilities(own.theta[None], data)
    assert_array_equal(resp[0, 0, :5], 1.0)
    assert_array_equal(resp[0, 0, 5:], 0.0)
    at = own.mixture.at(own.theta[None], data)
    assert_allclose(log_density[0, :5], at.log_gates[0][0, 0, 0, :5])


def test_family_of_your_own_is_fitted_with_the_weights_of_the_rows():
    seen = []

    class Own(Poisson):
        def fitted_to(self, y, weight, scaling):
            seen.append((y, weight, scaling))
            return self

    y, scaling = np.ones((1, 4)), no_scaling()
    rows = constant_rows(y)._replace(weight=np.arange(1.0, 5.0))
    LinearExperts((Own(),)).experts_of(rows, scaling, 2, ESTIMATES, {})
    ((y_given, weight, scaling_given),) = seen
    assert_array_equal(y_given, y)
    assert_array_equal(weight, rows.weight)
    assert scaling_given is scaling
