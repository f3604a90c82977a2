"""Arguments of methods reach what uses them."""

from itertools import permutations
from typing import NamedTuple

import numpy as np
import pytest
from cases import X, target_of
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.utils import get_tags

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.training_data import GivenRows, validate_training_data
from skmoe._estimators.unit_rows import sort_by_unit
from skmoe.model_selection import n_experts_test
from skmoe.protocols import Experts, Gate

POSITIVE = target_of("gamma")
OFFSET = 0.5 * X[:, 1]


# --- options of parts -------------------------------------------------------------------------


class Means(NamedTuple):
    """Parameters of a family."""

    mean: np.ndarray
    scale: np.ndarray


def plain_part(kind, **methods):
    """A part that is no dataclass, with some methods."""
    others = dict.fromkeys(kind.__abstractmethods__, lambda self, *given: None)
    return type("Plain", (kind,), others | methods)()


@pytest.mark.parametrize("kind", [Experts, Gate])
def test_parts_that_are_no_dataclasses_ignore_all_options(kind):
    part = plain_part(kind)
    assert part.with_options({"alpha": 2.0, "dispersion_prior": 1.0}) is part


def test_families_are_as_they_are_unless_they_say_otherwise():
    means = np.arange(24.0).reshape(2, 3, 4)
    part = plain_part(Experts, mean=lambda self, params, design: params - design)
    for k in range(2):
        assert_array_equal(part.mean_of(2.0 * means, k, 3.0), 2.0 * means[k] - 3.0)
        assert_array_equal(part.mean_of(means, k, np.ones(4)), means[k] - 1.0)
    assert part.with_estimates({"noise_variance": (1.0,)}) is part
    assert part.estimates == {}


def test_families_of_a_single_fit_are_those_of_the_fit():
    part, params = plain_part(Experts), Means(np.arange(6.0).reshape(2, 3), np.ones(2))
    same, joined = part.concatenate([params])
    assert same is part
    assert isinstance(joined, Means)
    for values, own in zip(joined, params, strict=True):
        assert_array_equal(values, own)
    assert part.example_target(np.random.default_rng(0), 5).shape == (1, 5)


# --- offsets ----------------------------------------------------------------------------------


def test_the_prediction_that_is_scored_without_a_target_has_the_offset():
    moe = MixtureOfExpertsRegressor(2, family="gamma", n_init=1, max_iter=10, random_state=0)
    moe = quiet(moe, X, POSITIVE, offset=OFFSET)
    with pytest.warns(UserWarning, match="without y"):
        scores = moe.score_samples(X, offset=OFFSET)
    predicted = moe.predict(X, offset=OFFSET)
    assert np.isfinite(scores).all()
    assert not np.allclose(predicted, moe.predict(X))
    assert_array_equal(scores, moe.score_samples(X, predicted, OFFSET))


# --- what estimators say of themselves --------------------------------------------------------


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_estimators_say_whether_they_take_several_outputs(kind):
    moe, outputs = kind(2, n_init=1, max_iter=2), np.column_stack([X[:, 0] > 0, X[:, 1] > 0])
    if get_tags(moe).target_tags.multi_output:
        assert quiet(moe, X, outputs.astype(float)).predict(X).shape == outputs.shape
    else:
        with pytest.raises(ValueError, match="y"):
            moe.fit(X, outputs)
    assert get_tags(moe).target_tags.multi_output == (kind is MixtureOfExpertsRegressor)


# --- units ------------------------------------------------------------------------------------


def test_the_first_row_of_a_unit_stays_its_first_with_all_its_outputs():
    """Rows of a unit have the same features, and differ in one of two outputs."""
    moe = MixtureOfExpertsRegressor(2, gate_aggregate="first")
    orders = list(permutations([(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]))
    outputs, units = np.concatenate(orders), np.repeat(np.arange(6), 3)
    given = GivenRows(np.zeros((18, 1)), outputs, np.arange(1.0, 19.0), units=units)
    params = moe._validate_parameters()
    data = validate_training_data(moe, params, given)
    index, weight, codes = sort_by_unit(params, data, merge=False)
    assert_array_equal(index[np.unique(codes, return_index=True)[1]], range(0, 18, 3))
    assert_array_equal(weight, index + 1.0)
    assert_array_equal(units[index], codes)


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_estimators_say_which_features_they_take(kind):
    moe, y = kind(2, n_init=1, max_iter=2), (X[:, 1] > 0).astype(int)
    assert get_tags(moe).input_tags.sparse
    assert_allclose(
        quiet(moe, sparse.csr_array(X), y).predict_gate(X),
        quiet(clone(moe), X, y).predict_gate(X),
        atol=1e-6,
    )
    missing = np.where(X > 2.0, np.nan, X)
    for expert, takes in (("linear", False), ("tree", True)):
        moe.set_params(expert=expert)
        assert get_tags(moe).input_tags.allow_nan == takes
        if takes:
            assert np.isfinite(quiet(moe, missing, y).predict_gate(missing)).all()
        else:
            with pytest.raises(ValueError, match="NaN"):
                moe.fit(missing, y)


def test_named_experts_have_no_routing_of_their_own():
    for expert, names in (
        ("linear", set()),
        (["linear", "tree"], set()),
        (Ridge(), {"expert"}),
        (["tree", Ridge()], {"expert_1"}),
    ):
        router = MixtureOfExpertsRegressor(2, expert=expert).get_metadata_routing()
        assert {name for name, _ in router} - {"$self_request"} == names


# --- the test of the number of experts --------------------------------------------------------


def test_all_bootstrap_samples_are_drawn_in_silence_unless_the_user_wants_it_otherwise(capsys):
    moe = MixtureOfExpertsRegressor(1, n_init=1)
    rows, y = X[:40], X[:40, 0] + np.random.default_rng(0).normal(size=40)
    options = {"n_bootstrap": 4, "random_state": 0}
    every = n_experts_test(moe, rows, y, n_exceedances=None, **options)
    assert len(every.replicates) == 4
    assert capsys.readouterr().out == ""
    few = n_experts_test(moe, rows, y, n_exceedances=1, verbose=1, **options)
    n_drawn = len(few.replicates)
    assert_array_equal(few.replicates, every.replicates[:n_drawn])
    assert (every.replicates[: n_drawn - 1] < every.statistic).all()
    assert n_drawn == 4 or every.replicates[n_drawn - 1] >= every.statistic
    assert len(capsys.readouterr().out.splitlines()) >= 1
