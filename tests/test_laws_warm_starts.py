"""What a warm start keeps of the previous fit, and when."""

import copy

import numpy as np
import pytest
from cases import X, Y, fitted_case, regressor
from scipy import sparse
from sklearn.linear_model import Ridge

from skmoe._data.scaling import Standardization
from skmoe._estimators.training_data import GivenRows, validate_training_data
from skmoe._estimators.warm_start import (
    SAME_MOMENTS_RTOL,
    CrossFitCache,
    PreviousFit,
    TrainingState,
    cache_key,
    cached_fit,
    check_same_rows,
    fitted_attributes,
    previous_fit,
)

# --- out-of-fold predictions ------------------------------------------------------------------


def key_of(changes=None, **options):
    """The digest for a fit with options, of data with changes."""
    moe = regressor(**{"expert": Ridge(), "n_experts": 2} | options)
    params = moe._validate_parameters()
    data = validate_training_data(moe, params, GivenRows(X, Y))
    given = {"y": Y[None], "weight": np.ones(len(Y))}
    changes = changes or {}
    data = data._replace(**{name: changes[name] for name in changes if name not in given})
    given |= {name: changes[name] for name in changes if name in given}
    return cache_key(params, data, given["y"], given["weight"])


@pytest.mark.parametrize(
    "changes",
    [
        {"X": X + 1.0},
        {"X": sparse.csr_array(X)},
        {"y": 2.0 * Y[None]},
        {"weight": np.full(len(Y), 2.0)},
        {"offset": np.ones(len(Y))},
        {"groups": np.arange(len(Y))},
        {"units": np.arange(len(Y))},
        {"metadata": {"extra": Y}},
    ],
    ids=lambda changes: "".join(changes),
)
def test_other_data_are_fitted_again(changes):
    assert key_of() != key_of(changes)


def test_other_experts_are_fitted_again_and_other_gates_use_the_same():
    kept = {"gate_features": [0]}, {"gate_alpha": 3.0}, {"max_iter": 7}, {"gate": "constant"}
    for options in kept:
        assert key_of(**options) == key_of()
    others = {"expert_features": [0]}, {"expert": Ridge(2.0)}, {"cross_fit": 3}, {"expert": "tree"}
    keys = [key_of(**options) for options in others]
    assert len({*keys, key_of()}) == len(keys) + 1


def test_sparse_features_have_the_digest_of_their_numbers():
    one, other = sparse.csr_array(X), sparse.csr_array(X)
    assert other.has_sorted_indices  # which is remembered by the matrix
    assert key_of({"X": one}) == key_of({"X": other})
    other.data[5] += 1.0
    assert key_of({"X": one}) != key_of({"X": other})
    moved = sparse.csr_array((one.data, one.indices[::-1].copy(), one.indptr), shape=one.shape)
    wider = sparse.csr_array((one.data, one.indices, one.indptr), shape=(len(Y), 3))
    assert len({key_of({"X": features}) for features in (one, moved, wider)}) == 3


def test_experts_that_cannot_be_compared_have_no_digest():
    estimator = Ridge()
    estimator.function = lambda: None
    moe = regressor(expert=Ridge(), n_experts=2)
    params = moe._validate_parameters()
    data = validate_training_data(moe, params, GivenRows(X, Y))
    params = params._replace(estimators=[estimator])
    assert cache_key(params, data, Y[None], np.ones(len(Y))) is None


def test_a_cache_is_used_for_its_own_key():
    moe = fitted_case("two experts")
    cache = CrossFitCache("key", None, moe._fitted.params)
    with_cache, without = (
        PreviousFit(moe._fitted, TrainingState(cross_fit_cache=kept), None, None, True)
        for kept in (cache, None)
    )
    assert cached_fit(with_cache, "key") is cache
    for previous, key in ((with_cache, "other"), (with_cache, None), (without, "key")):
        assert cached_fit(previous, key) is None
    assert cached_fit(None, "key") is None
    unknown = with_cache._replace(
        training_state=TrainingState(cross_fit_cache=cache._replace(key=None))
    )
    assert cached_fit(unknown, None) is None


# --- the previous fit -------------------------------------------------------------------------


def test_a_previous_fit_is_one_that_a_warm_start_continues():
    moe = copy.copy(fitted_case("two experts"))
    assert previous_fit(moe, False) is None
    assert previous_fit(regressor(), True) is None
    found = previous_fit(moe, True)
    assert found.fitted is moe._fitted
    assert found.training_state is moe._training_state
    assert found.classes is None
    assert found.expert_names is None
    named = moe.set_expert_names(["a", "b"])
    assert previous_fit(named, True).expert_names == ("a", "b")
    labelled = fitted_case("linear-classifier")
    assert previous_fit(labelled, True).classes is labelled.classes_


def test_fitted_attributes_are_public_ones_and_the_state():
    moe = copy.copy(fitted_case("two experts"))
    moe._private_, moe.other, moe._ = 1, 2, 3
    found = fitted_attributes(moe)
    public = {name for name in vars(moe) if name.endswith("_") and not name.startswith("_")}
    assert set(found) == public | {"_fitted", "_training_state", "_single_output"}
    assert all(found[name] is vars(moe)[name] for name in found)


# --- rows in blocks ---------------------------------------------------------------------------

CENTER, SCALE = np.array([1.0, -50.0, 3.0]), np.array([2.0, 10.0, np.inf])


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rows_have_the_same_moments_up_to_round_off(column, sign):
    known = Standardization(CENTER, SCALE)
    unit = SCALE[column] if np.isfinite(SCALE[column]) else 1.0 + abs(CENTER[column])
    for factor, is_same in ((0.5, True), (2.0, False)):
        step = np.zeros(3)
        step[column] = sign * factor * SAME_MOMENTS_RTOL * unit
        moved = [Standardization(CENTER + step, SCALE)]
        if np.isfinite(SCALE[column]):
            moved.append(Standardization(CENTER, SCALE + step))
        for other in moved:
            if is_same:
                check_same_rows(known, other)
            else:
                with pytest.raises(ValueError, match="fit of the same rows"):
                    check_same_rows(known, other)


def test_constant_columns_stay_constant():
    known = Standardization(CENTER, SCALE)
    varies, fixed = SCALE.copy(), SCALE.copy()
    varies[2], fixed[0] = 1e6, np.inf
    for scale in (varies, fixed):
        for pair in (
            (known, Standardization(CENTER, scale)),
            (Standardization(CENTER, scale), known),
        ):
            with pytest.raises(ValueError, match="fit of the same rows"):
                check_same_rows(*pair)


def test_moments_that_are_not_known_are_not_compared():
    known = Standardization(CENTER, SCALE)
    fewer = Standardization(CENTER[:2] + 5.0, SCALE[:2])
    for pair in ((None, known), (known, None), (None, None), (known, fewer), (fewer, known)):
        check_same_rows(*pair)
