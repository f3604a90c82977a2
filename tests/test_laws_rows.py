"""Rows that fits use, and tables that they refuse."""

import json
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import duplicates
from skmoe._data.block_checks import Block, BlockChecker
from skmoe._data.checks import as_csr, check_block_weights
from skmoe._data.encoding import _median
from skmoe._data.extra_features import check_transformed
from skmoe._data.feature_range import fit_feature_range
from skmoe._data.first_pass import _label_weights, first_pass
from skmoe._data.moments import compute_moments, feature_scale, merge_moments, output_scale
from skmoe._data.scaling import CONSTANT_RTOL, fit_standardization
from skmoe._data.sklearn_adapter import _seeded_clone, check_log_density
from skmoe._data.units import make_units, reduce_to_units
from skmoe._estimators.row_buffer import N_BUFFERED_ROWS, RowBuffer
from skmoe.blocks import RowBlocks
from skmoe.experts import EXPERTS
from skmoe.experts._estimator_params import MIN_FIT_ROWS, MIN_RESPONSIBILITY, rows_to_fit
from skmoe.gates import SoftmaxGate


def test_an_expert_is_fitted_to_the_rows_it_is_responsible_for():
    resp = np.ones((2, 50))
    resp[1, 3 * MIN_FIT_ROWS :] = 0.5 * MIN_RESPONSIBILITY
    rows = np.arange(1, 50, 2)
    assert_array_equal(rows_to_fit(rows, resp, 1), rows[rows < 3 * MIN_FIT_ROWS])
    assert_array_equal(rows_to_fit(rows, resp, 0), rows)
    # The share of an expert matters, and not the weight of the row.
    assert_array_equal(rows_to_fit(rows, 1e-9 * resp, 1), rows[rows < 3 * MIN_FIT_ROWS])
    for n_rows, kept in (
        (MIN_FIT_ROWS, np.arange(MIN_FIT_ROWS)),
        (MIN_FIT_ROWS - 1, np.arange(50)),
    ):
        resp = np.where(np.arange(50) < n_rows, 1.0, 1e-12) * np.array([[1e-3], [1.0]])
        resp[0] = 1.0
        assert_array_equal(rows_to_fit(np.arange(50), resp, 1), kept)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_transformed_tables_are_finite_and_keep_the_rows(container):
    table = np.arange(12.0).reshape(4, 3)
    check_transformed(None, container(table), 4)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="must make finite numbers"):
            check_transformed(None, container(np.where(table == 5.0, bad, table)), 4)
    with pytest.raises(ValueError, match=r"must keep the 5 rows .* made shape \(4, 3\)"):
        check_transformed(None, container(table), 5)
    if container is np.asarray:
        with pytest.raises(ValueError, match="must make finite numbers"):
            check_transformed(None, table.astype(str), 4)
        with pytest.raises(ValueError, match=r"made shape \(4,\)"):
            check_transformed(None, table[:, 0], 4)


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_families_do_not_take_missing_values(task):
    kind = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    X = np.arange(40.0).reshape(20, 2)
    X[3, 1] = np.nan
    for name, row in EXPERTS.items():
        if task in row:
            for expert in (name, row[task]()):
                with pytest.raises(ValueError, match="contains NaN"):
                    kind(2, expert=expert).fit(X, np.arange(20) % 2)


def test_missing_values_are_filled_with_the_weighted_lower_median():
    rng = np.random.default_rng(0)
    column, weight = rng.normal(size=21), rng.integers(1, 4, size=21)
    column[[2, 5]] = np.nan
    repeated = np.repeat(column, weight)
    expected = np.nanquantile(repeated, 0.5, method="inverted_cdf")
    assert _median(column, weight.astype(float)) == expected
    assert _median(np.full(3, np.nan), np.ones(3)) == 0.0


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_ranges_have_no_negative_zeros(container):
    X = container(np.array([[-0.0, -1.0], [2.0, -0.0], [-0.0, -0.0]]))
    assert not np.signbit(fit_feature_range(X)[0, 0])
    assert not np.signbit(fit_feature_range(X)[1, 1])


