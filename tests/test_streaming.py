"""Streams: online EM ends where EM does, forgets when told to, and takes rows as weighted sets."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import MaxAbsScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization, fit_standardization
from skmoe._estimators import partial_fit
from skmoe._estimators.row_buffer import N_BUFFERED_ROWS
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.online import init_online_state, rescale, rescaling
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.gates import ConstantGate, SoftmaxGate

X, Y = two_regimes(n_rows=6000)
CLASS_X, CLASSES = flipping_classes(n_rows=6000, n_classes=3)
CASES = {
    "regressor": (MixtureOfExpertsRegressor(2, random_state=0), X, Y),
    "shared": (MixtureOfExpertsRegressor(2, random_state=0, dispersion="shared"), X, Y),
    "constant": (MixtureOfExpertsRegressor(2, random_state=0, gate="constant"), X, Y),
    "outputs": (
        MixtureOfExpertsRegressor(2, random_state=0),
        X,
        np.column_stack([Y, X[:, 1] + np.sin(9 * Y)]),
    ),
    "columns": (MixtureOfExpertsRegressor(2, random_state=0, gate_features=[0]), X, Y),
    "classifier": (MixtureOfExpertsClassifier(2, random_state=0), CLASS_X, CLASSES),
}


def stream(moe, features, y, size=300, n_epochs=1, **options):
    """Learn from batches, in an order of their own in each epoch."""
    moe, rng = clone(moe), np.random.default_rng(0)
    if hasattr(moe, "predict_proba"):
        options["classes"] = np.unique(y)
    for _ in range(n_epochs):
        order = rng.permutation(len(y))
        for begin in range(0, len(y), size):
            chosen = order[begin : begin + size]
            moe.partial_fit(features[chosen], y[chosen], **options)
    return moe


@pytest.mark.parametrize("case", CASES)
def test_streams_end_where_em_does(case):
    moe, features, y = CASES[case]
    # A search of penalties in a stream sees the first rows only.
    moe = clone(moe).set_params(alpha=1.0, gate_alpha=1.0)
    batch = quiet(clone(moe).set_params(tol=1e-7), features, y)
    scores = [
        stream(moe, features, y, n_epochs=n).score_samples(features, y).mean() for n in (1, 8)
    ]
    best = batch.score_samples(features, y).mean()
    assert scores[0] > best - 0.008
    assert scores[1] > best - 0.0005
    assert scores[1] >= scores[0] - 1e-4


@pytest.mark.parametrize("sizes", [[100], [30, 170]], ids=str)
def test_the_penalty_of_a_stream_is_that_of_all_rows(sizes):
    """However many batches there are, and whether they are large or small."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 2))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    y = 2.0 * features[:, 0] - features[:, 1] + 0.1 * rng.normal(size=3000)
    ends = np.cumsum(np.resize(sizes, 2 * 3000 // sum(sizes)))
    for alpha in (3000.0, 300.0):
        moe = MixtureOfExpertsRegressor(1, alpha=alpha)
        for begin, end in zip([0, *ends], ends[ends <= 3000], strict=False):
            moe.partial_fit(features[begin:end], y[begin:end])
        assert_allclose(moe.expert_coef_[0], Ridge(alpha).fit(features, y).coef_, rtol=0.15)


@pytest.mark.parametrize("case", ["regressor", "classifier"])
def test_units_of_the_features_do_not_matter(case):
    """Statistics of early batches are moved to the later scale: no unit is ever the right one."""
    moe, features, y = CASES[case]
    unit = np.array([1.0, 1e3, 1e-3])
    other = features * unit + [5.0, -2e3, 0.0]
    given = stream(moe, features, y).predict_gate(features)
    assert_allclose(stream(moe, other, y).predict_gate(other), given, atol=1e-6)


def parts_of(kind):
    experts = LogisticExperts(n_classes=3) if kind == "classes" else LinearExperts()
    gate = ConstantGate() if kind == "constant" else SoftmaxGate()
    return MixtureModel(gate, experts, 2)


@pytest.mark.parametrize("kind", ["numbers", "constant", "classes"])
def test_moved_streams_say_what_they_said(kind):
    """Statistics and parameters of moved rows are the moved statistics and parameters."""
    rng = np.random.default_rng(0)
    raw, weight = rng.normal(size=(50, 3)), rng.uniform(size=50)
    y = rng.integers(3, size=50) if kind == "classes" else rng.normal(size=(1, 50))
    scales = [
        fit_standardization(raw, weight),
        Standardization(np.array([1.0, -2, 3]), np.array([0.5, 2, 7])),
    ]
    target = [
        Standardization(np.zeros(1), np.ones(1)),
        Standardization(np.array([4.0]), np.array([3.0])),
    ]
    parts = parts_of(kind)
    params = Params(parts.gate.init_params(2, 4), parts.experts.init_params(2, 4))
    params = params._replace(
        experts=params.experts._replace(coef=rng.normal(size=params.experts.coef.shape))
    )
    if kind != "constant":
        params = params._replace(gate=type(params.gate)(rng.normal(size=(2, 4))))

    def begun(which, params, parts):
        values = y if kind == "classes" else (y - target[which].center) / target[which].scale
        rows = Preprocessor(scales[which], None, None, None).assemble(raw, values, weight)
        return init_online_state(parts, params, rows, None, None)

    before = begun(0, params, parts)
    output_move = None if kind == "classes" else rescaling(*target)
    moved = rescale(before, rescaling(*scales), (None, None), output_move)
    again = begun(1, moved.params, moved.model)
    change = 0.0 if kind == "classes" else np.log(3.0)
    assert_allclose(again.lower_bound, before.lower_bound + change)
    # Curvatures, and what is a product with them, are found in single precision.
    for ours, theirs in zip(moved.averaged_statistics, again.averaged_statistics, strict=True):
        for one, other in zip(ours[0], theirs[0], strict=True):
            assert_allclose(one, other, atol=1e-5 * np.abs(other).max())
        if ours[1] is not None:
            assert_allclose(ours[1], theirs[1], atol=1e-5 * np.abs(theirs[1]).max())


@pytest.mark.parametrize("case", ["regressor", "classifier"])
def test_a_weight_is_a_number_of_rows(case):
    moe, features, y = CASES[case]
    features, y = features[:1200], y[:1200]
    options = {"classes": np.unique(y)} if case == "classifier" else {}
    weight = np.random.default_rng(0).integers(3, size=len(y))
    weighted, repeated = clone(moe), clone(moe)
    for begin in range(0, len(y), 300):
        here = slice(begin, begin + 300)
        weighted.partial_fit(features[here], y[here], sample_weight=weight[here], **options)
        copies = np.repeat(np.arange(begin, begin + 300), weight[here])
        repeated.partial_fit(features[copies], y[copies], **options)
    assert_allclose(weighted.predict_gate(features), repeated.predict_gate(features), atol=1e-8)


def test_a_half_life_follows_a_stream_that_changes():
    rng = np.random.default_rng(0)
    kept, follows = (MixtureOfExpertsRegressor(2, random_state=0, half_life=h) for h in (None, 500))
    for batch in range(60):
        features = rng.normal(size=(200, 2))
        sign = 1.0 if batch < 50 else -1.0
        y = sign * np.abs(features[:, 0]) + 0.1 * rng.normal(size=200)
        for moe in (kept, follows):
            moe.partial_fit(features, y)
    assert follows.score(features, y) > 0.9
    assert follows.score(features, y) > kept.score(features, y) + 0.2


@pytest.mark.parametrize("known", [[0, 1], [1]])
def test_classes_may_come_late(known):
    late = MixtureOfExpertsClassifier(2, random_state=0)
    first = np.isin(CLASSES, known)
    late.partial_fit(CLASS_X[first][:300], CLASSES[first][:300], classes=[0, 1, 2])
    assert set(late.predict(CLASS_X)) == set(known)
    for begin in [*range(0, 6000, 300), *range(0, 6000, 300)]:
        late.partial_fit(CLASS_X[begin : begin + 300], CLASSES[begin : begin + 300])
    # As good as a stream that knew them all from the begin; a guess would have -log(3) = -1.1.
    whole = MixtureOfExpertsClassifier(2, random_state=0)
    for begin in [*range(0, 6000, 300), *range(0, 6000, 300)]:
        chosen = slice(begin, begin + 300)
        whole.partial_fit(CLASS_X[chosen], CLASSES[chosen], classes=[0, 1, 2])
    best = whole.score_samples(CLASS_X, CLASSES).mean()
    assert late.score_samples(CLASS_X, CLASSES).mean() > best - 0.02
    assert best > -0.56
    assert set(late.predict(CLASS_X)) == {0, 1, 2}


def test_a_fit_is_gone_on_from():
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0), X[:3000], Y[:3000])
    before = moe.score_samples(X, Y).mean()
    for start in (3000, 4000):
        moe.partial_fit(X[start : start + 1000], Y[start : start + 1000])
        assert moe.score_samples(X, Y).mean() > before - 0.03
    assert moe.n_iter_ == 2


