"""What an estimator can do with its parameters, and the names of what keeps it from it."""

import numpy as np
import pytest
from cases import UNITS, X, Y, classifier, regressor, target_of
from numpy.testing import assert_array_equal
from regimes import quiet
from scipy import sparse
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from skmoe._data.units import UnitLabels
from skmoe._estimators import capabilities as able
from skmoe._estimators.likelihood_ratio import LikelihoodRatioTest
from skmoe._estimators.likelihood_ratio_checks import validate_test_data, validate_tested_estimator
from skmoe._estimators.training_data import GivenRows
from skmoe._estimators.unit_checks import (
    check_gate_proba,
    check_init_of_units,
    check_units_of_block,
    validate_units,
    validate_units_of_fit,
)
from skmoe.experts import LinearExperts
from skmoe.families import Uniform
from skmoe.gates import ConstantGate, SoftmaxGate

TRANSFORMED = SoftmaxGate(transformer=StandardScaler())

# --- rows in parts and streams ----------------------------------------------------------------

# Options, and whether rows may come in blocks, and in batches of a stream.
PARTS = [
    ({}, True, True),
    ({"family": "poisson"}, True, True),
    ({"family": Uniform()}, False, None),
    ({"gate": "constant"}, True, True),
    ({"gate": TRANSFORMED}, False, False),
    ({"base": Ridge()}, False, False),
    ({"expert": "tree"}, False, False),
    ({"expert": Ridge()}, False, False),
    ({"expert": LinearExperts()}, True, True),
    ({"init": np.full((300, 3), 1 / 3)}, False, None),
    ({"combine": "average"}, True, False),
    ({"n_experts": "bic"}, None, False),
    ({"n_experts": 2, "expert": ["tree", Ridge()], "specialize": False}, False, False),
]


@pytest.mark.parametrize(("options", "in_blocks", "in_batches"), PARTS)
def test_rows_may_come_in_parts_or_not(options, in_blocks, in_batches):
    moe = regressor(**options)
    if in_blocks is not None:
        params = moe._validate_parameters()
        assert able.supports_blocks(params) == in_blocks
        if in_blocks:
            able.check_blocks_supported(params, GivenRows(X, None))
        else:
            with pytest.raises(ValueError, match=r"blocks of rows need|from blocks of rows needs"):
                able.check_blocks_supported(params, GivenRows(X, None))
    if in_batches is not None:
        assert hasattr(moe, "partial_fit") == in_batches


@pytest.mark.parametrize("name", ["y", "sample_weight", "offset", "units"])
def test_blocks_hold_all_that_belongs_to_their_rows(name):
    given = GivenRows(X, None)._replace(**{name: Y})
    with pytest.raises(ValueError, match=rf"^{name} must be None where X is a RowBlocks"):
        able.check_blocks_supported(regressor()._validate_parameters(), given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expert": "tree"}, "'tree'. Experts that are estimators need all rows"),
        ({"combine": "average"}, "got combine='average'"),
        ({"combine": "best_converged"}, "got combine='best_converged'"),
        ({"base": Ridge()}, r"got base=Ridge\(\)"),
        ({"gate": TRANSFORMED}, "got gate.transformer=StandardScaler"),
        ({"specialize": False}, "got specialize=False"),
        ({"n_experts": "auto"}, "got n_experts='auto'"),
    ],
)
def test_the_reason_why_there_are_no_streams_is_named(options, message):
    with pytest.raises(AttributeError) as raised:
        able.supports_partial_fit(regressor(**options), "regressor")
    assert raised.match(message)


def test_classes_of_a_stream_have_known_weights():
    for weights, known in ((None, True), ({0: 1.0, 1: 2.0}, True), ("balanced", False)):
        assert hasattr(classifier(class_weight=weights), "partial_fit") == known


