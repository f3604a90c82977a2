"""What must not matter: the order of rows, copies in place of weights, signs, units and names.

Each change gives a problem two forms. Their fits say the same of the same rows.
"""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone, is_classifier

from properties.small_fits import N, Problem, all_cases, problem, statements
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.expert_kinds import KINDS_OF_FITS
from support.fits import cases_of
from support.tables import flipping_classes, two_regimes

# Standardised features in other units, or by other sums, are the same to fewer digits.
CLOSE, NEAR = (1e-6, 1e-8), (1e-3, 1e-4)
OF_COLUMNS = ("gate_features", "expert_features", "shared_features", "dispersion_features")
OF_COLUMNS += ("random_features",)


class Pair(NamedTuple):
    """A problem in two forms, the rows of the first in the form of the second, and tolerances.

    The target of the second is a linear function of the first.
    """

    one: Problem
    other: Problem
    rows: Problem
    tolerances: tuple[float, float] = CLOSE
    factor: float = 1.0
    shift: float = 0.0
    order: slice = slice(None)  # of classes or outputs
    criteria: tuple[str, ...] = ("aic", "bic", "icl")


# --- changes --------------------------------------------------------------------------------------


def rows_and_signs(problem, rng):
    """Rows are in any order, and copies in place of weights; labels of units and groups are any.

    A row without weight is absent, although neither its features nor its target may be learnt
    from. Features have other signs, unless starts or estimators depend on them.
    """
    counts = rng.integers(0, 4, size=N)
    weight = problem.given.get("sample_weight", np.ones(N))
    one, rows = problem.with_(sample_weight=weight * counts), problem
    if problem.units:
        labels = np.array([f"unit {7 * unit % 31}" for unit in problem.given["units"]])
        rows = rows.with_(units=labels)
    if "groups" in problem.given:
        rows = rows.with_(groups=7 * problem.given["groups"] % 31)
    if problem.name in SIGNS_DO_NOT_MATTER:
        signs = np.array([-1.0, 1.0])
        rows = rows.with_(options_of(problem.moe, signs), X=problem.X * signs)
    other = rows.take(rng.permutation(np.repeat(np.arange(N), counts)))
    if problem.name in WITH_IMPOSSIBLE_ROW:
        other = with_impossible_row(other)
    return Pair(one, other, rows)


def with_impossible_row(problem):
    n_rows = len(problem.y)
    weight = problem.given.get("sample_weight", np.ones(n_rows))
    given = {"sample_weight": np.append(weight, 0.0)}
    if problem.units:
        given["units"] = np.append(problem.given["units"], "another")
    y = np.append(problem.y, 0 if is_classifier(problem.moe) else -7.5)
    return problem.with_(X=np.vstack([problem.X, [[30.0, -30.0]]]), y=y, **given)


def copies_of_units(problem, rng):
    """Units are copies in place of weights, in any order of the rows, and labels are any.

    Starts, and the noise by which the prior is scaled, are those of folds of units, so that there
    is no prior, and a given start.
    """
    units, weight = problem.given["units"], problem.given.get("sample_weight", np.ones(N))
    is_first = problem.X[:, 0] > 0.0 if "time" in problem.given else units % 2 == 0
    options = {"init": np.where(is_first[:, None], [0.8, 0.2], [0.2, 0.8])}
    options |= {} if is_classifier(problem.moe) else {"dispersion_prior": 0.0}
    problem = problem.with_(options)
    counts = rng.permutation(np.arange(units.max() + 1) % 3)[units]
    one = problem.with_(sample_weight=weight * counts)
    rows = rng.permutation(np.repeat(np.arange(N), counts))
    number = np.array([np.sum(rows[:i] == row) for i, row in enumerate(rows)])  # of the copy
    labels = np.array([f"unit {7 * k % 31}" for k in units])
    other = problem.with_(units=labels).take(rows)
    copies = [
        f"{label}, {i}" if i else label for label, i in zip(labels[rows], number, strict=True)
    ]
    return Pair(one, other.with_(units=np.array(copies)), problem.with_(units=labels), NEAR)