def test_entries_of_a_sparse_matrix_that_are_stored_twice_add_up():
    X = sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    twice = sparse.csr_array((X.data, [1, 1, 0], [0, 2, 3]), shape=(2, 2))
    found = as_csr(twice)
    assert found.has_canonical_format
    assert_array_equal(found.toarray(), [[0.0, 3.0], [4.0, 0.0]])
    assert twice.nnz == 3  # what is given stays as it is
    for index in (np.int32, np.int64):
        own = sparse.csr_array((twice.data, twice.indices.astype(index), twice.indptr))
        assert as_csr(own).indices.dtype == as_csr(own).indptr.dtype == np.int32
    assert isinstance(as_csr(X.toarray()), np.ndarray)


def test_a_number_is_the_weight_of_every_row():
    assert_array_equal(check_block_weights(2.5, 4), np.full(4, 2.5))
    assert_array_equal(check_block_weights(None, 4), np.ones(4))


@pytest.mark.parametrize("averaged", [(True, False, True), (False, False, False), (True,) * 3])
def test_units_have_the_same_row_in_sparse_and_dense_designs(averaged):
    rng, averaged = np.random.default_rng(0), np.array(averaged)
    design, weight = rng.normal(size=(9, 3)), rng.uniform(0.5, 2.0, size=9)
    design[rng.uniform(size=design.shape) < 0.4] = 0.0
    units = make_units(np.repeat([0, 1, 2], [2, 4, 3]))
    dense = reduce_to_units(design, units, weight, averaged)
    of_sparse = reduce_to_units(sparse.csr_array(design), units, weight, averaged)
    assert_allclose(of_sparse.toarray(), dense)
    for u, start in enumerate(units.starts):
        own = units.codes == u
        means = np.average(design[own], axis=0, weights=weight[own])
        assert_allclose(dense[u], np.where(averaged, means, design[start]))


def test_labels_have_the_total_weight_of_their_rows():
    block = Block(np.zeros((5, 1)), np.array(list("abbca")), np.array([1.0, 2.0, 0.5, 4.0, 8.0]))
    assert _label_weights(block) == {"a": 9.0, "b": 2.5, "c": 4.0}


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, ExtraTreeRegressor, Ridge])
def test_copies_of_estimators_are_not_fitted_and_have_a_seed_if_they_have_none(kind):
    options = {"solver": "sag"} if kind is Ridge else {}
    fitted = kind(**options).fit(np.arange(6.0)[:, None], np.arange(6.0))
    copy = _seeded_clone(fitted, 7)
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert copy.random_state == 7
    assert fitted.random_state is None
    assert fitted.predict([[1.0]]).shape == (1,)
    assert _seeded_clone(fitted.set_params(random_state=3), 7).random_state == 3


@pytest.mark.parametrize(
    ("logs", "is_refused"),
    [
        ([0.0, -np.inf, 5.0], False),
        ([0.0, np.nan], True),
        ([np.inf, 0.0], True),
    ],
)
def test_log_densities_of_experts_are_numbers_or_minus_infinity(logs, is_refused):
    if not is_refused:
        check_log_density(np.array(logs), len(logs))
        return
    with pytest.raises(ValueError, match="log densities that are numbers, or minus infinity"):
        check_log_density(np.array(logs), len(logs))


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_moments_of_parts_are_those_of_the_whole(container):
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=(60, 3)) < 0.5, 0.0, rng.normal(size=(60, 3)) * 10 + 3)
    X[:, 2] = 0.0 if container is not np.asarray else 7.0
    weight = rng.uniform(0.5, 2.0, size=60)
    parts = [compute_moments(container(X[a:b]), weight[a:b]) for a, b in ((0, 20), (20, 60))]
    merged = merge_moments(*parts, 1.0)
    mean = np.average(X, axis=0, weights=weight)
    variance = np.average((X - mean) ** 2, axis=0, weights=weight)
    assert_allclose([merged.weight, *merged.mean], [weight.sum(), *mean])
    assert_allclose(merged.std, np.sqrt(variance), atol=1e-12)
    faded = merge_moments(*parts, 0.25)
    old = weight * np.where(np.arange(60) < 20, 0.25, 1.0)
    assert_allclose(faded.mean, np.average(X, axis=0, weights=old))
    of_outputs = output_scale(merged)
    assert_allclose(of_outputs.center, mean, atol=1e-12)
    assert_allclose(of_outputs.scale, [*np.sqrt(variance[:2]), 1.0])
    for scaling in (feature_scale(merged, container(X)), fit_standardization(container(X), weight)):
        center = mean if container is np.asarray else np.zeros(3)
        assert_allclose(scaling.center, center, atol=1e-12)
        assert_allclose(scaling.scale, [*np.sqrt(variance[:2]), np.inf])