def test_ranges_of_a_family_are_given_if_rows_come_in_parts():
    for family, known in (
        (Uniform(), False),
        (Uniform(low=(0.0,), high=(1.0,)), True),
        ("normal", True),
    ):
        params = regressor(family=family)._validate_parameters()
        if known:
            able.check_option_for_parts("it", params.family)
            able.check_partial_fit_supported(params)
        else:
            for check in (
                lambda p: able.check_option_for_parts("it", p.family),
                able.check_partial_fit_supported,
            ):
                with pytest.raises(ValueError, match="does not depend on all values of y"):
                    check(params)
    able.check_option_for_parts("it", None)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, np.inf), (1, 1.0), (0.5, 0.5), (1000.0, 1000.0)]
)
def test_a_half_life_is_a_positive_number(value, expected):
    assert able.check_half_life(value) == expected


@pytest.mark.parametrize("value", [0, 0.0, -1.0, "long", [1.0], np.nan])
def test_other_half_lives_are_refused(value):
    with pytest.raises(ValueError, match="half_life must be None or a positive number"):
        able.check_half_life(value)


def test_classes_of_a_stream_stay_those_of_its_first_batch():
    assert_array_equal(able.check_first_classes(["b", "a", "b", "c"]), ["a", "b", "c"])
    for few in (None, ["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="class"):
            able.check_first_classes(few)
    fitted = np.array(["a", "b"])
    for same in (None, ["a", "b"], ["b", "a", "a"], fitted):
        assert able.check_known_classes(same, fitted) is fitted
    for other in (["a"], ["a", "c"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="classes must be those of the first call"):
            able.check_known_classes(other, fitted)


def test_sizes_of_a_stream_are_bounded_and_stay():
    able.check_stream_size("gate_features", 10, 10)
    with pytest.raises(ValueError, match="matrices of 11 columns, more than 10"):
        able.check_stream_size("gate_features", 11, 10)
    able.check_same_n_experts(2, 2)
    for other in (1, 3):
        with pytest.raises(ValueError, match=f"must stay 2 in later calls .* got {other}"):
            able.check_same_n_experts(other, 2)
    able.check_integer_n_experts("it", 3)
    with pytest.raises(ValueError, match="it needs an integer; got n_experts='bic'"):
        able.check_integer_n_experts("it", "bic")


# --- the test of the number of experts --------------------------------------------------------


@pytest.mark.parametrize("given", [None, 1, 3])
@pytest.mark.parametrize("make", [regressor, classifier])
def test_the_tested_number_is_that_of_the_estimator_or_of_the_call(make, given):
    moe = make(n_experts=2)
    tested = validate_tested_estimator(moe, given)
    assert tested.n_experts == (given or 2)
    assert moe.n_experts == 2
    assert type(tested) is type(moe)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_experts": "auto"}, "needs an integer n_experts"),
        ({"n_experts": 0}, "n_experts must be an integer"),
        ({"expert": ["linear", "linear"]}, "expert=.*entry for each"),
        ({"family": ("normal", "student_t")}, "family=.*entry for each"),
        ({"combine": "average"}, "combine='average'"),
        ({"base": Ridge()}, r"base=Ridge\(\)"),
        ({"top_k": 1}, "top_k=1"),
        ({"init": np.full((300, 2), 0.5)}, "init="),
        ({"expert": "tree"}, "experts with a likelihood"),
        ({"expert": Ridge()}, "experts with a likelihood"),
    ],
)
def test_what_cannot_be_tested_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        validate_tested_estimator(regressor(**{"n_experts": 2} | options), None)


def test_weighted_classes_cannot_be_tested():
    with pytest.raises(ValueError, match="class_weight='balanced'"):
        validate_tested_estimator(classifier(class_weight="balanced"), None)


@pytest.mark.parametrize("container", [np.asarray, list, sparse.coo_array, sparse.csr_array])
def test_rows_of_a_test_are_repeated_by_their_weights(container):
    tested = validate_tested_estimator(
        regressor(n_experts=1, family="poisson", gate="constant"), None
    )
    weight = np.tile([1.0, 0.0, 2.0], 100)
    index = np.repeat(np.arange(300), weight.astype(int))
    labels = np.array([f"unit {u}" for u in UNITS])
    y, offset = target_of("poisson"), 0.1 * X[:, 1]
    given = GivenRows(container(X), y, weight, offset=offset, units=labels)
    data = validate_test_data(tested, given)
    rows = data.X.toarray() if sparse.issparse(data.X) else data.X
    assert_array_equal(rows, X[index])
    assert_array_equal(data.y, y[index])
    assert_array_equal(data.weight, np.ones(len(index)))
    assert_array_equal(data.extras["offset"], offset[index])
    assert_array_equal(data.extras["units"], np.unique(labels, return_inverse=True)[1][index])
    plain = validate_test_data(tested, GivenRows(container(X), y))
    assert len(plain.y) == 300
    assert plain.extras == {}
    with pytest.raises(ValueError, match=r"row 2 has weight 1\.5"):
        validate_test_data(tested, GivenRows(X, y, np.where(np.arange(300) == 2, 1.5, 1.0)))


@pytest.mark.parametrize("n_init", [1, 3, 6, 12])
@pytest.mark.parametrize("init", ["auto", "kmeans", "random"])
def test_starts_of_a_test_are_named_once(init, n_init):
    test = LikelihoodRatioTest(regressor(init=init), 2, 300)
    names = test._named_starts(3, n_init)
    assert len(names) == n_init
    others = [name for name in names if name != "random"]
    assert len(set(others)) == len(others)
    assert (names[0] == "random") == (init == "random")
    if init == "kmeans":
        assert names == ["kmeans"] + ["random"] * (n_init - 1)
    if init == "auto" and n_init == 12:
        assert set(others) == {"linear_tree", "kmeans", "tree"}


# --- units ------------------------------------------------------------------------------------


def params_of(**options):
    return regressor(**{"n_experts": 2} | options)._validate_parameters()


def test_units_of_a_fit_are_several_with_weight():
    units, weight = np.array(["c", "a", "b", "a"]), np.ones(4)
    found = validate_units_of_fit(params_of(), units, weight)
    assert_array_equal(found.labels, ["a", "b", "c"])
    assert_array_equal(found.codes, [2, 0, 1, 0])
    assert validate_units_of_fit(params_of(), None, weight) is None
    with pytest.raises(ValueError, match="gate_aggregate='mean' reduces"):
        validate_units_of_fit(params_of(gate_aggregate="mean"), None, weight)
    assert validate_units_of_fit(params_of(gate_aggregate="mean"), units, weight)
    two = weight * (units != "c")
    assert validate_units_of_fit(params_of(), units, two)
    with pytest.raises(ValueError, match="got one, 'a'"):
        validate_units_of_fit(params_of(), units, weight * (units == "a"))
    with pytest.raises(ValueError, match="units with rows of positive weight"):
        validate_units_of_fit(params_of(n_experts=3), units, two)


def test_units_of_a_block_are_together_with_constant_gate_features():
    columns = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]])
    assert check_units_of_block(params_of(gate_features=[0]), ["b", "b", "a"], columns, None)
    assert check_units_of_block(params_of(), None, columns, None) is None
    for relaxed in ({"gate_aggregate": "mean"}, {"gate": "constant"}, {"gate": ConstantGate()}):
        assert check_units_of_block(params_of(**relaxed), ["b", "b", "a"], columns, None)
    with pytest.raises(ValueError, match="'x1' varies in unit 'b'"):
        check_units_of_block(params_of(), ["b", "b", "a"], columns, None)
    with pytest.raises(ValueError, match="those of unit 'b' are apart"):
        check_units_of_block(params_of(gate_features=[0]), ["b", "a", "b"], columns, None)
    with pytest.raises(ValueError, match="gate_aggregate='first' reduces"):
        check_units_of_block(params_of(gate_aggregate="first"), None, columns, None)
    wide = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]])
    with pytest.raises(ValueError, match="'x2' varies in unit 'a'"):
        check_units_of_block(params_of(), ["a", "a"], wide, None)
    empty = check_units_of_block(params_of(), np.zeros(0), columns[:0], None)
    assert len(empty.labels) == 0