def test_a_fit_begins_anew():
    moe = stream(*CASES["regressor"])
    quiet(moe, X, Y)
    fresh = quiet(MixtureOfExpertsRegressor(2, random_state=0), X, Y)
    assert_array_equal(moe.predict(X), fresh.predict(X))
    restarted = copy.deepcopy(fresh).partial_fit(X[:300], Y[:300])
    assert restarted.n_iter_ == 1


def test_pickled_streams_go_on():
    moe = stream(*CASES["regressor"])
    other = pickle.loads(pickle.dumps(moe))
    for each in (moe, other):
        each.partial_fit(X[:200], Y[:200])
    assert_array_equal(moe.predict(X), other.predict(X))


def test_sparse_batches():
    features = X * (np.abs(X) > 0.5)
    dense = stream(CASES["regressor"][0], features, Y)
    thin = stream(CASES["regressor"][0], sparse.csr_array(features), Y)
    assert_allclose(thin.predict(features), dense.predict(features), atol=0.05)


def test_attributes_and_pictures_of_a_stream():
    moe = stream(*CASES["regressor"])
    assert moe.n_iter_ == 20
    assert_allclose(moe.weights_.sum(), 1.0)
    # The mean log density of rows before they are used, those of the first batch after.
    again, before = clone(moe), []
    order = np.random.default_rng(0).permutation(len(Y))
    for chosen in np.split(order, 20):
        if before:
            before.append(again.score_samples(X[chosen], Y[chosen]).mean())
        again.partial_fit(X[chosen], Y[chosen])
        before = before or [again.score_samples(X[chosen], Y[chosen]).mean()]
    assert again.lower_bound_ == moe.lower_bound_
    assert_allclose(moe.lower_bound_, np.mean(before), atol=0.02)
    assert moe.expert_coef_.shape == (2, 3)
    assert "expert" in str(moe.summary())


