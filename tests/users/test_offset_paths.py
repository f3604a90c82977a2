"""Offsets in blocks, memory maps, streams, displays, pipelines and searches."""

from functools import cache

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.fixes import parse_version

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.inspection import CalibrationDisplay, ExpertsDisplay, ResponsibilitiesDisplay
from skmoe.metrics import log_density_scorer
from support.fits import fit_quietly

N = 600
X = np.random.default_rng(0).uniform(-2, 2, size=(N, 2))
EXPOSURE = np.random.default_rng(1).uniform(0.05, 4.0, size=N)
OFFSET = np.log(EXPOSURE)
Y = np.random.default_rng(2).poisson(EXPOSURE * np.exp(0.5 + np.abs(X[:, 0])))
WEIGHT = np.random.default_rng(5).integers(0, 3, size=N).astype(float)
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10, random_state=0)


def mixture(n_experts=2, **options):
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0, "tol": 1e-10}
    return MixtureOfExpertsRegressor(n_experts, family="poisson", **fixed | options)


@cache
def fitted(weighted=False):
    """A fit in memory, which tests read only."""
    return mixture().fit(X, Y, sample_weight=WEIGHT if weighted else None, offset=OFFSET)


def assert_same_fit(one, other):
    orders = [np.argsort(moe.expert_coef_[:, 0]) for moe in (one, other)]
    for name in ("expert_coef_", "expert_intercept_"):
        values = [getattr(moe, name)[i] for moe, i in zip((one, other), orders, strict=True)]
        assert_allclose(*values, atol=1e-5, err_msg=name)
    assert_allclose(one.lower_bound_, other.lower_bound_, atol=1e-5)


# --- rows that are not in memory ----------------------------------------------------------------


def row_blocks():
    for rows in np.array_split(np.arange(N), 3):
        yield X[rows], Y[rows], WEIGHT[rows], OFFSET[rows]


@pytest.mark.parametrize("weighted", [True, False])
def test_row_blocks_equal_the_table(weighted):
    blocks = RowBlocks(row_blocks)
    if not weighted:
        blocks = RowBlocks.from_arrays(X, Y, offset=OFFSET)
    assert_same_fit(mixture().fit(blocks), fitted(weighted))


def test_memory_maps_are_read_with_their_offset(tmp_path):
    rows = np.resize(np.arange(N), 21_000)  # more than are read at once
    for name, values in {"X": X[rows], "y": Y[rows], "offset": OFFSET[rows]}.items():
        np.save(tmp_path / f"{name}.npy", values)
    maps = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("X", "y", "offset")}
    moe = mixture(1, tol=1e-12).fit(**maps)
    whole = mixture(1, tol=1e-12).fit(X[rows], Y[rows], offset=OFFSET[rows])
    assert_allclose(moe.expert_coef_, whole.expert_coef_, atol=1e-6)


# --- streams ------------------------------------------------------------------------------------


def test_streams_learn_rates():
    rng = np.random.default_rng(6)
    stream = mixture()
    for i in range(30):
        table, exposure = rng.uniform(-2, 2, size=(200, 2)), rng.uniform(0.05, 4.0, size=200)
        # Some batches are counted in units of exposure, and have no offset.
        exposure = np.ones(200) if i % 5 == 4 else exposure
        y = rng.poisson(exposure * np.exp(0.5 + np.abs(table[:, 0])))
        stream.partial_fit(table, y, offset=None if i % 5 == 4 else np.log(exposure))
    assert_allclose(np.sort(stream.expert_coef_[:, 0]), [-1.0, 1.0], atol=0.1)
    assert_allclose(stream.expert_intercept_, 0.5, atol=0.15)
    after_fit = clone(fitted()).fit(X, Y, offset=OFFSET).partial_fit(table, y)
    assert_allclose(np.sort(after_fit.expert_coef_[:, 0]), [-1.0, 1.0], atol=0.12)


def test_young_streams_tell_equal_rows_of_different_exposure():
    """A stream that still keeps all its rows is the fit to them."""
    table, y = np.repeat(X[:30], 2, axis=0), np.repeat(Y[:30], 2)
    offset = np.log(np.tile([0.5, 2.0], 30))
    stream = mixture(1)
    for _ in range(2):
        stream.partial_fit(table, y, offset=offset)
    whole = mixture(1).fit(table, y, sample_weight=np.full(60, 2.0), offset=offset)
    assert_allclose(
        stream.predict(table, offset=offset), whole.predict(table, offset=offset), rtol=1e-4
    )


# --- displays, pipelines, searches --------------------------------------------------------------


def test_displays_take_the_offset():
    pytest.importorskip("matplotlib").use("agg")
    moe = fitted()
    resp = moe.responsibilities(X, Y, offset=OFFSET)
    display = ResponsibilitiesDisplay.from_estimator(moe, X, Y, offset=OFFSET)
    assert_allclose(display.responsibilities, resp)
    calibration = CalibrationDisplay.from_estimator(moe, X, Y, offset=OFFSET)
    levels = np.linspace(0, 1, len(calibration.coverage))
    assert np.abs(calibration.coverage - levels).max() < 0.1
    experts = ExpertsDisplay.from_estimator(moe, X, Y, offset=OFFSET, adjust=False)
    assert_allclose(experts.y, Y / EXPOSURE)
    assert (experts.assigned_expert == resp.argmax(axis=1)).all()
    assert experts.target_name == "y per unit of exposure"


@pytest.mark.parametrize(
    ("options", "name", "values"),
    [
        ({"tol": 1e-6}, "n_experts", [1, 2]),
        ({"expert": TREE, "max_iter": 5}, "expert__max_leaf_nodes", [2, 6]),
    ],
    ids=["linear", "tree"],
)
def test_metadata_routing_in_a_pipeline_and_a_search(options, name, values):
    grid = {f"mixtureofexpertsregressor__{name}": values}
    rows, y, offset = X[:300], Y[:300], OFFSET[:300]
    standard = StandardScaler().fit_transform(rows)
    # Older releases of scikit-learn pass no metadata to the score of the estimator itself.
    passes = name == "n_experts" and parse_version(sklearn.__version__) >= parse_version("1.7")
    with config_context(enable_metadata_routing=True):
        routed = mixture(**options).set_fit_request(offset=True).set_score_request(offset=True)
        pipeline = make_pipeline(StandardScaler(), routed.set_predict_request(offset=True))
        moe = fit_quietly(clone(pipeline), rows, y, offset=offset)
        alone = fit_quietly(mixture(**options), standard, y, offset=offset)
        assert_allclose(moe.predict(rows, offset=offset), alone.predict(standard, offset=offset))
        for scoring in (None, log_density_scorer) if passes else (log_density_scorer,):
            search, blind = (GridSearchCV(pipeline, grid, cv=2, scoring=scoring) for _ in range(2))
            fit_quietly(search, rows, y, offset=offset)
            assert search.best_params_ == {f"mixtureofexpertsregressor__{name}": values[-1]}
            assert search.best_score_ > fit_quietly(blind, rows, y).best_score_ + 0.1