def test_initial_responsibilities_are_those_of_units():
    units = UnitLabels(np.array(["a", "b"]), np.array([1, 0, 1, 0]))
    init = np.array([[0.2, 0.8], [0.5, 0.5], [0.2, 0.8], [0.5, 0.5]])
    check_init_of_units("auto", units)
    check_init_of_units(init, units)
    check_init_of_units(init + 1e-12 * np.arange(4)[:, None], units)
    for row, first in ((2, "b"), (3, "a")):
        other = init.copy()
        other[row] = [0.9, 0.1]
        with pytest.raises(ValueError, match=rf"row {row} differs .* of unit '{first}'"):
            check_init_of_units(other, units)
    other = init.copy()
    other[2, 1] += 0.1
    with pytest.raises(ValueError, match="row 2 differs"):
        check_init_of_units(other, units)


def test_given_probabilities_of_experts_sum_to_one():
    proba = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    assert_array_equal(check_gate_proba(proba, 3, 2), proba)
    assert_array_equal(check_gate_proba(proba.tolist(), 3, 2), proba)
    slightly = proba * (1.0 + 1e-9)
    np.testing.assert_allclose(check_gate_proba(slightly, 3, 2).sum(axis=1), 1.0, rtol=1e-14)
    for shape in ((2, 2), (3, 3)):
        with pytest.raises(ValueError, match="gate_proba must have shape"):
            check_gate_proba(proba, *shape)
    for bad in ([0.2, 0.7], [1.2, -0.2], [np.nan, 1.0], [np.inf, 0.0], [0.6, 0.5]):
        other = proba.copy()
        other[1] = bad
        with pytest.raises(ValueError, match="row 1 holds"):
            check_gate_proba(other, 3, 2)