def test_columns_that_round_off_lets_vary_are_constant():
    ones = np.ones(10)
    ones[0] += 0.5 * CONSTANT_RTOL
    more = np.ones(10)
    more[0] += 100 * CONSTANT_RTOL
    scale = fit_standardization(np.column_stack([ones, more]), np.ones(10)).scale
    assert scale[0] == np.inf
    assert np.isfinite(scale[1])


def test_a_transformer_that_makes_missing_values_is_refused():
    gate = FunctionTransformer(lambda X: np.where(X > 18.0, np.nan, X))
    X = np.arange(20.0)[:, None]
    with pytest.raises(ValueError, match="must make finite numbers"):
        MixtureOfExpertsRegressor(2, gate=SoftmaxGate(transformer=gate)).fit(X, X[:, 0])


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_documents_hold_no_rows(task, way):
    kind = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    X = np.random.default_rng(0).normal(size=(300, 2))
    X[:, 0] = np.round(X[:, 0], 3) + 0.00012345
    y = X[:, 0] if task == "regressor" else np.where(X[:, 1] > 0, "b", "a")
    moe = kind(2, random_state=0, n_init=1, max_iter=3)
    options = {"classes": ["a", "b"]} if (task, way) == ("classifier", "partial_fit") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(moe, way)(X, y, **options)
    text = json.dumps(moe.to_dict())
    # The ends of a feature's range are no rows.
    assert not any(repr(value) in text for value in np.sort(X[:, 0])[1:-1].tolist())
    again = kind.from_dict(json.loads(text))
    assert_array_equal(again.predict(X), moe.predict(X))
    assert getattr(again._training_state, "row_buffer", None) is None


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_sample_of_blocks_does_not_depend_on_the_cut(container):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(200, 2)), rng.uniform(0.5, 2.0, size=200)
    weight[::7] = 0.0
    samples = []
    for cuts in ([200], [20, 200], [100, 110, 200], list(range(10, 210, 10))):
        parts = list(zip([0, *cuts[:-1]], cuts, strict=True))
        blocks = [(container(X[a:b]), X[a:b, 0], weight[a:b]) for a, b in parts]
        checker = BlockChecker(False, lambda y, weight: None)
        found = first_pass(RowBlocks(lambda b=blocks: iter(b)), checker, None, n_sample=30, seed=0)
        rows = found.sample.X.toarray() if sparse.issparse(found.sample.X) else found.sample.X
        assert rows.shape == (30, 2)
        assert_allclose(found.sample.y, rows[:, 0])
        order = np.argsort(found.sample.y)
        samples.append(np.column_stack([rows, found.sample.weight])[order])
    for sample in samples[1:]:
        assert_allclose(sample, samples[0])
    ranks = np.searchsorted(np.sort(X[weight > 0, 0]), samples[0][:, 0])
    assert ranks.min() < 30  # from all parts of the table
    assert ranks.max() > 140


@pytest.mark.parametrize("way", ["arrays", "blocks", "stream"])
def test_targets_of_rows_without_weight_are_not_checked(way):
    X = np.random.default_rng(0).uniform(size=(60, 1))
    y, weight = np.arange(60) % 4.0, np.ones(60)
    y[5], weight[5] = -1.5, 0.0  # no count
    moe = MixtureOfExpertsRegressor(2, family="poisson", n_init=1, max_iter=3, random_state=0)

    def fit(weight):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if way == "blocks":
                return moe.fit(RowBlocks.from_arrays(X, y, weight))
            return (moe.fit if way == "arrays" else moe.partial_fit)(X, y, sample_weight=weight)

    assert np.isfinite(fit(weight).predict(X)).all()
    with pytest.raises(ValueError, match=r"counts|integers"):
        fit(np.ones(60))