def order_of_rows(problem, rng):
    """Of series, whose units have other labels, and time another scale."""
    order, rows = rng.permutation(N), problem.with_(units=7.0 * problem.given["units"] % 31.0)
    time = np.datetime64("2020-01-01") + (rows.given["time"] * 1e6).astype("timedelta64[s]")
    rows = rows.with_(time=time)
    return Pair(problem, rows.take(order), rows)


def sign_of_a_feature(problem, rng):
    signs = np.array([-1.0, 1.0])
    other = problem.with_(options_of(problem.moe, signs), X=problem.X * signs)
    return Pair(problem, other, other)


def columns(problem, rng):
    """Their order, signs, scales and origins; options name the same columns as before."""
    factor, shift = np.array([-1e-6, 1e5]), np.array([-3.0, 1e6])
    options = options_of(problem.moe, factor, reverse=True)
    other = problem.with_(options, X=(problem.X * factor + shift)[:, ::-1])
    return Pair(problem, other, other, NEAR)


def tiny_features(problem, rng, factor=1e-200):
    """Squares of the features underflow."""
    other = problem.with_(X=factor * problem.X)
    return Pair(problem, other, other, (1e-5, 1e-6))


def huge_features(problem, rng):
    return tiny_features(problem, rng, 1e200)


def sparse_features(problem, rng):
    """Which are not centred: the fits are the same at the maximum."""
    options = {"init": "linear_tree", "tol": 1e-10, "max_iter": 2000}
    one = problem.with_(options, X=np.where(rng.uniform(size=(N, 2)) < 0.7, problem.X, 0.0))
    other = one.with_(X=sparse.csr_array(one.X))
    return Pair(one, other, other, (1e-3, 1e-3))


def sign_and_unit_of_the_target(problem, rng):
    factor, shift = -1e6, 3e7
    other = problem.with_(options_of(problem.moe, factor), y=factor * problem.y + shift)
    return Pair(problem, other, other, (1e-5, 1e-3), factor, shift)


def unit_of_a_positive_target(problem, rng):
    """A dispersion with a unit, as that of inverse Gaussians, has a prior in the same unit."""
    other = problem.with_(y=1e3 * problem.y)
    return Pair(problem, other, other, (1e-4, 1e-5), 1e3)


def order_of_outputs(problem, rng):
    other = problem.with_(y=problem.y[:, ::-1])
    return Pair(problem, other, other, (1e-5, 1e-6), order=slice(None, None, -1))


def names_of_classes(problem, rng):
    """And so their order."""
    names = np.array(["z", "m", "a"])[-1 - problem.y.max() :]
    other = problem.with_(options_of(problem.moe, -1.0), y=names[problem.y])
    return Pair(problem, other, other, (1e-5, 1e-5), order=slice(None, None, -1))


def class_weights(problem, rng, balanced=False):
    """They multiply the weights of rows in all parts of a fit."""
    weight, factors = rng.uniform(0.5, 3.0, size=N), np.array([0.3, 2.0, 1.1])
    class_weight = dict(enumerate(factors[: problem.y.max() + 1]))
    if balanced:
        factors, class_weight = weight.sum() / np.bincount(problem.y, weight), "balanced"
        factors /= len(factors)
    one = problem.with_({"class_weight": class_weight}, sample_weight=weight)
    other = problem.with_(sample_weight=weight * factors[problem.y])
    return Pair(one, other, problem, criteria=())  # whose weights are those that they are given


def balanced_classes(problem, rng):
    return class_weights(problem, rng, balanced=True)


def units_of_one_row(problem, rng):
    """They are no units."""
    one = problem.with_({"gate": "constant"})
    return Pair(one, one.with_(units=np.arange(N)[::-1]), one)


