"""What is tried when: splits of experts, new starts of streams, samples for the initialisation."""

import warnings

import numpy as np
import pandas as pd
import pytest
from kinds import KINDS, draw, options_of
from numpy.testing import assert_allclose
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset
from skmoe._estimators import init_rows, n_experts_selection, partial_fit, row_buffer
from skmoe._estimators.n_experts_selection import IncrementalFitter
from skmoe._estimators.selection_data import SelectionData
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import MIN_INTERVAL, fit_with_checkpoints


def table(kind, n_rows=300):
    X, y = two_regimes(n_rows) if kind is MixtureOfExpertsRegressor else flipping_classes(n_rows)
    return X, y, np.random.default_rng(0).uniform(0.2, 3.0, size=n_rows)


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
@pytest.mark.parametrize("number", [3, 4])
def test_a_trial_splits_the_experts_that_explain_worst(kind, number, monkeypatch):
    X, y, weight = table(kind)
    fitter = IncrementalFitter(
        kind(random_state=0), SelectionData(X, y, weight, {}), np.arange(300), 0
    )
    before = fitter.fit(2)
    resp, log_density = before.responsibilities(X, y), before.score_samples(X, y)
    starts = []
    fit = fitter._fit

    def spy(data, weight, number, init=None, **options):
        starts.append(init)
        return fit(data, weight, number, init, **options)

    monkeypatch.setattr(fitter, "_fit", spy)
    assert fitter.fit(number).n_experts_ == number
    init = starts[-1]
    assert_allclose(init.sum(axis=1), 1.0)
    quantile = np.quantile(log_density, n_experts_selection.REFERENCE_QUANTILE)
    missing = (weight * np.maximum(quantile - log_density, 0.0)) @ resp
    split = np.argsort(-missing)[: number - 2]
    # Two experts share what the one had; the others have what they had.
    for k in range(2):
        own = init[:, k] + sum(init[:, 2 + i] for i, one in enumerate(split) if one == k)
        assert_allclose(own, resp[:, k], atol=1e-9)
    for i in range(len(split)):
        assert 0.0 < weight @ init[:, 2 + i] < weight @ resp[:, split[i]]


def test_the_sample_of_an_initialisation_grows_with_the_coefficients(monkeypatch):
    design, weight = np.ones((10, 4)), np.ones(10)
    rows = Dataset(design, np.ones((10, 3)), np.ones((2, 10)), weight)
    n_coefficients = 5 * (4 + 2 * 3)
    monkeypatch.setattr(init_rows, "MIN_INIT_ROWS", 1)
    found = init_rows._init_sample_size(rows, np.ones((2, 10)), 5)
    assert found == init_rows.INIT_ROWS_PER_COEFFICIENT * n_coefficients
    monkeypatch.setattr(init_rows, "MIN_INIT_ROWS", 5_000)
    assert init_rows._init_sample_size(rows, np.ones((2, 10)), 5) == 5_000
    assert init_rows._init_sample_size(rows, np.ones((2, 10)), 10**6) == init_rows.MAX_INIT_ROWS


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_young_streams_start_again_when_their_rows_have_doubled(kind, container, monkeypatch):
    monkeypatch.setattr(row_buffer, "N_BUFFERED_ROWS", 1_300)
    X, y, _ = table(kind, 2_000)
    X[:, 1:] = np.where(np.abs(X[:, 1:]) < 0.2, 0.0, X[:, 1:])
    sizes = []
    start = partial_fit._initialize

    def spy(validation_copy, params, data, *args, **options):
        rows = data[0].toarray() if sparse.issparse(data[0]) else data[0]
        # Sparse rows may have another order.
        assert_allclose(np.sort(rows, axis=0), np.sort(X[: len(rows)], axis=0))
        sizes.append(len(rows))
        return start(validation_copy, params, data, *args, **options)

    monkeypatch.setattr(partial_fit, "_initialize", spy)
    moe = kind(2, n_init=1, random_state=0)
    options = {"classes": [0, 1]} if kind is MixtureOfExpertsClassifier else {}
    for begin in range(0, 2_000, 100):
        rows = slice(begin, begin + 100)
        moe.partial_fit(container(X[rows]), y[rows], **options)
    assert sizes == [100, 200, 400, 800, 1_300]