def test_columns_that_begin_to_vary():
    features = X.copy()
    features[:300, 1] = 0.5
    moe = clone(CASES["regressor"][0])
    for begin in range(0, 6000, 300):
        moe.partial_fit(features[begin : begin + 300], Y[begin : begin + 300])
    batch = quiet(clone(moe), features, Y)
    best = batch.score_samples(features, Y).mean()
    assert moe.score_samples(features, Y).mean() > best - 0.05


REGRESSOR = MixtureOfExpertsRegressor(2)
CLASSIFIER = MixtureOfExpertsClassifier(2)
REFUSED = {
    "gate": (clone(REGRESSOR).set_params(gate=[1]), Y, {}, "gate must be one of"),
    "half life": (clone(REGRESSOR).set_params(half_life=0), Y, {}, "half_life must be None"),
    "word": (clone(REGRESSOR).set_params(half_life="x"), Y, {}, "half_life must be None"),
    "no classes": (CLASSIFIER, CLASSES, {}, "classes must be passed on the first call"),
    "one class": (CLASSIFIER, CLASSES, {"classes": [1]}, "at least two classes"),
    "unknown": (CLASSIFIER, CLASSES, {"classes": [0, 1]}, r"classes seen in fit, \[0, 1\]; got 2"),
    "few rows": (clone(REGRESSOR).set_params(n_experts=500), Y, {}, "n_experts must not exceed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_streams_cannot_do_is_refused(case):
    moe, y, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        clone(moe).partial_fit(X[:300], y[:300], **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"combine": "average"}, 'needs combine="best"'),
        ({"base": Ridge()}, "needs base=None"),
        ({"gate": SoftmaxGate(transformer=MaxAbsScaler())}, "a gate without a transformer"),
        ({"n_experts": "auto"}, "an integer n_experts"),
    ],
)
def test_partial_fit_is_absent_where_it_cannot_work(options, reason):
    moe = clone(REGRESSOR).set_params(**options)
    assert not hasattr(moe, "partial_fit")
    with pytest.raises(AttributeError) as refusal:
        moe.partial_fit(X, Y)
    assert reason in str(refusal.value.__cause__)