def units_of_one_expert(problem, rng):
    """Rows of one regime need no units."""
    options = {} if is_classifier(problem.moe) else {"dispersion_prior": 0.0}
    one = problem.with_({"n_experts": 1} | options)
    other = Problem(one.moe, one.X, one.y, {})
    return Pair(one, other, other, criteria=("aic",))  # units are what the others count


def options_of(moe, factor, reverse=False):
    """Options of a mixture whose features or target are multiplied, or whose columns exchanged."""
    given, options = moe.get_params(deep=False), {}
    for name in OF_COLUMNS if reverse else ():
        if given.get(name):
            options[name] = exchanged(given[name])
    if given.get("monotonic_cst"):
        turned = (np.sign(factor) * np.array(given["monotonic_cst"])).astype(int).tolist()
        options["monotonic_cst"] = turned[::-1] if reverse else turned
    return options


def exchanged(names):
    """Two columns in the place of each other, in nested lists and keys."""
    if isinstance(names, dict):
        return {1 - j: experts for j, experts in names.items()}
    return [exchanged(j) if isinstance(j, list) else 1 - j for j in names]


# --- which cases go with which changes ------------------------------------------------------------

PROBLEMS = {case: problem(case) for case in all_cases()}
ALL = list(PROBLEMS)
# Series, and random effects: units of rows in their weights, not the rows, are independent.
OF_OTHERS = [case for case in ALL if PROBLEMS[case].knows_others]
SERIES = [case for case in OF_OTHERS if case.startswith("series")]
# Ridge regressions depend on units, trees on the order of equally good splits, and random starts on
# signs. A number of experts is that of fits which are cases themselves.
WITH_ESTIMATORS = ("tree", "list of", "stack", "base", "priced", "known respons", "held-out")
WITH_ESTIMATORS += ("selected number", "balanced classes", "splines")
PARAMETRIC = [case for case in ALL if not any(word in case for word in WITH_ESTIMATORS)]
CLASSES = [case for case in ALL if is_classifier(PROBLEMS[case].moe)]
# A target that may be negative has no unit of its own.
SYMMETRIC = [
    case
    for case in PARAMETRIC
    if case not in CLASSES
    and not case.startswith("censored")
    and (PROBLEMS[case].y < 0).any()
    and not any(word in case for word in ("found", "missing"))
]
POSITIVE = [name for name, row in FAMILIES.items() if row.link == "log" and row.is_continuous]
PLAIN = [f"{name}-{task}" for name, task in KINDS_OF_FITS]
LINEAR = ["linear-regressor", "linear-classifier"]
SIGNS_DO_NOT_MATTER = [*PARAMETRIC, "base", "selected number"]
WITH_IMPOSSIBLE_ROW = [
    case
    for case in ALL
    if PROBLEMS[case].y.ndim == 1
    and not {"price", "groups", "known_experts"} & set(PROBLEMS[case].given)
    and case != "known responsibilities"
    and not case.startswith(("offset", "censored"))
]
CASES = {
    rows_and_signs: [case for case in ALL if case not in OF_OTHERS],
    copies_of_units: [c for c in OF_OTHERS if c in PARAMETRIC and c != "series, starts"],
    order_of_rows: SERIES,
    sign_of_a_feature: [case for case in OF_OTHERS if case in PARAMETRIC],
    columns: PARAMETRIC,
    tiny_features: LINEAR,
    huge_features: LINEAR,
    sparse_features: LINEAR,
    sign_and_unit_of_the_target: [*SYMMETRIC, "base"],
    unit_of_a_positive_target: [f"{name}-regressor" for name in POSITIVE],
    order_of_outputs: ["outputs", "joint outputs", "joint lognormal outputs", "missing outputs"],
    names_of_classes: CLASSES,
    class_weights: [case for case in CLASSES if case not in SERIES],
    balanced_classes: ["linear-classifier", "trees of classes", "three classes, stack"],
    units_of_one_row: PLAIN,
    units_of_one_expert: [case for case in ALL if case.startswith("units,")],
}