def test_streams_are_silent(capsys):
    X, y = two_regimes(600)
    moe = MixtureOfExpertsRegressor(2, random_state=0)
    for begin in range(0, 600, 200):
        moe.partial_fit(X[begin : begin + 200], y[begin : begin + 200])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_experts_of_a_bootstrap_of_a_frame_may_have_no_columns(kind):
    X, y, _ = table(kind, 150)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    moe = quiet(kind(2, random_state=0, n_init=1, expert_features=[]), frame, y)
    found = moe.inference(frame, y, method="bootstrap", n_bootstrap=3, random_state=0)
    assert found.replicates.shape == (3, len(found.terms))
    own = {part for part, _, name in found.terms if name in frame.columns}
    assert own == {"gate"}


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
@pytest.mark.parametrize("expert", ["linear", "tree"])
def test_fits_with_checkpoints_end_at_max_iter(kind, expert, tmp_path):
    X, y, _ = table(kind, 150)
    most = MIN_INTERVAL + 3
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    moe = kind(2, expert=expert, max_iter=most, tol=0.0, n_init=1, **fixed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_with_checkpoints(moe, X, y, path=tmp_path / "fit.joblib", every=MIN_INTERVAL)
    assert moe.n_iter_ == len(moe.lower_bounds_) <= most
    assert moe.max_iter == most
    if expert == "tree":
        assert moe.n_iter_ == most


def test_the_noise_prior_of_a_stream_is_in_units_of_y(monkeypatch):
    monkeypatch.setattr(partial_fit, "MIN_REINITIALIZATION_GAIN", np.inf)  # goes on as it began
    X, y = two_regimes(400)
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1)
    priors = []
    for rows, factor in ((slice(0, 200), 1.0), (slice(200, 400), 30.0)):
        moe.partial_fit(X[rows], factor * y[rows])
        scale = moe._fitted.preprocessor.target_scaling.scale
        priors.append(np.array(moe._fitted.model.experts.noise_variance) * scale**2)
        assert scale > 10.0 or factor == 1.0
    assert_allclose(priors[1], priors[0])


@pytest.mark.parametrize("with_units", [False, True])
def test_experts_of_a_new_start_are_matched_by_the_weight_of_their_rows(with_units, monkeypatch):
    """Each unit counts once: its responsibilities are those of all of its rows."""
    X, y = two_regimes(400)
    weight = np.random.default_rng(0).uniform(0.5, 3.0, size=400)
    units = np.arange(400) // 2
    compared, match = [], partial_fit._match_experts

    def spy(params, resp, previous):
        compared.append((resp, previous))
        return match(params, resp, previous)

    monkeypatch.setattr(partial_fit, "_match_experts", spy)
    moe = MixtureOfExpertsRegressor(2, gate="constant", n_init=1, random_state=0)
    for rows in (slice(0, 100), slice(100, 400)):
        given = {"units": units[rows]} if with_units else {}
        moe.partial_fit(X[rows], y[rows], sample_weight=weight[rows], **given)
    assert compared
    for resp in compared[-1]:
        expected = np.ones(200) if with_units else weight
        assert_allclose(np.sort(resp.sum(axis=0) ** 2), np.sort(expected))


@pytest.mark.parametrize("expert", ["linear", "tree"])
@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_the_rows_of_an_initialisation_are_a_sample_that_weighs_as_all(kind, expert, monkeypatch):
    """As many as coefficients need, or as are allowed for estimators, which have none."""
    n_rows, n_most = 400, 150
    X, y, weight = table(kind, n_rows)
    monkeypatch.setattr(init_rows, "MIN_INIT_ROWS", 10)
    monkeypatch.setattr(init_rows, "MAX_INIT_ROWS", n_most)
    monkeypatch.setattr(init_rows, "INIT_ROWS_PER_COEFFICIENT", 2)
    made, make = [], init_rows.make_init_data

    def spy(rows, targets, design, **options):
        made.append((rows, targets, design, options))
        return make(rows, targets, design, **options)

    monkeypatch.setattr(init_rows, "make_init_data", spy)
    moe = kind(2, expert=expert, n_init=1, max_iter=2, random_state=0)
    quiet(moe, X, y, sample_weight=weight)
    rows, targets, _, options = made[-1]
    n_targets = len(targets)
    wanted = 2 * 2 * (4 + n_targets * 4)  # of gate and experts, with their intercepts
    assert len(rows.weight) == (n_most if expert == "tree" else wanted)
    assert_allclose(rows.weight.sum(), weight.sum())
    assert targets.shape[1] == len(rows.weight)
    assert options == {"signed": kind is MixtureOfExpertsRegressor}
    if kind is MixtureOfExpertsRegressor:
        assert np.corrcoef(targets[0], rows.y[0])[0, 1] > 0.999


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_fits_of_blocks_go_on_from_a_checkpoint(name, task, tmp_path):
    """The scaling of the target is that of the fit, which is none for most families."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = rng.integers(2, size=120)
    if task == "regressor":
        y = draw("normal" if name == "linear" else name, np.abs(X[:, 0]) - 0.2, rng)
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    moe = kind(2, n_init=1, tol=0.0, random_state=0, alpha=0.1, gate_alpha=1.0, **options_of(name))
    arguments = {"path": tmp_path / "fit.joblib", "every": 4}
    blocks, n_iter = RowBlocks.from_arrays(X, y), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for max_iter in (4, 8):
            moe.set_params(max_iter=max_iter)
            n_iter.append(fit_with_checkpoints(moe, blocks, **arguments).n_iter_)
    assert n_iter == [4, 8]