def test_fitted_estimators_are_not_kept_for_a_later_fit():
    X = np.random.default_rng(0).normal(size=(60, 2))
    for expert, kept in (("linear", True), ("tree", False)):
        moe = MixtureOfExpertsRegressor(2, expert=expert, n_init=1, max_iter=3, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moe.fit(X, X[:, 0])
        assert (moe._training_state.resume_state is not None) == kept


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_rows_of_equal_hashes_are_compared(container, monkeypatch):
    monkeypatch.setattr(duplicates, "_row_hashes", lambda X, *args, **options: np.zeros(X.shape[0]))
    X = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    y, weight = np.array([3.0, 3.0, 4.0, 4.0, 4.0]), np.array([1.0, 1.0, 1.0, 1.0, 2.0])
    index, total = duplicates.unique_weighted_rows(container(X), y, weight)
    pairs = {(X[i, 0], y[i]): w for i, w in zip(index, total, strict=True)}
    assert pairs == {(1.0, 3.0): 2.0, (1.0, 4.0): 1.0, (2.0, 4.0): 3.0}


# --- rows of several batches, and of units -------------------------------------------------------


def batch(first, **options):
    numbers = np.arange(first, first + 3, dtype=float)
    return RowBuffer(numbers[:, None], 10.0 * numbers[None], numbers + 1.0, **options)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("with_offset", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("with_units", [(True, True), (False, True), (False, False)])
def test_batches_are_joined_row_by_row(container, with_offset, with_units):
    """Units of different batches are different; rows without an offset have that of zero."""
    codes = np.array([0, 1, 1])
    batches = [
        batch(
            3 * i,
            offset=np.full((1, 3), 0.5 + i) if with_offset[i] else None,
            units=codes if with_units[i] else None,
        )
        for i in range(2)
    ]
    one, other = (part._replace(X=container(part.X)) for part in batches)
    joined = one.append(other)
    dense = joined.X.toarray() if sparse.issparse(joined.X) else joined.X
    order = np.argsort(dense[:, 0])
    assert_array_equal(dense[order, 0], np.arange(6))
    assert_array_equal(joined.y[0, order], 10.0 * np.arange(6))
    assert_array_equal(joined.weight[order], np.arange(1.0, 7.0))
    if any(with_offset):
        second = 1.5 if with_offset[1] else 0.0
        assert_array_equal(joined.offset[0, order], [0.5] * 3 + [second] * 3)
    else:
        assert joined.offset is None
    if any(with_units):
        own = [codes if known else np.arange(3) for known in with_units]
        units = joined.units[order]
        assert_array_equal(units, np.concatenate([own[0], own[0].max() + 1 + own[1]]))
    else:
        assert joined.units is None
    twice = joined.append(other) if not any(with_units) else None
    assert twice is None or twice.total_weight == joined.total_weight + other.total_weight
    assert twice is None or len(twice.weight) == 6


def test_batches_are_kept_until_they_are_full():
    rows = batch(0)._replace(weight=np.full(3, 2.0), weight_at_init=3.0)
    assert rows.total_weight == 6.0
    assert rows.has_doubled
    assert not rows._replace(weight_at_init=3.1).has_doubled
    assert rows.is_full(half_life=6.0)
    assert not rows.is_full(half_life=6.1)
    many = rows._replace(weight=np.full(N_BUFFERED_ROWS, 1e-9))
    assert many.is_full(half_life=np.inf)
    heavy = rows._replace(weight=np.array([float(N_BUFFERED_ROWS)]), weight_at_init=1e9)
    assert heavy.has_doubled
    assert heavy.is_full(half_life=np.inf)


def test_rows_of_units_without_weight_are_absent_with_their_offset():
    rng = np.random.default_rng(0)
    X, units = rng.normal(size=(120, 1)), np.repeat(np.arange(40), 3)
    offset, weight = rng.normal(size=120), np.ones(120)
    y = rng.poisson(np.exp(offset + np.where(units < 20, X[:, 0], -X[:, 0]))).astype(float)
    weight[::4] = 0.0
    kept = np.flatnonzero(weight)
    moe = MixtureOfExpertsRegressor(
        2, family="poisson", gate="constant", n_init=1, max_iter=10, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y, weight, offset=offset, units=units)
        for method in ("score_samples", "bic", "icl", "inference"):
            answers = [
                getattr(moe, method)(
                    X[rows], y[rows], offset=offset[rows], units=units[rows], sample_weight=of
                )
                for rows, of in ((slice(None), weight), (kept, weight[kept]))
            ]
            values = [getattr(answer, "standard_errors", answer) for answer in answers]
            assert_allclose(values[0], values[1], err_msg=method)
