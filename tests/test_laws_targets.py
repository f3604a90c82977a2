"""Training data and their targets, in the order and the units in which a fit works on them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import LabelEncoder
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.class_weight import compute_class_weight

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.checks import class_weights
from skmoe._data.scaling import Standardization
from skmoe._estimators.init_rows import _init_sample_size
from skmoe._estimators.tasks import (
    Classification,
    Regression,
    TargetData,
    _mean_at_zero_offset,
    _relative_target,
    validate_labels,
    validate_outputs,
)
from skmoe._estimators.training_data import (
    GivenRows,
    distinct_rows,
    drop_zero_weight,
    validate_training_data,
    with_classes,
)
from skmoe._estimators.unit_rows import sort_by_unit

N = 60
RNG = np.random.default_rng(0)
X = RNG.integers(3, size=(N, 2)).astype(float)
COUNTS = RNG.integers(0, 4, size=N)
WEIGHT = COUNTS.astype(float)
Y = RNG.integers(3, size=N).astype(float)
GROUPS = RNG.integers(4, size=N)
OFFSET = RNG.integers(2, size=N).astype(float)
UNITS = RNG.permutation(np.repeat(np.arange(N // 4), 4))
RESP = np.eye(2)[UNITS % 2]


def training_data(given, **options):
    make = MixtureOfExpertsClassifier if given.y is not None and given.y.dtype.kind == "U" else (
        MixtureOfExpertsRegressor
    )  # fmt: skip
    moe = make(2, **options)
    return moe, moe._validate_parameters(), validate_training_data(
        moe, moe._validate_parameters(), given
    )  # fmt: skip


# --- rows -----------------------------------------------------------------------------------------


def everything(**options):
    """Data with all that a row can have."""
    tree = DecisionTreeRegressor()
    given = GivenRows(X, Y, WEIGHT, GROUPS, {"cost": np.arange(N)}, OFFSET, UNITS)
    return training_data(
        given, expert=tree, family="poisson", init=RESP, gate="constant", **options
    )


def fields_of(data):
    return {
        "X": data.X,
        "y": data.y,
        "weight": data.weight,
        "init": data.init.T,
        "raw_X": data.raw_X,
        "groups": data.groups,
        "units": data.units,
        "offset": data.offset.T,
        "cost": data.metadata["cost"],
    }


def test_rows_keep_all_that_they_have():
    _, _, data = everything()
    index = np.array([7, 0, 0, 59])
    for name, values in fields_of(data.take(index)).items():
        assert_array_equal(values, fields_of(data)[name][index], err_msg=name)
    for name, values in fields_of(drop_zero_weight(data)).items():
        assert_array_equal(values, fields_of(data)[name][COUNTS > 0], err_msg=name)
    heavy = data._replace(weight=np.ones(N))
    assert drop_zero_weight(heavy) is heavy
    assert_array_equal(data.init.T, RESP)
    assert_array_equal(data.units[:, None] == data.units, UNITS[:, None] == UNITS)
    assert data.attributes["n_units_"] == len(np.unique(UNITS[COUNTS > 0]))


@pytest.mark.parametrize("weight", [None, np.ones(N), WEIGHT, np.full(N, 2.0)])
@pytest.mark.parametrize("units", [None, np.arange(N), np.arange(N)[::-1], UNITS])
def test_units_of_one_row_of_weight_one_are_none(units, weight):
    _, _, data = training_data(GivenRows(X, Y, weight, units=units), gate="constant")
    ones = weight is None or (weight == 1.0).all()
    alone = units is None or (len(np.unique(units)) == N and ones)
    assert (data.units is None) == alone
    assert ("n_units_" in data.attributes) == (units is not None)


@pytest.mark.parametrize("given", ["plain", "groups", "offset", "outputs", "classes"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_rows_are_the_same_if_all_is_the_same_that_a_fit_uses(given, container):
    options, y, extra = {}, Y, {}
    keys = [X, Y]
    if given == "groups":
        options["base"], extra["groups"] = DecisionTreeRegressor(), GROUPS
        keys.append(GROUPS)
    elif given == "offset":
        options["family"], extra["offset"] = "poisson", OFFSET
        keys.append(OFFSET)
    elif given == "outputs":
        y = np.column_stack([Y, Y[::-1]])
        keys.append(Y[::-1])
    elif given == "classes":
        y = np.array(["a", "b", "c"])[Y.astype(int)]
    _, params, data = training_data(GivenRows(container(X), y, WEIGHT, **extra), **options)
    index, weight = distinct_rows(params, drop_zero_weight(data))
    index = np.flatnonzero(COUNTS)[index]
    table = np.column_stack(keys)
    total = pd.Series(WEIGHT).groupby([*table.T]).sum()
    total = total[total > 0.0]
    assert len(index) == len(total)
    assert_allclose(weight, total.loc[[tuple(row) for row in table[index]]])


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("aggregate", ["mean", "first"])
def test_the_first_row_of_a_unit_stays_its_first(aggregate, merge):
    moe = MixtureOfExpertsRegressor(2, gate_aggregate=aggregate)
    params = moe._validate_parameters()
    given = GivenRows(X, Y, WEIGHT + 1.0, units=UNITS)
    data = validate_training_data(moe, params, given)
    index, weight, codes = sort_by_unit(params, data, merge=merge)
    assert_array_equal(codes, np.sort(codes))
    assert_allclose(weight.sum(), (WEIGHT + 1.0).sum())
    assert len(set(zip(codes.tolist(), UNITS[index].tolist(), strict=True))) == N // 4
    if aggregate == "first":
        for code in np.unique(codes):
            first = index[np.flatnonzero(codes == code)[0]]
            of_user = np.flatnonzero(UNITS[first] == UNITS)[0]
            assert_array_equal([*X[first], Y[first]], [*X[of_user], Y[of_user]])


def test_shared_columns_are_those_of_the_design_of_the_experts():
    for features, shared in ((None, [1]), ([1, 0], [0]), ([1], [1]), (None, [1, 0])):
        moe = MixtureOfExpertsRegressor(2, expert_features=features, shared_features=shared)
        data = validate_training_data(moe, moe._validate_parameters(), GivenRows(X, Y))
        own = [0, 1] if features is None else features
        assert_array_equal(np.sort(np.array(own)[data.shared_columns]), np.sort(shared))
    moe.set_params(expert_features=[1], shared_features=[0])
    with pytest.raises(ValueError, match="column 0 is not"):
        validate_training_data(moe, moe._validate_parameters(), GivenRows(X, Y))


# --- targets --------------------------------------------------------------------------------------


def target_data(y, **given):
    fields = dict.fromkeys(TargetData._fields) | {"y": y, "weight": WEIGHT} | given
    return TargetData(**fields)


def standardised(values):
    repeated = np.repeat(values, COUNTS, axis=0)
    return (values - repeated.mean(axis=0)) / repeated.std(axis=0)


def family_of(name):
    return MixtureOfExpertsRegressor(1, family=name)._validate_parameters().density


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_are_standardised_by_repeated_rows_or_by_a_scaling_that_is_given(n_outputs):
    task = Regression(False, 10.0)
    y = np.column_stack([Y, 5.0 - X[:, 0]])[:, :n_outputs]
    given = y[:, 0] if n_outputs == 1 else y
    normal = MixtureOfExpertsRegressor(1)._validate_parameters().family
    target = task.make_target(target_data(given), normal)
    assert_allclose(target.y, standardised(y).T)
    assert_allclose(target.init_targets, standardised(y).T)
    scaling = Standardization(np.arange(1.0, n_outputs + 1), np.full(n_outputs, 4.0))
    for name in ("block_scaling", "previous_scaling"):
        target = task.make_target(target_data(given, **{name: scaling}), normal)
        assert_allclose(target.y, ((y - scaling.center) / scaling.scale).T)
        assert target.scaling is scaling
    both = target_data(given, previous_scaling=scaling, block_scaling=scaling._replace(scale=9.0))
    assert task.make_target(both, normal).scaling is scaling
    constant = task.make_target(target_data(np.full(N, 3.0)), normal)
    assert_array_equal(constant.y, np.zeros((1, N)))


@pytest.mark.parametrize("with_offset", [False, True])
def test_targets_of_a_log_link_keep_their_units(with_offset):
    task, family = Regression(False, 10.0), family_of("poisson")
    data = target_data(Y, offset=OFFSET if with_offset else None)
    target = task.make_target(data, family)
    assert_array_equal(target.y, Y[None])
    assert_array_equal(target.scaling, Standardization(np.zeros(1), np.ones(1)))
    init = np.repeat(target.init_targets[0], COUNTS)
    assert_allclose([init.mean(), init.std()], [0.0, 1.0], atol=1e-12)
    if with_offset:
        relative = _relative_target(Y[None], OFFSET, WEIGHT)[0]
        rate = np.repeat(Y, COUNTS).sum() / np.repeat(np.exp(OFFSET), COUNTS).sum()
        # Half a count is added to both.
        assert_allclose(relative, np.log((Y + 0.5) / (rate * np.exp(OFFSET) + 0.5)))
        assert_allclose(_mean_at_zero_offset(Y[None], OFFSET, WEIGHT), rate)
        half = _relative_target(Y[None] / 4.0, OFFSET, WEIGHT)
        assert_allclose(half[0], relative)  # of the smallest positive value
    assert_allclose(_mean_at_zero_offset(Y[None], 0.0, WEIGHT), np.repeat(Y, COUNTS).mean())


@pytest.mark.parametrize("keeps_all", [False, True])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 2.0, "b": 0.5, "c": 1.0}])
def test_codes_of_classes_are_those_of_present_labels(class_weight, keeps_all):
    classes = np.array(["a", "b", "c"])
    codes = np.where(Y == 1.0, 0, Y.astype(int))  # no row of "b"
    given = {"classes": classes, "keeps_all_classes": keeps_all}
    target = Classification(class_weight).make_target(target_data(codes, **given), None)
    present = classes if keeps_all else np.array(["a", "c"])
    assert_array_equal(target.attributes["classes_"], present)
    assert_array_equal(present[target.y], classes[codes])
    assert_array_equal(target.init_targets, [classes[codes] == label for label in present])
    repeated = np.repeat(classes[codes], COUNTS)
    factors = np.ones(len(present))
    if class_weight == "balanced" and not keeps_all:
        factors = compute_class_weight("balanced", classes=present, y=repeated)
    elif class_weight == "balanced":
        return
    elif class_weight is not None:
        factors = np.array([class_weight[label] for label in present])
    assert_allclose(target.weight, WEIGHT * factors[target.y])
    other = target_data(codes, previous_classes=classes[:2], **given)
    with pytest.raises(ValueError, match="continues a fit with classes"):
        Classification(None).make_target(other, None)


@pytest.mark.parametrize("factors", [[0.5, 0.25], [0.0, 0.5], [3.0, 0.0], [1e-9, 1e9], [1, 1]])
def test_weights_of_classes_are_any_that_are_not_all_zero(factors):
    classes, codes = np.array(["a", "b"]), UNITS % 2
    given = dict(zip(classes, factors, strict=True))
    assert_allclose(class_weights(given, classes, codes, WEIGHT), WEIGHT * np.take(factors, codes))
    for bad in (-1e-9, np.nan, np.inf, "x", None):
        for label in classes:
            with pytest.raises(ValueError, match="class_weight must give finite non-negative"):
                class_weights(given | {label: bad}, classes, codes, WEIGHT)
    for bad in (dict.fromkeys(classes, 0.0), {"c": 1.0}):
        with pytest.raises(ValueError, match="class_weight must give finite non-negative"):
            class_weights(bad, classes, codes, WEIGHT)
    # Classes without rows have no part in the balance.
    balanced = class_weights("balanced", np.array(["a", "b", "c"]), codes, WEIGHT)
    totals = [balanced[codes == code].sum() for code in range(2)]
    assert_allclose(totals, WEIGHT.sum() / 3)


def test_targets_of_new_rows_have_the_outputs_and_classes_of_the_fit():
    for y in (Y, Y[:, None], Y.tolist()):
        assert_array_equal(validate_outputs(y, 1), Y[None])
    assert_array_equal(validate_outputs(np.column_stack([Y, -Y]), 2), [Y, -Y])
    for y, n_outputs in ((Y, 2), (np.column_stack([Y, Y]), 1)):
        with pytest.raises(ValueError, match=rf"y must have the {n_outputs} output"):
            validate_outputs(y, n_outputs)
    labels = np.array(["a", "b", "c"])[Y.astype(int)]
    encoder = LabelEncoder().fit(labels)
    for y in (labels, labels[:, None].ravel(), labels.tolist()):
        assert_array_equal(validate_labels(y, encoder.classes_), encoder.transform(labels))


def test_a_list_of_classes_encodes_the_labels_anew():
    labels = np.array(["b", "d"])[UNITS % 2]
    moe = MixtureOfExpertsClassifier(2)
    data = validate_training_data(moe, moe._validate_parameters(), GivenRows(X, labels))
    more = with_classes(data, np.array(["a", "b", "c", "d"]))
    assert_array_equal(more.attributes["classes_"][more.y], labels)
    assert more.keeps_all_classes
    assert_array_equal(data.attributes["classes_"], ["b", "d"])


def test_starts_on_a_sample_see_more_rows_for_more_coefficients():
    def size(n_columns, n_outputs, n_experts):
        design = np.zeros((5, n_columns))
        rows = type("Rows", (), {"gate_design": design, "expert_design": design})
        return _init_sample_size(rows, np.zeros((n_outputs, 5)), n_experts)

    sizes = [size(k, 1, 4) for k in (2, 60, 100, 10**4)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3]
    # Twice the experts have twice the rows, and an output has as many columns as the gate.
    assert size(60, 1, 8) == 2 * size(60, 1, 4)
    assert size(40, 2, 4) == size(60, 1, 4)


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", "gamma"])
def test_predictors_of_starts_without_features_are_logs_of_weighted_means(family):
    moe = MixtureOfExpertsRegressor(1, family=family)
    moe.fit(X, Y + 1.0, sample_weight=COUNTS)
    ((start,),) = moe._fitted.model.experts.initial_predictor
    assert_allclose(start, np.log(np.average(Y + 1.0, weights=WEIGHT)), rtol=1e-12)