def test_later_batches_are_checked():
    moe = clone(CLASSIFIER).partial_fit(CLASS_X[:300], CLASSES[:300], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be those of the first call to partial_fit"):
        moe.partial_fit(CLASS_X[:300], CLASSES[:300], classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes seen in fit, \[0, 1, 2\]; got 9"):
        moe.partial_fit(CLASS_X[:2], [0, 9])
    with pytest.raises(ValueError, match="expecting 3 features"):
        moe.partial_fit(CLASS_X[:300, :2], CLASSES[:300])
    with pytest.raises(ValueError, match="n_experts must stay 2"):
        moe.set_params(n_experts=3).partial_fit(CLASS_X[:300], CLASSES[:300])


def test_wide_streams_are_refused():
    wide = np.random.default_rng(0).normal(size=(20, 1200))
    with pytest.raises(ValueError, match=r"1201 columns, more than 1000.*gate_features"):
        REGRESSOR.partial_fit(wide, wide[:, 0])


def test_experts_that_need_all_rows_offer_no_stream():
    for expert in ("tree", DecisionTreeRegressor()):
        moe = MixtureOfExpertsRegressor(2, expert=expert)
        assert not hasattr(moe, "partial_fit")
        with pytest.raises(AttributeError) as error:
            moe.partial_fit(X, Y)
        assert "need all rows at once" in str(error.value.__cause__ or error.value)


def test_balanced_classes_offer_no_stream():
    moe = MixtureOfExpertsClassifier(2, class_weight="balanced")
    assert not hasattr(moe, "partial_fit")
    weighted = MixtureOfExpertsClassifier(2, class_weight={0: 5.0}, random_state=0)
    plain = MixtureOfExpertsClassifier(2, random_state=0)
    shares = [np.mean(stream(m, CLASS_X, CLASSES).predict(CLASS_X) == 0) for m in (weighted, plain)]
    assert shares[0] > shares[1] + 0.1


# --- starts of streams that are still short ---------------------------------------------------


@pytest.mark.parametrize(
    ("case", "kind"),
    [("regressor", "sparse"), ("outputs", "frame"), ("columns", "plain"), ("classifier", "plain")],
)
def test_starts_do_not_depend_on_the_first_batch(case, kind):
    """Forty rows are too few to find starts on: they are looked for again, with all rows so far."""
    moe, features, y = CASES[case]
    columns = np.array(["a", "b", "c"])
    given = features
    if kind == "frame":
        given = pd.DataFrame(features, columns=columns)
        moe = clone(moe).set_params(expert_features=["c", "b", "a"], gate_features=["a", "b"])
    if kind == "sparse":
        given = sparse.csr_array(features * (features > 0.3))
    best = quiet(clone(moe), given, y).score_samples(given, y).mean()
    options = {"classes": np.unique(y)} if case == "classifier" else {}
    moe = clone(moe)
    for begin in range(0, len(y), 40):
        here = slice(begin, begin + 40)
        rows = given.iloc[here] if kind == "frame" else given[here]
        moe.partial_fit(rows, y[here], **options)
        assert (moe._training_state.row_buffer is None) == (begin + 40 >= N_BUFFERED_ROWS)
    assert moe.score_samples(given, y).mean() > best - 0.015
    assert moe.n_iter_ == 150
    if kind == "frame":
        assert_array_equal(moe.feature_names_in_, columns)


def test_weights_and_class_weights_of_early_rows(monkeypatch):
    """A later search sees the weights of the rows as the stream saw them."""
    weight = np.random.default_rng(0).integers(3, size=600).astype(float)
    features, classes = CLASS_X[:600], CLASSES[:600]
    moe = MixtureOfExpertsClassifier(2, random_state=0, class_weight={0: 3.0, 1: 0.5})
    monkeypatch.setattr(
        "skmoe._estimators.partial_fit.MIN_REINITIALIZATION_GAIN", -np.inf
    )  # always begins anew
    # More than the weight of the first batch, and less than that of both.
    monkeypatch.setattr("skmoe._estimators.row_buffer.N_BUFFERED_ROWS", 600)
    halves = clone(moe)
    for here in (slice(300), slice(300, 600)):
        halves.partial_fit(
            features[here], classes[here], classes=[0, 1, 2], sample_weight=weight[here]
        )
    whole = moe.partial_fit(features, classes, classes=[0, 1, 2], sample_weight=weight)
    order = np.argsort(whole.gate_coef_[:, 0])
    again = np.argsort(halves.gate_coef_[:, 0])
    assert_allclose(halves.expert_coef_[again], whole.expert_coef_[order], rtol=1e-6)
    assert_allclose(
        halves._training_state.online_state.total_weight,
        whole._training_state.online_state.total_weight,
    )


def test_experts_keep_their_numbers_when_a_start_is_found_anew(monkeypatch):
    monkeypatch.setattr(partial_fit, "MIN_REINITIALIZATION_GAIN", -np.inf)
    original = partial_fit._fit_first_batch

    def reversed_experts(*args):
        """A start that counts its experts from the other end."""
        params, model = original(*args)
        turned = (type(part)(*(values[::-1] for values in part)) for part in params)
        return Params(*turned), model

    for find in (original, reversed_experts):
        moe = MixtureOfExpertsRegressor(2, random_state=0).partial_fit(X[:600], Y[:600])
        monkeypatch.setattr(partial_fit, "_fit_first_batch", find)
        before = moe.predict_gate(X)
        moe.partial_fit(X[600:1200], Y[600:1200])
        assert np.abs(moe.predict_gate(X) - before).mean() < 0.1
        monkeypatch.setattr(partial_fit, "_fit_first_batch", original)


def test_streams_that_forget_begin_anew_within_their_half_life():
    moe = MixtureOfExpertsRegressor(2, random_state=0, half_life=500)
    moe.partial_fit(X[:300], Y[:300])
    assert moe._training_state.row_buffer is not None
    moe.partial_fit(X[300:600], Y[300:600])
    assert moe._training_state.row_buffer is None
    assert (
        quiet(clone(moe), X[:300], Y[:300])
        .partial_fit(X[300:400], Y[300:400])
        ._training_state.row_buffer
        is None
    )