@pytest.mark.parametrize(
    ("change", "case"),
    [(change, case) for change, cases in CASES.items() for case in cases],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_fits_are_the_same(change, case, global_random_seed):
    pair = change(problem(case, global_random_seed), np.random.default_rng(global_random_seed))
    first, second = pair.one.fit, pair.other.fit
    rtol, atol = pair.tolerances
    n_outputs = 1 if pair.one.y.ndim == 1 else pair.one.y.shape[1]
    jacobian = n_outputs * np.log(abs(pair.factor))
    bound = first.lower_bound_ - jacobian
    assert_allclose(second.lower_bound_, bound, rtol=min(rtol, 1e-6), atol=min(atol, 1e-5))
    expected = statements(first, pair.one.X, **pair.one.known)
    found = statements(second, pair.rows.X, **pair.rows.known)
    width = expected.shape[1] - first.n_experts_
    expected[:, :width] = pair.factor * expected[:, :width][:, pair.order] + pair.shift
    # Shares that differ by less than a thousandth are equal: their experts are in any order.
    if np.isclose(first.weights_[1:], first.weights_[:-1], rtol=1e-3, atol=0.0).any():
        expected[:, width:].sort()
        found[:, width:].sort()
    assert_allclose(found, expected, rtol=rtol, atol=atol)
    if pair.one.units and pair.other.units and case not in OF_OTHERS:
        assert first.n_units_ == second.n_units_
    for name in pair.criteria:
        if hasattr(first, name) and "price" not in pair.one.given:
            one, other = criterion(name, first, pair.one), criterion(name, second, pair.other)
            n_rows = pair.one.given.get("sample_weight", np.ones(N)).sum()
            assert_allclose(other, one + 2.0 * jacobian * n_rows, rtol=10 * rtol, atol=N * atol)


def criterion(name, moe, problem):
    given = {name: values for name, values in problem.given.items() if name != "groups"}
    return getattr(moe, name)(problem.X, problem.y, **given)


@pytest.mark.parametrize("case", ALL)
def test_bounds_never_fall_probabilities_sum_to_one_and_shares_fall(case, global_random_seed):
    own = problem(case, global_random_seed)
    names = ("units", "time", "offset")
    given = {name: own.given[name] for name in names if name in own.given}
    for trace in (own.fit.lower_bounds_, *own.fit.start_traces_):
        assert (np.diff(trace) > -1e-9).all()
    assert (own.fit.predict_gate(own.X, **own.known) >= 0.0).all()
    resp = own.fit.responsibilities(own.X, own.y, **given)
    resp = getattr(resp, "proba", resp)
    assert_allclose(resp.sum(axis=1), 1.0)
    if case in cases_of(global_random_seed)[0]:  # whose experts are numbered by their shares
        share = own.fit.weights_
        assert (share <= np.minimum.accumulate(share) / (1.0 - 1e-3)).all()
    has_units = own.units and case not in SERIES
    n_rows = len(np.unique(own.given["units"])) if has_units else N
    assert len(resp) == len(own.fit.score_samples(own.X, own.y, **given)) == n_rows


SEPARATE = {
    "regressor": (MixtureOfExpertsRegressor(2), two_regimes),
    "classifier": (MixtureOfExpertsClassifier(2, n_init=30), flipping_classes),
}


@pytest.mark.parametrize("case", SEPARATE)
def test_another_seed_finds_the_same_maximum(case, global_random_seed):
    moe, data = SEPARATE[case]
    given = {"alpha": 0.1, "gate_alpha": 1.0}
    moes = [clone(moe).set_params(random_state=seed, **given) for seed in range(2)]
    bounds = [moe.fit(*data(300, seed=global_random_seed)).lower_bound_ for moe in moes]
    assert_allclose(bounds, bounds[0], rtol=1e-6)
