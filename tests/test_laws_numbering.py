"""Experts are numbered by their shares of the rows, and keep the numbers that the user has seen."""

import json
import pickle

import numpy as np
import pytest
from cases import (
    CASES,
    N_ROWS,
    X,
    Y,
    fitted,
    fitted_case,
    regressor,
    target_of,
)
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet, steps
from sklearn.base import clone
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe._estimators import numbering, partial_fit
from skmoe._estimators.plain_values import checksum
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.numbering import SHARE_RTOL, order_by_share, reorder_params
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints, load_checkpoint
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate


def assert_descending(share):
    """Whether shares of experts (S, K) are in descending order, but for those that are equal."""
    smallest = np.minimum.accumulate(share, axis=1)
    assert (share <= smallest / (1.0 - SHARE_RTOL)).all(), share


# --- the order ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", CASES)
def test_shares_are_in_descending_order(case):
    moe = fitted_case(case)
    n_starts = moe.n_init if moe.combine == "average" else 1
    assert_descending(moe.weights_.reshape(n_starts, -1))
    if moe.base is None:  # whose predictions in the fit are those of other folds
        given = CASES[case][2]
        gate = moe.predict_gate(X, units=given.get("units"))
        mean = np.average(gate, axis=0, weights=given.get("sample_weight"))
        assert_allclose(mean, moe.weights_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", CASES)
def test_the_numbers_of_em_make_the_same_predictions(case):
    """Attributes and predictions belong to the experts whose numbers are changed."""
    moe = fitted_case(case)
    state, mixture, y = moe._training_state, moe._fitted, CASES[case][1]
    order = np.array(state.numbering)
    original = reorder_params(mixture.model, mixture.params, np.argsort(order))
    within = mixture._replace(params=original)
    rows = moe._validate_rows(X, y)
    assert_allclose(within.predict(X), mixture.predict(X), rtol=1e-9, atol=1e-12)
    assert_array_equal(within.predict_experts(X)[order], mixture.predict_experts(X))
    assert_allclose(within.log_gate(X)[order], mixture.log_gate(X), rtol=1e-9, atol=1e-9)
    assert_allclose(within.log_density(rows), mixture.log_density(rows), rtol=1e-9)


SAME_OPTIMUM = ["linear-regressor", "linear-classifier", "poisson-regressor", "constant gate"]


@pytest.mark.parametrize("case", SAME_OPTIMUM)
def test_other_seeds_that_reach_the_optimum_give_the_same_numbers(case):
    fits = [
        fitted(case, random_state=seed, n_init=1, init="random", tol=1e-9, max_iter=2000)
        for seed in range(6)
    ]
    best = max(fits, key=lambda moe: moe.lower_bound_)
    same = [moe for moe in fits if moe.lower_bound_ > best.lower_bound_ - 1e-6]
    numbers_of_em = {moe._training_state.numbering for moe in same}
    assert len(numbers_of_em) > 1, "all starts have the same numbers, so that nothing is tested"
    for moe in same:
        assert_allclose(moe.weights_, best.weights_, atol=1e-3)
        assert_allclose(moe.expert_coef_, best.expert_coef_, atol=2e-2)
        assert_allclose(moe.gate_intercept_, best.gate_intercept_, atol=0.1)


def test_mirror_images_are_numbered_by_their_parameters():
    x = np.linspace(-3, 3, 200)[:, None]
    slopes = set()
    for seed in range(4):
        moe = regressor(n_experts=2, random_state=seed, n_init=1, init="random")
        slopes.add(tuple(np.sign(moe.fit(x, 1 - np.abs(x[:, 0])).expert_coef_[:, 0])))
        assert_allclose(moe.weights_, 0.5, atol=1e-4)
    assert len(slopes) == 1


def test_equal_shares_are_ordered_by_the_values_that_differ_most():
    model = MixtureModel(SoftmaxGate(), LinearExperts(), 4)
    params = model.experts.init_params(4, 2)
    coef = np.array([[[1e-9, 1.0]], [[-1e-9, 3.0]], [[2e-9, 2.0]], [[0.0, 9.0]]])
    params = Params(SoftmaxGate().init_params(4, 2), params._replace(coef=coef))
    share = np.array([0.3, 0.3 * (1 + 0.5 * SHARE_RTOL), 0.3 * (1 - 0.5 * SHARE_RTOL), 0.1])
    assert order_by_share(model, params, share).tolist() == [1, 2, 0, 3]
    share = np.array([0.2, 0.3, 0.4, 0.1])
    assert order_by_share(model, params, share).tolist() == [2, 1, 0, 3]
    assert order_by_share(model, params, np.zeros(4)).tolist() == [3, 1, 2, 0]


def test_streamed_rows_give_the_same_numbers():
    in_memory = regressor(init="random", n_init=1).fit(X, Y)
    blocks = RowBlocks(lambda: ((X[i : i + 100], Y[i : i + 100]) for i in range(0, N_ROWS, 100)))
    streamed = regressor(init="random", n_init=1).fit(blocks)
    assert_allclose(streamed.weights_, in_memory.weights_, atol=1e-3)
    assert_descending(streamed.weights_[None])


# --- the order of the user ---------------------------------------------------------------------


def test_lists_keep_their_order():
    moe = quiet(regressor(expert=["tree", "linear", Ridge()], max_iter=5), X, Y)
    kinds = [type(models[0]).__name__ for models in moe.experts_]
    assert kinds[0] == "DecisionTreeRegressor"
    assert "Ridge" in repr(moe.experts_[2][0])
    families = ["uniform", "normal", "student_t"]
    moe = quiet(regressor(family=families), X, Y)
    assert [family.name for family in moe.families_] == families
    assert moe.weights_[0] < moe.weights_[1:].max()  # by its share it would not be the first


def test_members_keep_their_order():
    members = [Ridge(alpha=1e6), MixtureOfExpertsRegressor(3, n_init=1, random_state=0)]
    moe = quiet(regressor(n_experts=2, expert=members, specialize=False), X, Y)
    assert moe.weights_[0] < moe.weights_[1]
    assert isinstance(moe.experts_[0][0], Ridge)


def test_initial_responsibilities_keep_their_order():
    side = X[:, 0] < -0.85
    init = np.column_stack([side, ~side]).astype(float)
    moe = regressor(n_experts=2, init=init).fit(X, Y)
    assert moe.weights_[0] < 0.4
    assert moe.apply(X)[side].mean() < 0.1


class UnorderedGate(SoftmaxGate):
    """A gate that does not tell how its parameters are reordered."""

    reorder = None


def test_parts_that_cannot_be_reordered_keep_the_numbers_of_em():
    moes = [
        regressor(gate=gate, random_state=3).fit(X, Y) for gate in (SoftmaxGate(), UnorderedGate())
    ]
    ordered, unordered = moes
    order = np.array(ordered._training_state.numbering)
    assert order.tolist() != [0, 1, 2], "the numbers are the same, so that nothing is tested"
    assert unordered._training_state.numbering is None
    assert_array_equal(unordered.expert_coef_[order], ordered.expert_coef_)
    averages = [
        regressor(gate=gate, combine="average").fit(X, Y)
        for gate in (SoftmaxGate(), UnorderedGate())
    ]
    assert averages[1]._training_state.numbering is None
    assert_allclose(averages[1].predict(X), averages[0].predict(X))


# --- the order of the fit that is continued ------------------------------------------------------

CONTINUED = ["linear-regressor", "linear-classifier", "poisson-regressor", "constant gate", "units"]


def em_params(moe):
    """Parameters in the numbers of EM, as one array."""
    order = np.argsort(moe._training_state.numbering)
    params = reorder_params(moe._fitted.model, moe._fitted.params, order)
    return np.concatenate([array.ravel() for part in params for array in part])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", CONTINUED)
def test_a_warm_start_continues_bit_for_bit_and_keeps_the_numbers(case):
    options = {"n_init": 1, "init": "random", "tol": 0.0, "random_state": 1}
    whole = fitted(case, max_iter=40, **options)
    moe = fitted(case, max_iter=23, **options)
    before = moe._training_state.numbering
    _, y, given = CASES[case]
    quiet(moe.set_params(warm_start=True, max_iter=17), X, y, **given)
    assert moe._training_state.numbering == before
    assert_array_equal(em_params(moe), em_params(whole))


@pytest.mark.parametrize(
    "restored",
    [
        lambda moe: pickle.loads(pickle.dumps(moe)),
        lambda moe: type(moe).from_dict(json.loads(json.dumps(moe.to_dict()))),
    ],
)
def test_saved_fits_continue_as_the_fit_itself(restored):
    options = {"tol": 1e-3, "warm_start": True, "random_state": 1, "init": "random"}
    moe = fitted("linear-regressor", **options)
    again = restored(moe)
    assert again._training_state.numbering == moe._training_state.numbering != (0, 1, 2)
    for estimator in (again, moe):
        estimator.set_params(tol=1e-8).fit(X, Y)
    assert_array_equal(again.expert_coef_, moe.expert_coef_)


@pytest.mark.parametrize("numbers", [(0, 0, 1), (0, 1), (1, 2, 3), (0, 1, "2")])
def test_numbers_of_a_damaged_document_are_refused(numbers):
    document = fitted("linear-regressor").to_dict()
    state = document["attributes"]["_training_state"]
    state["numbering"] = {"type": "tuple", "values": list(numbers)}
    content = {key: value for key, value in document.items() if key != "checksum"}
    with pytest.raises(ValueError, match=r"no permutation|_training_state is of another type"):
        MixtureOfExpertsRegressor.from_dict(content | {"checksum": checksum(content)})


def test_numbers_stay_when_shares_change():
    """A warm start and a stream on rows of which the smallest regime has become the largest."""
    moe = fitted("linear-regressor", warm_start=True)
    smallest = X[:, 0] < -0.85
    weight = np.where(smallest, 20.0, 1.0)
    again = clone(moe).set_params(warm_start=True).fit(X, Y)
    again.fit(X, Y, sample_weight=weight)
    assert again.weights_.argmax() == 2
    assert_allclose(again.expert_coef_, moe.expert_coef_, atol=0.1)
    anew = clone(moe).set_params(warm_start=False).fit(X, Y, sample_weight=weight)
    assert anew.weights_.argmax() == 0
    stream = pickle.loads(pickle.dumps(moe)).partial_fit(X[smallest], Y[smallest])
    assert stream.weights_.argmax() == 2
    assert_allclose(stream.expert_coef_, moe.expert_coef_, atol=0.5)


def test_warm_starts_of_trees_are_those_of_the_numbers_of_em(monkeypatch):
    rows, y = steps(N_ROWS)
    options = {"n_experts": 2, "max_iter": 8, "n_init": 1, "random_state": 1}

    def fits():
        """A fit, one that continues it with stored predictions, and one on other rows."""
        moe = quiet(regressor(expert="tree", warm_start=True, **options), rows, y)
        first, same = pickle.loads(pickle.dumps(moe)), pickle.loads(pickle.dumps(moe))
        return first, quiet(same, rows, y), quiet(moe, rows[:-1], y[:-1])

    ordered = fits()
    assert ordered[0]._training_state.numbering == (1, 0)
    monkeypatch.setattr(numbering, "can_be_reordered", lambda model: False)
    for moe, of_em in zip(ordered, fits(), strict=True):
        assert of_em._training_state.numbering is None
        assert_array_equal(moe.predict_experts(rows), of_em.predict_experts(rows)[:, ::-1])
        assert_allclose(moe.weights_, of_em.weights_[::-1], rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("expert", ["linear", "tree"])
def test_a_fit_from_a_checkpoint_is_numbered_at_its_end(expert, tmp_path):
    options = {"expert": expert, "n_init": 1, "init": "random", "tol": 0.0, "random_state": 3}
    moe = regressor(**options, max_iter=40)
    every = 15 if expert == "tree" else 10
    whole = quiet_fit(clone(moe), tmp_path / "whole", every)
    assert_descending(whole.weights_[None])
    if expert == "linear":
        assert_array_equal(whole.expert_coef_, quiet(clone(moe), X, Y).expert_coef_)
    quiet_fit(clone(moe).set_params(max_iter=20), tmp_path / "parts", every)
    resumed = quiet_fit(clone(moe), tmp_path / "parts", every)
    assert_descending(resumed.weights_[None])
    assert_array_equal(load_checkpoint(tmp_path / "parts").weights_, resumed.weights_)
    if expert == "linear":
        assert_array_equal(resumed.expert_coef_, whole.expert_coef_)


def quiet_fit(moe, path, every):
    return fit_with_checkpoints(moe, X, Y, path=path, every=every)


@pytest.mark.parametrize(
    ("family", "is_matched"), [("poisson", True), (["poisson", "negative_binomial"], False)]
)
def test_streams_match_experts_of_one_family_only(family, is_matched, monkeypatch):
    """After a new initialisation the experts of a list are those of their families already."""
    calls, match = [], partial_fit._match_experts

    def recorded(*args):
        calls.append(args)
        return match(*args)

    monkeypatch.setattr(partial_fit, "_match_experts", recorded)
    moe, y = regressor(n_experts=2, family=family, n_init=1), target_of("poisson")
    for rows in (slice(0, 60), slice(60, N_ROWS)):  # the rows have doubled
        moe.partial_fit(X[rows], y[rows])
    assert bool(calls) == is_matched
