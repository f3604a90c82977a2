"""Rows that no fit and no prediction can use are refused alike on every path, by their column."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import fit_quietly
from support.own_gates import BrokenGate
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.stacks import stack_of
from support.tables import two_regimes

N_ROWS = 60
X, Y = two_regimes(n_rows=N_ROWS)
CLASSES = (Y > 0).astype(int)
FRAME = pd.DataFrame(X, columns=["age", "income", "height"])
SHORT = {"n_init": 1, "max_iter": 3, "random_state": 0, "alpha": 0.1, "gate_alpha": 1.0}
HALF = N_ROWS // 2
DATES = pd.Series(pd.date_range("2020-01-01", periods=N_ROWS))
BOTH = [(MixtureOfExpertsRegressor, Y), (MixtureOfExpertsClassifier, CLASSES)]


def with_column(values):
    return FRAME.assign(extra=values)


def with_cell(value):
    changed = X.copy()
    changed[3, 1] = value
    return changed


# --- every path -------------------------------------------------------------------------------


def fit_rows(moe, X, y, weight):
    moe.fit(X, y, sample_weight=weight)


def fit_selected_number(moe, X, y, weight):
    moe.set_params(n_experts="auto").fit(X, y, sample_weight=weight)


def fit_stream(moe, X, y, weight):
    moe.partial_fit(X, y, sample_weight=weight)


def fit_later_batch(moe, X, y, weight):
    first = np.random.default_rng(0).normal(size=(40, X.shape[1]))
    first = pd.DataFrame(first, columns=X.columns) if hasattr(X, "columns") else first
    moe.partial_fit(first, first @ np.ones(X.shape[1])).partial_fit(X, y, sample_weight=weight)


def fit_blocks(moe, X, y, weight):
    moe.fit(RowBlocks(lambda: iter([(X, y) if weight is None else (X, y, weight)])))


PATHS = [fit_rows, fit_selected_number, fit_stream, fit_later_batch, fit_blocks]

TEXT = ["No", "Yes"] * HALF
DURATIONS = np.arange(2 * N_ROWS).reshape(-1, 2).astype("m8[s]")
RECORDS = np.zeros(N_ROWS, dtype=[("a", float), ("b", float)])
REFUSED_FEATURES = {
    "text": (with_column(TEXT), ["column 'extra'", "'No'", 'OneHotEncoder(drop="first")']),
    "categories": (with_column(pd.Categorical(TEXT)), ["column 'extra'", "'No'"]),
    "text in an array": (with_column(TEXT).to_numpy(), ["column 3", "'No'"]),
    "bytes": (np.array([["1.5"], ["no"]] * HALF).astype(bytes), ["column 0", "b'no'"]),
    "dates": (with_column(DATES), ["column 'extra'", "datetime64", "numbers"]),
    "durations": (with_column(DATES - DATES[0]), ["column 'extra'", "timedelta64"]),
    "a frame of durations": (pd.DataFrame({"a": DATES - DATES[0]}), ["column 'a'", "timedelta64"]),
    "durations in an array": (DURATIONS, ["column 0", "timedelta64", "numbers"]),
    "NaN": (FRAME.assign(income=np.nan), ["column 'income'", "NaN", "SimpleImputer"]),
    "infinity": (FRAME.assign(income=np.inf), ["column 'income'", "infinity"]),
    "None": (with_column([None, 1.0] * HALF).astype(object), ["column 'extra'", "NaN"]),
    "NaN in a sparse matrix": (sparse.csr_array(with_cell(np.nan)), ["column 1", "NaN"]),
}
REFUSED_TARGETS = {
    "sparse": (sparse.csr_array(Y[:, None]), ["y must", "dense", "csr_array"]),
    "dates": (np.arange(N_ROWS).astype("datetime64[D]"), ["y must", "datetime64[D]"]),
    "text": (["a", "b"] * HALF, ["y must", "numbers", "'a'", "Classifier"]),
    "a structured array": (RECORDS, ["y must", "structured array", "a, b"]),
    "huge": (Y * 1e150, ["y must", "at most 1e+140"]),
    "tiny": (Y * 1e-163, ["larger than 1e-140"]),
}
REFUSED_WEIGHTS = {
    "complex": (np.full(N_ROWS, 1j), ["numbers", "complex"]),
    "text": (np.array(["a"] * N_ROWS), ["numbers"]),
    "dates": (np.full(N_ROWS, np.datetime64("2020-01-01")), ["numbers", "datetime64"]),
    "huge": (np.full(N_ROWS, 1e308), ["at most 1e+140"]),
    "negative": (-np.ones(N_ROWS), ["negative"]),
    "NaN": (np.full(N_ROWS, np.nan), ["finite"]),
    "too few": (np.ones(N_ROWS - 1), [str(N_ROWS)]),
}
REFUSED = {
    f"{name} as {what}": tuple(data)
    for what, table, place in (
        ("features", REFUSED_FEATURES, 0),
        ("target", REFUSED_TARGETS, 1),
        ("weights", REFUSED_WEIGHTS, 2),
    )
    for name, (value, words) in table.items()
    for data in [[*([X, Y, None][:place]), value, *([X, Y, None][place + 1 :]), words]]
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_are_refused_alike_on_every_path(case):
    features, y, weight, words = REFUSED[case]
    for fit in PATHS:
        if fit is fit_later_batch and case == "tiny as target":
            continue  # beside the target of the first batch its squares are zero
        moe = MixtureOfExpertsRegressor(2, **SHORT)
        assert_refused(refusal(fit, moe, features, y, weight), "", *words)


@pytest.mark.parametrize("case", REFUSED_FEATURES)
def test_new_rows_are_refused_alike(case):
    features, words = REFUSED_FEATURES[case]
    numbers = np.random.default_rng(0).normal(size=(N_ROWS, features.shape[1]))
    if hasattr(features, "columns"):
        numbers = pd.DataFrame(numbers, columns=features.columns)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), numbers, Y)
    assert_refused(refusal(moe.predict, features), "", *words)


def test_a_mixture_without_features_takes_a_column_of_ones():
    y = np.random.default_rng(0).normal(size=40)
    with pytest.raises(ValueError, match=r"X must .* got None.* expert_features=\[\]"):
        MixtureOfExpertsRegressor(1).fit(None, y)
    moe = MixtureOfExpertsRegressor(1, expert_features=[], gate="constant")
    found = moe.fit(np.ones((40, 1)), y).predict(np.ones((2, 1)))
    np.testing.assert_allclose(found, y.mean())


@pytest.mark.parametrize("expert", ["linear", "tree"])
def test_structured_features_are_refused_with_their_fields(expert):
    words = ["array of numbers", "structured array", "a, b", "structured_to_unstructured"]
    fitted = fit_quietly(MixtureOfExpertsRegressor(2, expert=expert, **SHORT), X[:, :2], Y)
    for action in (fitted.predict, fitted.fit):
        given = (RECORDS, Y)[: 1 + (action == fitted.fit)]
        assert_refused(refusal(action, *given), "X", *words)


@pytest.mark.parametrize("name", ["units", "groups", "cluster"])
def test_the_name_of_a_column_is_not_its_labels(name):
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), X, Y)
    moe.set_params(expert="tree" if name == "groups" else "linear")
    options = {name: "household"} | ({"method": "sandwich"} if name == "cluster" else {})
    message = refusal(moe.inference if name == "cluster" else moe.fit, X, Y, **options)
    assert_refused(message, name, "one label for each", "'household'", f"{name}=frame['household']")


@pytest.mark.parametrize(("make", "y"), BOTH)
@pytest.mark.parametrize(
    ("features", "weight", "words"),
    [
        (with_cell(np.nan), None, ["column 1", "NaN", 'expert="tree"']),
        (with_cell(np.inf), None, ["infinity"]),
        (X[:, 0], None, ["Expected 2D array"]),
        (X[:40], None, ["the same number of rows", "40 and 60"]),
        (X, np.zeros(N_ROWS), ["all weights are zero"]),
        (X, np.ones((N_ROWS, 1)), ["sample_weight must have one entry", str(N_ROWS)]),
    ],
)
def test_both_estimators_refuse_bad_tables(make, y, features, weight, words):
    moe = make(2, **SHORT)
    assert_fit_refused(moe, (features, y), "", *words, sample_weight=weight)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_experts_are_no_more_than_distinct_rows(make):
    same = np.tile(X[:1], (N_ROWS, 1)), np.tile([0, 1], HALF)
    assert_fit_refused(make(4, **SHORT), same, "n_experts", "distinct", "2")


@pytest.mark.parametrize(("make", "y"), BOTH)
def test_the_remedy_for_missing_values_works(make, y):
    holes = with_cell(np.nan)
    moe = fit_quietly(make(2, expert="tree", **SHORT), holes, y)
    assert np.isfinite(moe.predict_gate(holes)).all()


def test_targets_are_finite():
    values = np.where(np.arange(N_ROWS) == 7, np.inf, Y)
    assert_fit_refused(MixtureOfExpertsRegressor(2, **SHORT), (X, values), "Input y contains")


WITHOUT_7 = np.where(np.arange(N_ROWS) == 7, np.nan, Y)
MISSING_TARGETS = {
    "number": (MixtureOfExpertsRegressor(2, **SHORT), WITHOUT_7),
    "None": (MixtureOfExpertsRegressor(2, **SHORT), WITHOUT_7.astype(object)),
    "pandas": (MixtureOfExpertsRegressor(2, **SHORT), pd.Series(WITHOUT_7, dtype="Float64")),
    "output": (MixtureOfExpertsRegressor(2, **SHORT), np.column_stack([Y, WITHOUT_7])),
    "tree": (MixtureOfExpertsRegressor(2, expert="tree", **SHORT), WITHOUT_7),
    "class": (MixtureOfExpertsClassifier(2, **SHORT), np.sign(WITHOUT_7)),
    "stack": (stack_of(Ridge(), DecisionTreeRegressor()), WITHOUT_7),
}


@pytest.mark.parametrize("case", MISSING_TARGETS)
def test_the_remedy_for_missing_targets_is_to_drop_their_rows(case):
    moe, y = MISSING_TARGETS[case]
    assert_fit_refused(moe, (X, y), "y must have no missing", "row 7", "Drop", "missing at random")
    kept = np.arange(N_ROWS) != 7
    fit_quietly(moe, X[kept], np.asarray(y)[kept])


def test_numbers_at_the_bounds_are_fitted():
    """Targets between 1e-140 and 1e140, and weights whose sum is at most 1e140."""
    moe = MixtureOfExpertsRegressor(1, **SHORT)
    wanted = fit_quietly(moe, X, Y).predict(X)
    for factor in (1e-138, 1e138):
        assert_allclose(fit_quietly(moe, X, factor * Y).predict(X) / factor, wanted, rtol=1e-6)
    fit_quietly(moe, X, Y, sample_weight=np.full(N_ROWS, 0.99e140 / N_ROWS))
    message = refusal(moe.fit, X, Y, sample_weight=np.full(N_ROWS, 1.01e140 / N_ROWS))
    assert_refused(message, "sample_weight", "1e+140")


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (np.full(N_ROWS, 500.5), ["500"]),
        (np.full(N_ROWS, -500.5), ["500"]),
        (np.zeros(N_ROWS - 1), [str(N_ROWS)]),
        (np.zeros((N_ROWS, 2)), ["(60, 2)"]),
        (np.full(N_ROWS, np.nan), ["finite"]),
    ],
)
def test_offsets_are_refused_by_name(offset, words):
    moe = MixtureOfExpertsRegressor(2, family="poisson", **SHORT)
    y = np.round(np.abs(Y))
    assert_fit_refused(moe, (X, y), "offset", *words, offset=offset)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["link 'identity'", "subtract"]),
        ({"family": "ordinal"}, ["link 'logit'", "without offset"]),
        ({"expert": "tree"}, ["no log link", "'tree'"]),
    ],
)
def test_an_offset_needs_a_log_link(options, words):
    moe = MixtureOfExpertsRegressor(2, **SHORT | options)
    y = np.round(np.abs(Y))
    assert_fit_refused(moe, (X, y), "offset", "log link", *words, offset=np.zeros(N_ROWS))


def test_estimators_take_one_offset_for_all_outputs():
    moe = MixtureOfExpertsRegressor(2, expert="tree", family="poisson", **SHORT)
    outputs = np.round(np.abs(np.column_stack([Y, Y])))
    words = ["(60, 2)", 'expert="linear"']
    assert_fit_refused(moe, (X, outputs), "expert", *words, offset=np.zeros((N_ROWS, 2)))


@pytest.mark.parametrize("options", [{}, {"family": "poisson"}, {"expert": "tree"}])
def test_too_many_experts_are_refused_without_memory(options):
    moe = MixtureOfExpertsRegressor(10**9, **options)
    for fit in (fit_rows, fit_stream, fit_blocks):
        if "expert" in options and fit is not fit_rows:
            continue
        tracemalloc.start()
        message = refusal(fit, moe, X, np.abs(np.round(Y)), None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert_refused(message, "n_experts", "number of rows", N_ROWS)
        assert peak < 10**7


def test_errors_of_experts_have_a_note_on_the_column():
    moe = MixtureOfExpertsRegressor(2, expert=Ridge(), **SHORT)
    with pytest.raises(ValueError, match="could not convert") as caught:
        moe.fit(with_column(TEXT), Y)
    assert any("column 'extra' holds 'No'" in note for note in caught.value.__notes__)


def test_a_base_needs_two_distinct_rows():
    moe = MixtureOfExpertsRegressor(1, base=Ridge(), **SHORT)
    assert_fit_refused(moe, (np.ones((20, 2)), np.ones(20)), "", "2 distinct rows", "base")


@pytest.mark.parametrize("n_experts", [2, "auto"])
@pytest.mark.parametrize(
    "groups",
    [
        [None, "a"] * HALF,
        [np.nan, 1.0] * HALF,
        np.array([1, "a"] * HALF, dtype=object),
        np.ones((N_ROWS, 2)),
        np.ones(N_ROWS - 1),
    ],
    ids=["None", "NaN", "mixed", "two columns", "too few"],
)
def test_groups_are_labels_of_one_kind(groups, n_experts):
    options = {"expert": "tree"} if n_experts == 2 else {}
    moe = MixtureOfExpertsRegressor(n_experts, **SHORT | options)
    assert_fit_refused(moe, (X, Y), "groups", groups=groups)


def test_groups_change_the_folds_of_the_held_out_choice():
    scores = [
        fit_quietly(MixtureOfExpertsRegressor("auto", **SHORT), X[:20], Y[:20], groups=g)
        for g in (None, np.arange(20) // 4)
    ]
    scores = [moe.n_experts_scores_ for moe in scores]
    assert scores[0][0] != scores[1][0]


@pytest.mark.parametrize(
    "good",
    [
        [0.5, 1.5],
        ["b", "a"],
        [True, False],
        [b"b", b"a"],
        np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
    ],
    ids=repr,
)
def test_labels_are_of_one_kind_and_none_is_missing(good):
    """Of the units of rows, whatever the type of the array is that holds them."""
    moe = MixtureOfExpertsRegressor(2, gate="constant", **SHORT)
    own = np.asarray(good)
    for labels in (own, own.astype(object), pd.Series(good).to_numpy(dtype=object)):
        units = np.resize(labels, N_ROWS)
        fit_quietly(moe, X, Y, units=units)
        for missing in (None, np.nan, pd.NA, pd.NaT, "text" if own.dtype.kind != "U" else 1.0):
            bad = np.array([*units[:-1], None], dtype=object)
            bad[-1] = missing
            assert_refused(refusal(moe.fit, X, Y, units=bad), "units", "one kind")


# --- classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "weight", "words"),
    [
        (["no"] * N_ROWS, None, ["at least two classes", "no"]),
        (CLASSES, (CLASSES == 1).astype(float), ["one class"]),
        (Y, None, ["continuous"]),
        ([None, "a"] * HALF, None, ["y must", "one kind"]),
        (np.array([1, "a"] * HALF, dtype=object), None, ["y must", "one kind"]),
        (np.column_stack([CLASSES, CLASSES]), None, ["y"]),
    ],
)
def test_classes_are_at_least_two_labels_of_one_kind(y, weight, words):
    moe = MixtureOfExpertsClassifier(2, **SHORT)
    assert_fit_refused(moe, (X, y), "", *words, sample_weight=weight)


@pytest.mark.parametrize("label", [-1, 1, 3, 5])
def test_labels_that_the_fit_has_not_seen_are_refused(label):
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT), X, 2 * CLASSES)
    new = np.where(np.arange(N_ROWS) == 17, label, 2 * CLASSES)
    assert_refused(refusal(moe.score_samples, X, new), "", "seen in fit", "[0, 2]", label)


# --- fitted estimators ------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "y"), BOTH)
def test_methods_need_a_fit(make, y):
    moe = make()
    methods = {"predict": (X,), "predict_gate": (X,), "predict_experts": (X,), "apply": (X,)}
    methods |= {"score_samples": (X, y), "responsibilities": (X, y), "set_expert_names": ([],)}
    methods |= {"aic": (X, y), "bic": (X, y), "icl": (X, y), "summary": (), "explain": (X,)}
    for name, arguments in methods.items():
        with pytest.raises(NotFittedError):
            getattr(moe, name)(*arguments)


@pytest.mark.parametrize(("make", "y"), BOTH)
def test_new_rows_have_the_columns_of_the_fit(make, y):
    moe = fit_quietly(make(2, **SHORT), FRAME, y)
    assert "feature names" in refusal(moe.predict, FRAME.rename(columns={"age": "years"}))
    assert "feature names" in refusal(moe.predict, FRAME[["income", "age", "height"]])
    assert "NaN" in refusal(moe.predict, FRAME * np.nan)
    assert "same number of rows" in refusal(moe.score_samples, FRAME, y[:-1])
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match=r"2 features, but .* is expecting 3"),
    ):
        moe.predict(X[:, :2])


def test_new_targets_have_the_outputs_of_the_fit():
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), X, Y)
    message = refusal(moe.responsibilities, X, np.column_stack([Y, Y]))
    assert_refused(message, "y", "1 output", "got 2")
    for text in (np.array(["1.5", "many"] * HALF), np.array([1.5, "many"] * HALF, dtype=object)):
        assert_refused(refusal(moe.score_samples, X, text), "y", "numbers", "'many'")
    numbers = np.array([str(value) for value in Y])
    assert_array_equal(moe.score_samples(X, numbers), moe.score_samples(X, Y))


@pytest.mark.parametrize(("make", "y"), BOTH)
def test_a_previous_fit_survives_an_error_inside(make, y):
    moe = fit_quietly(make(2, **SHORT), X, y)
    before = moe.predict_gate(X)
    with pytest.raises(RuntimeError, match="broken gate"):
        fit_quietly(moe.set_params(gate=BrokenGate()), X, y)
    assert_array_equal(moe.predict_gate(X), before)
    fresh = make(2, gate=BrokenGate(), **SHORT)
    with pytest.raises(RuntimeError, match="broken gate"):
        fit_quietly(fresh, X, y)
    assert not hasattr(fresh, "n_features_in_")


REFUSED_ARGUMENTS = [
    *(("predict_quantile", (X, q), "q", "probability") for q in ([], "a", None, np.nan, 90, 0.5j)),
    ("predict_quantile", (X, [[0.1, 0.2]]), "q", "probability"),
    *(("sample", (X, n), "n_samples", "integer") for n in (0, -1, 1.5, None)),
    *(("sample", (X, seed), "random_state", "integer") for seed in (-1, "a", 2**40)),
    *(("predict_interval", (X, c), "coverage", "probability") for c in (0.0, 1.0, 90, "a")),
    ("summary", (X,), "", "both X and y"),
]


@pytest.mark.parametrize(("method", "arguments", "name", "word"), REFUSED_ARGUMENTS)
def test_arguments_of_methods_are_refused_by_name(method, arguments, name, word):
    moe = fit_quietly(MixtureOfExpertsRegressor(1, **SHORT), X, Y)
    positional, given = arguments, {}
    if method == "sample":
        positional, given = arguments[:1], {name: arguments[1]}
    assert_refused(refusal(getattr(moe, method), *positional, **given), name, word)


@pytest.mark.parametrize("family", ["poisson", "student_t", "ordinal"])
def test_quantiles_of_every_distribution_are_of_probabilities(family):
    y = np.abs(np.round(Y))
    moe = fit_quietly(MixtureOfExpertsRegressor(1, family=family, **SHORT), X, y)
    for q in (90, np.nan, []):
        assert_refused(refusal(moe.predict_quantile, X, q), "q", "probability")


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, -0.1])
def test_levels_of_confidence_are_between_zero_and_one(level):
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), X, Y)
    for data in ((), (X, Y)):
        assert_refused(refusal(moe.summary, *data, level=level), "level", "(0, 1)", level)
    assert_refused(refusal(moe.inference(X, Y).conf_int, level), "level", "(0, 1)", level)


@pytest.mark.parametrize("name", ["sample_weight", "offset", "units"])
def test_a_summary_needs_the_rows_to_which_arguments_belong(name):
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), X, Y)
    assert "needs X and y" in refusal(moe.summary, **{name: np.ones(N_ROWS)})


@pytest.mark.parametrize("parameters", [{"expert": "tree"}, {"base": DecisionTreeRegressor()}])
def test_sparse_rows_may_have_indices_of_64_bits(parameters):
    narrow = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0.0))
    wide = narrow.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    moe = MixtureOfExpertsRegressor(2, **SHORT | parameters)
    expected = fit_quietly(moe, narrow, Y).predict(narrow)
    assert_allclose(fit_quietly(moe, wide, Y).predict(wide), expected, rtol=1e-10)
