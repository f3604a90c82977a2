"""What must not matter: the order of rows, columns and outputs, the sign and the units of data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from properties.small_fits import N, fit_on, plain_fit, short, statements, units_of
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.fits import ALL_CASES, CLASSES, FIXED, X, Y, fit_quietly, fixed_penalties

ROWS = np.arange(N)
# Splits of trees that are equally good depend on the order of columns, and ridge regressions on
# units. A selected number is that of fits which are cases themselves.
OTHERS = ("a list of estimators", "stacking", "base", "selected number")
PARAMETRIC = [case for case in ALL_CASES if "tree" not in case and case not in OTHERS]
# Cases whose target is a number that may be negative, and has no unit of its own.
SYMMETRIC = [
    case for case in [*PARAMETRIC, "base"] if np.min(ALL_CASES[case][1]) < 0 and "class" not in case
]


def exchanged(columns):
    """Two columns in the place of each other, in nested lists and keys."""
    if isinstance(columns, dict):
        return {1 - j: experts for j, experts in columns.items()}
    return [exchanged(j) if isinstance(j, list) else 1 - j for j in columns]


def with_signs(case, factor, reverse=False):
    """Options of a case for features or a target that are multiplied, or columns exchanged."""
    given = ALL_CASES[case][0].get_params()
    signs, options = given.get("monotonic_cst"), {}
    names = ("expert_features", "shared_features", "dispersion_features")
    for name in names if reverse else ():
        if given.get(name):
            options[name] = exchanged(given[name])
    if signs:
        turned = (np.sign(factor) * np.array(signs)).astype(int).tolist()
        options["monotonic_cst"] = turned[::-1] if reverse else turned
    return options


@pytest.mark.parametrize("case", ALL_CASES)
def test_order_of_rows_does_not_matter(case):
    order = np.random.default_rng(3).permutation(N)
    if units_of(case):  # a unit keeps the order of its rows
        order = np.random.default_rng(3).permutation(N // 2).repeat(2) * 2 + ROWS % 2
    first, second = plain_fit(case), fit_on(case, order)
    assert_allclose(second.lower_bound_, first.lower_bound_, rtol=1e-8)
    units = units_of(case)
    assert_allclose(statements(second, **units), statements(first, **units), rtol=1e-6, atol=1e-8)


def test_order_of_repeated_rows_with_fractional_weights_does_not_matter():
    rng = np.random.default_rng(0)
    index = rng.integers(0, N, size=2 * N)
    weight, order = rng.uniform(0.1, 2.0, size=2 * N), rng.permutation(2 * N)
    first, second = (
        fit_on("linear-regressor", index[rows], weight[rows]) for rows in (slice(None), order)
    )
    assert_allclose(statements(second), statements(first), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", PARAMETRIC)
def test_order_and_units_of_columns_do_not_matter(case):
    """Columns that options name are exchanged too."""
    stretch, shift = np.array([1e-6, 1e5]), np.array([-3.0, 1e6])
    moved = (X * stretch + shift)[:, ::-1]
    options = with_signs(case, stretch, reverse=True)
    first, second = plain_fit(case), fit_on(case, ROWS, features=moved, **options)
    assert_allclose(second.lower_bound_, first.lower_bound_, atol=1e-6)
    units = units_of(case)
    assert_allclose(
        statements(second, moved[:N], **units), statements(first, **units), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("case", [*PARAMETRIC, "base", "selected number"])
def test_the_sign_of_a_feature_changes_only_its_coefficients(case):
    signs = np.array([-1.0, 1.0])
    options = with_signs(case, signs)
    first, second = plain_fit(case), fit_on(case, ROWS, features=signs * X, **options)
    assert_allclose(second.lower_bound_, first.lower_bound_, rtol=1e-8)
    units = units_of(case)
    assert_allclose(
        statements(second, signs * X[:N], **units), statements(first, **units), rtol=1e-6, atol=1e-8
    )
    for coef in {"gate_coef_", "expert_coef_"} & set(vars(first)):
        of_features, turned = (getattr(moe, coef)[..., :2] for moe in (first, second))
        assert_allclose(turned, signs * of_features, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_extreme_units_of_features_do_not_matter(unit):
    """Whose squares underflow, or overflow."""
    for case in ("linear-regressor", "linear-classifier"):
        first, second = plain_fit(case), fit_on(case, ROWS, features=unit * X)
        assert_allclose(statements(second, unit * X[:N]), statements(first), rtol=1e-5, atol=1e-6)


# Registered families of positive numbers.
POSITIVE = [
    name for name, family in FAMILIES.items() if family.link == "log" and family.is_continuous
]


@pytest.mark.parametrize("case", SYMMETRIC)
def test_sign_and_units_of_the_target_do_not_matter(case):
    y = ALL_CASES[case][1]
    factor, shift = -1e6, 3e7
    options = with_signs(case, factor)
    first, second = plain_fit(case), fit_on(case, ROWS, y=factor * y + shift, **options)
    n_outputs = 1 if np.ndim(y) == 1 else y.shape[1]
    jacobian = n_outputs * np.log(abs(factor))
    assert_allclose(second.lower_bound_, first.lower_bound_ - jacobian, atol=1e-5)
    assert_allclose(second.predict(X[:N]), factor * first.predict(X[:N]) + shift, rtol=1e-5)
    if "units" not in units_of(case):
        assert_allclose(
            second.score_samples(X[:N], factor * y[:N] + shift),
            first.score_samples(X[:N], y[:N]) - jacobian,
            atol=1e-3,
        )


@pytest.mark.parametrize("name", POSITIVE)
def test_units_of_a_positive_target_do_not_matter(name):
    """A dispersion with a unit, as that of inverse Gaussians, has a prior in the same unit."""
    case = f"{name}-regressor"
    y = ALL_CASES[case][1]
    first, second = plain_fit(case), fit_on(case, ROWS, y=1e3 * y)
    assert_allclose(second.lower_bound_, first.lower_bound_ - np.log(1e3), atol=1e-5)
    assert_allclose(second.predict(X[:N]), 1e3 * first.predict(X[:N]), rtol=1e-4)


@pytest.mark.parametrize("family", ["normal", "student_t"])
def test_order_of_outputs_does_not_matter(family):
    both = np.column_stack([Y[:N], np.abs(Y[:N]) + X[:N, 0]])
    moe = short("outputs", n_experts=2, family=family)
    first, second = (fit_quietly(clone(moe), X[:N], both[:, order]) for order in ([0, 1], [1, 0]))
    assert_allclose(second.lower_bound_, first.lower_bound_, rtol=1e-7)
    assert_allclose(second.predict(X[:N])[:, ::-1], first.predict(X[:N]), rtol=1e-5, atol=1e-6)
    assert_allclose(second.predict_gate(X[:N]), first.predict_gate(X[:N]), atol=1e-6)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_sparse_and_dense_features_give_the_same_fit(make):
    rng = np.random.default_rng(0)
    rows = np.where(rng.uniform(size=(N, 2)) < 0.7, X[:N], 0.0)
    y = Y[:N] if make is MixtureOfExpertsRegressor else CLASSES[:N]
    moe = make(
        2,
        random_state=0,
        n_init=1,
        init="linear_tree",
        tol=1e-10,
        max_iter=2000,
        **fixed_penalties(make),
    )
    dense = fit_quietly(clone(moe), rows, y)
    for container in (sparse.csr_array, sparse.coo_matrix):
        thin = fit_quietly(clone(moe), container(rows), y)
        assert_allclose(thin.lower_bound_, dense.lower_bound_, atol=1e-6)
        assert_allclose(statements(thin, container(rows)), statements(dense, rows), atol=1e-3)
        assert_allclose(statements(thin, rows), statements(thin, container(rows)), atol=1e-9)
        assert_allclose(statements(dense, container(rows)), statements(dense, rows), atol=1e-9)


def test_a_selected_number_of_experts_does_not_depend_on_the_order_of_rows():
    """Chosen by held-out rows; the numbers by "bic" are one of the cases above."""
    options = {"n_init": 1, "max_iter": 5, "random_state": 1} | FIXED
    moe = MixtureOfExpertsRegressor([2, 1], **options)
    index = np.r_[np.arange(24), np.arange(8)]
    rng = np.random.default_rng(0)
    weight, order = rng.uniform(0.1, 2.0, size=32), rng.permutation(32)
    groups, fits = np.arange(32) // 4, []
    for rows in (np.arange(32), order):
        own, given = index[rows], {"sample_weight": weight[rows], "groups": groups[rows]}
        fits.append(fit_quietly(clone(moe), X[own], Y[own], **given))
    assert fits[0].n_experts_tried_.tolist() == fits[1].n_experts_tried_.tolist()
    assert_allclose(fits[0].n_experts_scores_, fits[1].n_experts_scores_, rtol=1e-6)
    assert_allclose(statements(fits[0]), statements(fits[1]), rtol=1e-6, atol=1e-8)