def test_labels_of_units_are_numbered_in_order():
    found = validate_units([3, 1, 3, 2], 4)
    assert_array_equal(found.labels, [1, 2, 3])
    assert_array_equal(found.codes, [2, 0, 2, 1])
    for bad in ([1, 2, 3], [[1, 2, 3, 4]], [1.0, np.nan, 2.0, 2.0], ["a", None, "b", "b"]):
        with pytest.raises(ValueError, match="units"):
            validate_units(bad, 4)


# --- warm starts of other shapes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"n_experts": 3}, "parameters of shapes"),
        ({}, {"gate": "constant"}, "whose gate had"),
        ({}, {"family": "student_t"}, "whose experts had"),
        ({}, {"expert": "tree"}, "whose experts had"),
        ({"expert": "tree"}, {"expert": "linear"}, "whose experts had"),
        ({"expert": "tree"}, {"n_experts": 3}, "whose gate had"),
        ({}, {"gate_features": [0]}, "whose gate had"),
        ({}, {"expert_features": [0]}, "whose experts had"),
    ],
)
def test_other_models_do_not_continue_a_fit(before, after, message):
    options = {"n_experts": 2, "n_init": 1, "max_iter": 2, "warm_start": True}
    moe = quiet(regressor(**options | before), X, Y)
    with pytest.raises(ValueError, match=message):
        quiet(moe.set_params(**after), X, Y)


def test_other_features_and_estimators_continue_a_fit_or_not():
    options = {"n_experts": 2, "n_init": 1, "max_iter": 2, "warm_start": True}
    moe = quiet(regressor(**options), X, Y)
    with pytest.raises(ValueError, match="a fit with 2 features; X has 1"):
        quiet(moe, X[:, :1], Y)
    trees = quiet(regressor(expert="tree", **options), X, Y)
    for expert in (Ridge(), LinearRegression()):
        assert quiet(trees.set_params(expert=expert), X, Y).n_iter_ >= 1
    labels = quiet(classifier(expert="tree", **options), X, (Y > 0).astype(int))
    assert quiet(labels.set_params(expert=LogisticRegression()), X, (Y > 0).astype(int))
    with pytest.raises(ValueError, match="continues a fit with classes"):
        quiet(labels, X, np.where(Y > 0, "a", "b"))
