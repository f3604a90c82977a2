"""Lists of families as experts: what they have in common, and the rows they start with."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.experts import GeneralizedLinearExperts
from skmoe.families import FAMILIES, Poisson, Uniform
from skmoe.protocols import SupportsReordering
from support.expert_kinds import example
from support.parts import DESIGN, N_ROWS, WEIGHT, dispersions, generalized, no_scaling


@pytest.mark.parametrize("first", FAMILIES)
def test_list_is_what_its_families_have_in_common(first):
    for second in FAMILIES:
        families = (example(first), example(second))
        experts = GeneralizedLinearExperts(families)
        with_predictor = [family for family in families if family.link]
        links = {family.link for family in with_predictor}
        assert experts.link == (min(links) if len(links) == 1 else "")
        assert experts.takes_offset == (links == {"log"})
        all_standardised = all(family.standardizes_target for family in with_predictor)
        assert experts.standardizes_target == (
            bool(with_predictor)
            and all_standardised
            and not (families[0].atoms or families[1].atoms)
        )
        assert experts.can_separate == all(family.is_count for family in families)
        assert bool(experts.estimated_options) == any(family.has_scale for family in families)
        assert experts.support == " or ".join(dict.fromkeys(family.support for family in families))
        assert experts.limitation(SupportsReordering) != ""
        for k, family in enumerate([*families, *families]):  # as starts side by side have them
            predictor, *_ = experts.blocks_of(k)
            assert (predictor.link if predictor else "") == family.link
            assert tuple(dispersions(experts, k)) == family.dispersions
        named = [dispersion for family in families for dispersion in family.dispersions]
        assert dispersions(experts) == list(dict.fromkeys(named))
        y = np.array([[0.0, 1.0, 2.0, 1.5, 200.0, -1.0]])
        one, other = (family.option_for_parts for family in families)
        assert experts.option_for_parts == (one or other)
        assert experts.obstacle(y) == (families[0].obstacle(y) or families[1].obstacle(y))
        expected = np.any([family.in_support(y)[0] for family in families], axis=0)
        assert_array_equal(experts.in_support(y), expected)
        # The scale of the initialisation is that of the first family with a predictor.
        target = (with_predictor or list(families))[0].working_target(y)[0]
        found = experts.working_target(y)[0]
        near = slice(None) if not any(family.has_outliers for family in families) else [1, 2, 3]
        assert_allclose(found[near], target[near])
        assert np.ptp(found) <= np.ptp(target)


@pytest.mark.parametrize("name", FAMILIES)
def test_single_family_has_no_limits_of_a_list(name):
    experts = GeneralizedLinearExperts((example(name),))
    assert experts.limitation(SupportsReordering) == ""
    assert tuple(dispersions(experts)) == example(name).dispersions
    assert experts.n_cells(4) == 4
    y = np.array([[0.0, 1.0, 2.0, 1.5, -1.0]])
    resp = np.full((3, 5), 0.2)
    assert_array_equal(experts.restrict(resp, y), resp)
    assert_array_equal(experts.initial_responsibilities(resp, 3, y, None), resp)


NAMES = ["zero", "poisson", "gamma", "uniform", "normal"]
Y = np.array([[0.0, 0.0, 1.0, 2.0, 1.5, 0.2, -1.0, -2.5, 4.0]])
# At zero, which has positive probability, densities are zero.
POSSIBLE = np.array(
    [
        Y[0] == 0.0,
        (Y[0] >= 0.0) & (Y[0] == np.round(Y[0])),
        Y[0] > 0.0,
        Y[0] != 0.0,
        Y[0] != 0.0,
    ]
)


def five_families():
    """Experts of five families, and values that only some of them can have made."""
    experts = GeneralizedLinearExperts(tuple(FAMILIES[name]() for name in NAMES))
    return experts.fitted_to(np.ones((9, 1)), Y, np.ones(9), no_scaling())


def test_no_expert_starts_with_rows_that_it_cannot_have_made():
    experts = five_families()
    labels = np.random.default_rng(0).dirichlet(np.ones(3), size=9).T
    found = experts.initial_responsibilities(labels, 5, Y, None)
    assert_allclose(found.sum(axis=0), 1.0)
    assert_array_equal(found > 1e-6, POSSIBLE)
    assert_array_equal(experts.in_support(Y), True)
    # The cells belong to the experts with predictors, in turn.
    assert experts.n_cells(5) == 3
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
    experts = five_families()
    orders = {
        tuple(experts.initial_responsibilities(labels, 5, rows, rng).argmax(axis=0))
        for _ in range(30)
    }
    assert len(orders) > 1
    families = tuple(FAMILIES[name]() for name in ("zero", "poisson", "poisson"))
    experts = GeneralizedLinearExperts(families)
    labels = np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.6]])
    for _ in range(5):
        found = experts.initial_responsibilities(labels, 3, rows, rng)
        assert_allclose(found[1:], labels, atol=1e-9)
    assert GeneralizedLinearExperts(families[:1] * 2 + families[1:]).n_cells(4) == 2
    assert GeneralizedLinearExperts((families[0], Uniform())).n_cells(2) == 1


def test_responsibilities_are_restricted_to_possible_experts():
    experts = five_families()
    resp = np.random.default_rng(0).dirichlet(np.ones(5), size=9).T
    resp[:, 7] = [1.0, 0.0, 0.0, 0.0, 0.0]  # of an expert that cannot have made the row
    found = experts.restrict(resp, Y)
    assert_allclose(found.sum(axis=0), 1.0)
    assert_array_equal(found[~POSSIBLE], 0.0)
    rows = np.arange(9) != 7
    expected = (resp * POSSIBLE)[:, rows]
    assert_allclose(found[:, rows], expected / expected.sum(axis=0), atol=1e-9)
    # The row is shared by those that can have made it.
    assert_allclose(found[POSSIBLE[:, 7], 7], 1.0 / POSSIBLE[:, 7].sum())


def test_family_of_your_own_is_fitted_with_the_weights_of_the_rows():
    seen = []

    class Own(Poisson):
        def fitted_to(self, y, weight, scaling):
            seen.append((y, weight, scaling))
            return self

    y, scaling = np.ones((1, N_ROWS)), no_scaling()
    GeneralizedLinearExperts((Own(),)).fitted_to(DESIGN, y, WEIGHT, scaling)
    ((y_given, weight, scaling_given),) = seen
    assert_array_equal(y_given, y)
    assert_array_equal(weight, WEIGHT)
    assert scaling_given is scaling


def test_target_of_counts_and_ratings_keeps_its_units():
    for name in ("poisson", "ordinal"):
        experts, _ = generalized([name])
        assert not experts.standardizes_target
        assert experts.rescale(None) is experts
