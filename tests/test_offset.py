"""Offsets: the log of an exposure is added to every linear predictor, wherever rows are used."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, PoissonRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.tasks import TargetData
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.experts import GeneralizedLinearExperts
from skmoe.inspection import (
    CalibrationDisplay,
    ExpertsDisplay,
    ResponsibilitiesDisplay,
    export_text,
)
from skmoe.metrics import log_density_scorer, make_interval_scorers, neg_crps_scorer

RNG = np.random.default_rng(0)
N = 900
X = RNG.uniform(-2, 2, size=(N, 2))
RATE = np.exp(0.5 + np.abs(X[:, 0]))  # two regimes, with slopes of -1 and 1
EXPOSURE = RNG.uniform(0.05, 4.0, size=N)
OFFSET = np.log(EXPOSURE)
Y = RNG.poisson(EXPOSURE * RATE)


def mixture(n_experts=2, **options):
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    return MixtureOfExpertsRegressor(n_experts, family="poisson", **fixed | options)


def quiet_fit(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*args, **kwargs)


@pytest.fixture(scope="module")
def moe():
    return mixture().fit(X, Y, offset=OFFSET)


@pytest.fixture(scope="module")
def precise():
    return mixture(tol=1e-10).fit(X, Y, offset=OFFSET)


def assert_same_fit(one, other, atol=1e-9):
    """The same experts in the same order."""
    for name in (
        "expert_coef_",
        "expert_intercept_",
        "gate_coef_",
        "gate_intercept_",
        "lower_bound_",
    ):
        assert_allclose(getattr(one, name), getattr(other, name), atol=atol, err_msg=name)


# --- laws -------------------------------------------------------------------------------------


def test_regimes_of_rates_are_found(moe):
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1.0, 1.0], atol=0.1)
    assert_allclose(moe.expert_intercept_, 0.5, atol=0.15)
    assert min(np.diff(moe.lower_bounds_)) > -1e-10
    without = mixture().fit(X, Y)
    assert moe.lower_bound_ > without.lower_bound_ + 0.3


def test_one_expert_is_a_regression_of_rates_with_exposures_as_weights():
    fitted = mixture(1, alpha=0.0, tol=1e-14).fit(X, Y, offset=OFFSET)
    single = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000)
    single.fit(X, Y / EXPOSURE, sample_weight=EXPOSURE)
    assert_allclose(fitted.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(fitted.expert_intercept_[0], single.intercept_, atol=1e-6)
    assert_allclose(fitted.predict(X), single.predict(X), rtol=1e-6)


def test_doubled_exposures_shift_intercepts(moe):
    doubled = mixture().fit(X, Y, offset=np.log(2.0 * EXPOSURE))
    assert_allclose(doubled.expert_intercept_, moe.expert_intercept_ - np.log(2.0), atol=1e-8)
    doubled.expert_intercept_ = doubled.expert_intercept_ + np.log(2.0)
    assert_same_fit(doubled, moe, atol=1e-8)


def test_a_constant_offset_is_an_intercept():
    options = {"tol": 1e-11, "max_iter": 2000}
    with_offset = mixture(**options).fit(X, Y, offset=np.full(N, 0.7))
    without = mixture(**options).fit(X, Y)
    order, other = (
        np.argsort(with_offset.expert_coef_[:, 0]),
        np.argsort(without.expert_coef_[:, 0]),
    )
    assert_allclose(with_offset.expert_coef_[order], without.expert_coef_[other], atol=1e-4)
    assert_allclose(
        with_offset.expert_intercept_[order] + 0.7, without.expert_intercept_[other], atol=1e-4
    )
    assert_allclose(with_offset.predict(X, np.full(N, 0.7)), without.predict(X), rtol=1e-4)


def test_an_offset_of_zeros_is_none_in_predictions(moe):
    assert_allclose(moe.predict(X, offset=np.zeros(N)), moe.predict(X), rtol=1e-14)


def test_weights_are_repeats():
    weight = np.random.default_rng(1).integers(0, 3, size=N)
    weighted = mixture().fit(X, Y, sample_weight=weight, offset=OFFSET)
    table, y, offset = (np.repeat(values, weight, axis=0) for values in (X, Y, OFFSET))
    assert_same_fit(mixture().fit(table, y, offset=offset), weighted)


def test_the_order_of_rows_does_not_matter(moe):
    order = np.random.default_rng(2).permutation(N)
    permuted = mixture().fit(X[order], Y[order], offset=OFFSET[order])
    assert_array_equal(permuted.expert_coef_, moe.expert_coef_)


def test_equal_rows_of_different_exposure_are_different_rows():
    table, y = np.repeat(X[:300], 2, axis=0), np.repeat(Y[:300], 2)
    offset = np.log(np.tile([0.5, 2.0], 300))
    fitted = mixture(1, alpha=0.0, tol=1e-14).fit(table, y, offset=offset)
    single = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000)
    single.fit(table, y / np.exp(offset), sample_weight=np.exp(offset))
    assert_allclose(fitted.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(fitted.expert_intercept_[0], single.intercept_, atol=1e-6)


@pytest.mark.parametrize(
    "table", [sparse.csr_array(X), X.astype(np.float32)], ids=["sparse", "single precision"]
)
def test_other_tables(table):
    options = {"tol": 1e-11, "max_iter": 2000}
    # One expert, since sparse features are initialised without centring.
    fitted = mixture(1, **options).fit(table, Y, offset=OFFSET)
    dense = mixture(1, **options).fit(X, Y, offset=OFFSET)
    assert_allclose(fitted.predict(table, OFFSET), dense.predict(X, OFFSET), rtol=2e-3)


def test_every_output_can_have_an_exposure_of_its_own():
    exposure = np.column_stack([EXPOSURE, EXPOSURE[::-1]])
    y = np.random.default_rng(3).poisson(exposure * RATE[:, None] * [1.0, 2.0])
    joint = mixture(1, tol=1e-14).fit(X, y, offset=np.log(exposure))
    for j in range(2):
        alone = mixture(1, tol=1e-14).fit(X, y[:, j], offset=np.log(exposure[:, j]))
        assert_allclose(joint.expert_coef_[0, j], alone.expert_coef_[0], atol=1e-6)
        assert_allclose(joint.predict(X, np.log(exposure))[:, j], alone.predict(X) * exposure[:, j])
    same = mixture(1, tol=1e-14).fit(X, y, offset=OFFSET)
    both = mixture(1, tol=1e-14).fit(X, y, offset=np.column_stack([OFFSET, OFFSET]))
    assert_allclose(same.expert_coef_, both.expert_coef_, atol=1e-12)


def test_initialisation_and_first_intercepts_are_of_rates():
    exposure = np.random.default_rng(7).uniform(0.1, 4.0, size=N)
    y = np.round(1000.0 * exposure * RATE)
    target = TargetData(y, np.ones(N), None, False, None, None, None, np.log(exposure))
    task, experts = mixture()._make_task(), GeneralizedLinearExperts()
    init_targets = task.make_target(target, experts).init_targets
    assert np.corrcoef(init_targets[0], np.log(RATE))[0, 1] > 0.999
    assert_allclose(init_targets.mean(axis=1), 0.0, atol=1e-12)
    doubled = target._replace(offset=np.log(2.0 * exposure))
    shifted = task.make_target(doubled, experts).init_targets
    assert_allclose(shifted, init_targets, atol=1e-12)
    fitted = mixture().fit(X, Y, offset=OFFSET)
    start = fitted._fitted.model.experts.initial_predictor[0][0]
    assert_allclose(start, np.log(np.average(Y / EXPOSURE)))


# --- predictions ------------------------------------------------------------------------------


def test_means_are_rates_times_exposure(moe):
    assert_allclose(moe.predict(X, OFFSET), EXPOSURE * moe.predict(X))
    experts = moe.predict_experts(X, offset=OFFSET)
    assert_allclose(experts, EXPOSURE[:, None] * moe.predict_experts(X))
    assert_allclose(np.mean(moe.predict(X, OFFSET)), Y.mean(), rtol=0.02)
    routed = mixture(top_k=1).fit(X, Y, offset=OFFSET)
    assert_allclose(routed.predict(X, OFFSET), EXPOSURE * routed.predict(X))


def test_distributions_are_of_counts_in_the_exposure(moe):
    dist = moe.predict_dist(X, offset=OFFSET)
    gate, means = moe.predict_gate(X), moe.predict_experts(X, OFFSET)
    pmf = (gate * stats.poisson.pmf(Y[:, None], means)).sum(axis=1)
    assert_allclose(dist.pmf(Y), pmf)
    assert_allclose(moe.score_samples(X, Y, OFFSET), np.log(pmf))
    assert_array_equal(moe.predict_interval(X, 0.8, offset=OFFSET), dist.interval(0.8))
    assert_array_equal(moe.predict_quantile(X, 0.3, offset=OFFSET), dist.ppf(0.3))
    draws = moe.sample(X, 3, random_state=0, offset=OFFSET)
    assert_array_equal(draws, dist.rvs(3, random_state=0))
    resp = gate * stats.poisson.pmf(Y[:, None], means) / pmf[:, None]
    assert_allclose(moe.responsibilities(X, Y, OFFSET), resp, atol=1e-12)


def test_scores_and_criteria_are_those_of_the_exposures(moe):
    prediction = moe.predict(X, OFFSET)
    r2 = 1.0 - np.square(Y - prediction).sum() / np.square(Y - Y.mean()).sum()
    assert_allclose(moe.score(X, Y, offset=OFFSET), r2)
    log_likelihood = moe.score_samples(X, Y, OFFSET).sum()
    assert_allclose(moe.aic(X, Y, offset=OFFSET), 2.0 * moe.n_parameters_ - 2.0 * log_likelihood)
    bic = np.log(N) * moe.n_parameters_ - 2.0 * log_likelihood
    assert_allclose(moe.bic(X, Y, offset=OFFSET), bic)
    assert moe.icl(X, Y, offset=OFFSET) > bic
    assert_allclose(log_density_scorer(moe, X, Y, offset=OFFSET), log_likelihood / N)
    crps = moe.predict_dist(X, OFFSET).crps(Y).mean()
    assert_allclose(neg_crps_scorer(moe, X, Y, offset=OFFSET), -crps)
    coverage = make_interval_scorers(0.8)["coverage"]
    assert coverage(moe, X, Y, offset=OFFSET) > 0.8 > coverage(moe, X, Y)


def test_explanations_are_derivatives_at_the_exposure(moe):
    rows, offset, step = X[:20], OFFSET[:20], 1e-6
    explained = moe.explain(rows, offset=offset)
    for j in range(2):
        moved = [rows + sign * step * np.eye(2)[j] for sign in (1.0, -1.0)]
        above, below = (moe.predict(table, offset) for table in moved)
        derivative = (explained.slope + explained.gate_effect)[:, j]
        assert_allclose(derivative, (above - below) / (2.0 * step), rtol=1e-5, atol=1e-6)


def test_displays_take_the_offset(moe):
    pytest.importorskip("matplotlib").use("agg")
    resp = moe.responsibilities(X, Y, OFFSET)
    display = ResponsibilitiesDisplay.from_estimator(moe, X, Y, offset=OFFSET)
    assert_allclose(display.responsibilities, resp)
    calibration = CalibrationDisplay.from_estimator(moe, X, Y, offset=OFFSET)
    assert np.abs(calibration.coverage - np.linspace(0, 1, len(calibration.coverage))).max() < 0.1
    experts = ExpertsDisplay.from_estimator(moe, X, Y, offset=OFFSET)
    assert_allclose(experts.y, Y / EXPOSURE)
    assert_array_equal(experts.assigned_expert, resp.argmax(axis=1))
    assert experts.target_name == "y per unit of exposure"


# --- inference --------------------------------------------------------------------------------


def test_standard_errors_of_one_expert_are_those_of_a_poisson_regression():
    fitted = mixture(1, alpha=0.0, tol=1e-14).fit(X, Y, offset=OFFSET)
    design = np.column_stack([np.ones(N), X])
    information = (design.T * fitted.predict(X, OFFSET)) @ design
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    inference = fitted.inference(X, Y, offset=OFFSET)
    assert_allclose(inference.standard_errors, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["observed", "sandwich"])
def test_inference_is_that_of_the_fit(moe, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the rows are those of the fit
        inference = moe.inference(X, Y, offset=OFFSET, method=method)
        assert inference.max_shift < 0.1
        doubled = mixture().fit(X, Y, offset=OFFSET + np.log(2.0))
        other = doubled.inference(X, Y, offset=OFFSET + np.log(2.0), method=method)
    assert_allclose(other.standard_errors, inference.standard_errors, rtol=1e-4)
    assert "Other rows" not in str(moe.summary(X, Y, offset=OFFSET))
    with pytest.warns(ConvergenceWarning, match="indefinite"):
        assert "Other rows" in str(moe.summary(X, Y, offset=OFFSET + 1.0))


def test_the_bootstrap_draws_counts_in_the_exposure(moe):
    weight = np.random.default_rng(4).integers(1, 3, size=N)
    fitted = mixture().fit(X, Y, sample_weight=weight, offset=OFFSET)
    options = {"sample_weight": weight, "offset": OFFSET}
    inference = fitted.inference(
        X, Y, method="bootstrap", n_bootstrap=15, random_state=0, **options
    )
    observed = fitted.inference(X, Y, **options)
    error = np.abs(inference.estimates - inference.replicates.mean(axis=0))
    assert (error < 2.0 * observed.standard_errors).all()


# --- fits -------------------------------------------------------------------------------------


def test_numbers_of_experts_are_selected_with_the_offset():
    table, y, offset = X[:400], Y[:400], OFFSET[:400]
    alone = mixture(n_init=1).fit(table, y, offset=offset)
    by_rows_held_out, by_criterion = (
        mixture(criterion, n_init=1).fit(table, y, offset=offset) for criterion in ("auto", "bic")
    )
    assert by_rows_held_out.n_experts_ == by_criterion.n_experts_ == 2
    log_density = alone.score_samples(table, y, offset).mean()
    assert_allclose(by_rows_held_out.n_experts_scores_[1], log_density, atol=0.15)
    bic = alone.bic(table, y, offset=offset)
    assert_allclose(by_criterion.n_experts_scores_[1], -bic, rtol=0.01)
    assert log_density > alone.score_samples(table, y).mean() + 0.3


def test_averages_of_starts(moe):
    averaged = mixture(combine="average", n_init=2).fit(X, Y, offset=OFFSET)
    assert_allclose(averaged.predict(X, OFFSET), EXPOSURE * averaged.predict(X))
    assert averaged.score_samples(X, Y, OFFSET).mean() > moe.lower_bound_ - 0.01


def test_a_warm_start_continues(moe):
    part = quiet_fit(mixture(n_init=1, max_iter=4, warm_start=True), X, Y, offset=OFFSET)
    part.set_params(max_iter=200)
    whole = mixture(n_init=1).fit(X, Y, offset=OFFSET)
    assert_array_equal(part.fit(X, Y, offset=OFFSET).expert_coef_, whole.expert_coef_)


def test_checkpoints_are_resumed(tmp_path):
    path, model = tmp_path / "fit.joblib", mixture(n_init=1, tol=1e-8)
    whole = clone(model).fit(X, Y, offset=OFFSET)
    part = clone(model).set_params(max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_with_checkpoints(part, X, Y, path=path, every=2, offset=OFFSET)
    resumed = fit_with_checkpoints(model, X, Y, path=path, every=2, offset=OFFSET)
    assert_array_equal(resumed.expert_coef_, whole.expert_coef_)
    with pytest.raises(ValueError, match=r"fit of the same data.*differs in \['offset'\]"):
        fit_with_checkpoints(model, X, Y, path=path, every=2, offset=OFFSET + 1.0)


def test_row_blocks_are_the_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    weight = np.random.default_rng(5).integers(0, 3, size=N).astype(float)
    whole = mixture(tol=1e-10).fit(X, Y, sample_weight=weight, offset=OFFSET)

    def factory():
        for rows in np.array_split(np.arange(N), 3):
            yield X[rows], Y[rows], weight[rows], OFFSET[rows]

    paths = {}
    for name, values in {"X": X, "y": Y, "weight": weight, "offset": OFFSET}.items():
        np.save(tmp_path / f"{name}.npy", values)
        paths[name] = [tmp_path / f"{name}.npy"]
    blocks = [
        RowBlocks(factory),
        RowBlocks.from_arrays(X, Y, weight, offset=OFFSET),
        RowBlocks.from_npy(paths["X"], paths["y"], paths["weight"], offset=paths["offset"]),
    ]
    for source in blocks:
        assert_same_fit(mixture(tol=1e-10).fit(source), whole, atol=1e-5)
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(X, columns=["a", "b"])
    frame = frame.assign(count=Y, weight=weight, log_exposure=OFFSET)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=400)
    source = RowBlocks.from_parquet(
        tmp_path / "rows.parquet", "count", "weight", offset="log_exposure"
    )
    fitted = mixture(tol=1e-10).fit(source)
    assert fitted.feature_names_in_.tolist() == ["a", "b"]
    assert_same_fit(fitted, whole, atol=1e-5)


def test_blocks_without_weights_can_have_an_offset(precise):
    rows = [(X[:500], Y[:500], None, OFFSET[:500]), (X[500:], Y[500:], None, OFFSET[500:])]
    assert_same_fit(mixture(tol=1e-10).fit(RowBlocks(lambda: rows)), precise, atol=1e-5)
    mixed = [rows[0], (X[500:], Y[500:])]
    with pytest.raises(
        ValueError, match=r"block 1 must have an offset like the first, of rows of shape \(\)"
    ):
        mixture().fit(RowBlocks(lambda: mixed))
    no_exposure = [rows[0], (X[500:], Y[500:], None, np.full(400, -np.inf))]
    with pytest.raises(ValueError, match="block 1: offset must hold finite numbers; row 0"):
        mixture().fit(RowBlocks(lambda: no_exposure))
    with pytest.raises(ValueError, match="offset must be None where X is a RowBlocks"):
        mixture().fit(RowBlocks(lambda: rows), offset=OFFSET)
    with pytest.raises(ValueError, match="offset needs experts with a log link"):
        MixtureOfExpertsRegressor(2).fit(RowBlocks(lambda: rows))


def test_dask_collections(moe, precise):
    array = pytest.importorskip("dask.array")
    table, y, offset = (array.from_array(v, chunks=(400, *v.shape[1:])) for v in (X, Y, OFFSET))
    fitted = mixture(tol=1e-10).fit(table, y, offset=offset)
    assert_same_fit(fitted, precise, atol=1e-5)
    assert_allclose(moe.predict(table, offset=offset).compute(), moe.predict(X, OFFSET))
    assert_allclose(moe.predict(table, OFFSET).compute(), moe.predict(X, OFFSET))
    density = moe.score_samples(table, y, offset).compute()
    assert_allclose(density, moe.score_samples(X, Y, OFFSET))
    assert_allclose(moe.score(table, y, offset=offset), moe.score(X, Y, offset=OFFSET))


def test_memory_maps_are_read_with_their_offset(tmp_path):
    rows = np.resize(np.arange(N), 21_000)
    for name, values in {"X": X[rows], "y": Y[rows], "offset": OFFSET[rows]}.items():
        np.save(tmp_path / f"{name}.npy", values)
    maps = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("X", "y", "offset")}
    fitted = mixture(1, tol=1e-12).fit(**maps)
    whole = mixture(1, tol=1e-12).fit(X[rows], Y[rows], offset=OFFSET[rows])
    assert_allclose(fitted.expert_coef_, whole.expert_coef_, atol=1e-6)


def test_streams_learn_rates():
    rng = np.random.default_rng(6)
    stream, last = mixture(), None
    for i in range(30):
        table, exposure = rng.uniform(-2, 2, size=(200, 2)), rng.uniform(0.05, 4.0, size=200)
        y = rng.poisson(exposure * np.exp(0.5 + np.abs(table[:, 0])))
        # Some batches are counted in units of exposure, and have no offset.
        if i % 5 == 4:
            y, last = rng.poisson(np.exp(0.5 + np.abs(table[:, 0]))), None
        else:
            last = np.log(exposure)
        stream.partial_fit(table, y, offset=last)
    assert_allclose(np.sort(stream.expert_coef_[:, 0]), [-1.0, 1.0], atol=0.1)
    assert_allclose(stream.expert_intercept_, 0.5, atol=0.15)
    after_fit = mixture().fit(X, Y, offset=OFFSET).partial_fit(table, y)
    assert_allclose(np.sort(after_fit.expert_coef_[:, 0]), [-1.0, 1.0], atol=0.1)


def test_young_streams_keep_equal_rows_of_different_exposure():
    table, y = np.repeat(X[:50], 2, axis=0), np.repeat(Y[:50], 2)
    offset = np.log(np.tile([0.5, 2.0], 50))
    stream = mixture().partial_fit(table, y, offset=offset).partial_fit(table, y, offset=offset)
    kept = stream._training_state.row_buffer
    assert_array_equal(np.sort(kept.offset), np.sort(offset))
    assert_array_equal(kept.weight, 2.0)


def test_metadata_routing_in_a_pipeline_and_a_search():
    grid = {"mixtureofexpertsregressor__n_experts": [1, 2]}
    with config_context(enable_metadata_routing=True):
        routed = mixture(n_init=2).set_fit_request(offset=True).set_score_request(offset=True)
        routed.set_predict_request(offset=True)
        pipeline = make_pipeline(StandardScaler(), routed)
        fitted = clone(pipeline).fit(X, Y, offset=OFFSET)
        standard = StandardScaler().fit_transform(X)
        alone = mixture(n_init=2).fit(standard, Y, offset=OFFSET)
        assert_array_equal(fitted[-1].expert_coef_, alone.expert_coef_)
        assert_allclose(fitted.predict(X, offset=OFFSET), alone.predict(standard, OFFSET))
        # Older releases of scikit-learn pass no metadata to the score of the estimator itself.
        own_score = (
            [(None, 0.7)] if parse_version(sklearn.__version__) >= parse_version("1.7") else []
        )
        for scoring, least in (*own_score, (log_density_scorer, -2.6)):
            search = GridSearchCV(pipeline, grid, cv=3, scoring=scoring)
            search.fit(X, Y, offset=OFFSET)
            assert search.best_params_ == {"mixtureofexpertsregressor__n_experts": 2}
            assert search.best_score_ > least
            blind = GridSearchCV(pipeline, grid, cv=3, scoring=scoring).fit(X, Y)
            assert search.best_score_ > blind.best_score_ + 0.1


# --- base models ------------------------------------------------------------------------------


def boosted_trees():
    return HistGradientBoostingRegressor(loss="poisson", max_iter=30, random_state=0)


def test_a_base_enters_as_the_log_of_its_prediction():
    based = mixture(base=boosted_trees()).fit(X, Y)
    prediction = based.base_.predict(X)
    # The experts multiply the prediction of the base.
    table = np.column_stack([np.ones(N), X])
    factors = np.exp(table @ np.column_stack([based.expert_intercept_, based.expert_coef_]).T)
    assert_allclose(based.predict_experts(X), prediction[:, None] * factors)
    assert_allclose(based.predict_dist(X).mean, based.predict(X))
    assert "base" in based.gate_feature_names_
    assert "expected y = exp(log(base) " in export_text(based)
    assert "expected y = exp(log(base) + linear predictor)" in str(based.summary())
    assert_allclose(based.predict(X).mean(), Y.mean(), rtol=0.03)
    single = mixture(base=boosted_trees(), n_experts=1).fit(X, Y)
    assert_allclose(single.predict(X) / single.base_.predict(X), 1.0, atol=0.2)


def test_a_base_and_an_offset_are_rates_per_exposure():
    both = mixture(base=boosted_trees()).fit(X, Y, offset=OFFSET)
    rates = boosted_trees().fit(X, Y / EXPOSURE, sample_weight=EXPOSURE)
    assert_allclose(both.predict(X, OFFSET), EXPOSURE * both.predict(X))
    assert np.corrcoef(np.log(both.base_.predict(X)), np.log(rates.predict(X)))[0, 1] > 0.99
    assert np.corrcoef(both.predict(X), RATE)[0, 1] > 0.97
    assert_allclose(both.predict(X, OFFSET).mean(), Y.mean(), rtol=0.05)
    outputs, offsets = np.column_stack([Y, Y]), np.column_stack([OFFSET, OFFSET])
    with pytest.raises(ValueError, match=r"base needs an offset of shape \(n_samples,\)"):
        mixture(base=RandomForestRegressor(3, random_state=0)).fit(X, outputs, offset=offsets)


def test_a_base_that_predicts_no_positive_numbers_is_refused():
    with pytest.raises(ValueError, match=r"base must predict positive numbers.*LinearRegression"):
        mixture(base=LinearRegression()).fit(X, np.floor(np.maximum(X[:, 0], 0.0) * 5))


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (
            np.where(np.arange(N) == 3, -np.inf, OFFSET),
            r"offset must hold finite numbers; row 3 holds -inf.*exposure, which must be positive",
        ),
        (OFFSET[:-1], r"offset must have shape \(n_samples,\).*\(900,\).*got shape \(899,\)"),
        (0.5, r"offset must have shape .*got shape \(\)"),
        (np.full(N, 1000.0), r"offset must lie between -500 and 500.*np.log\(exposure\)"),
        (["a"] * N, r"offset must be an array of numbers; got list"),
    ],
    ids=["no exposure", "length", "scalar", "no logs", "text"],
)
@pytest.mark.parametrize("n_experts", [2, "auto"])
def test_invalid_offsets_are_refused_by_name(moe, offset, message, n_experts):
    with pytest.raises(ValueError, match=message):
        mixture(n_experts).fit(X, Y, offset=offset)
    for call in (
        lambda: moe.predict(X, offset),
        lambda: moe.score_samples(X, Y, offset),
        lambda: clone(moe).partial_fit(X, Y, offset=offset),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MixtureOfExpertsRegressor(2, random_state=0), "link 'identity'. Subtract it from y"),
        (
            MixtureOfExpertsRegressor(2, expert="tree", random_state=0),
            "which has no log link. Choose such a family, or",
        ),
        (
            MixtureOfExpertsRegressor(2, expert="tree", family="student_t", random_state=0),
            "(link 'identity'. Subtract it from y|which has no log link)",
        ),
        (MixtureOfExpertsClassifier(2, random_state=0), "link 'logit'. Fit and predict without"),
    ],
    ids=["identity", "estimators", "estimators and t", "classifier"],
)
def test_experts_without_a_log_link_refuse_an_offset(model, message):
    y = (Y > 3).astype(int)
    for n_experts in (2, "auto"):
        with pytest.raises(ValueError, match=f"offset needs experts.*{message}"):
            clone(model).set_params(n_experts=n_experts).fit(X[:100], y[:100], offset=OFFSET[:100])
    fitted = quiet_fit(clone(model), X[:100], y[:100])
    calls = [lambda: fitted.score_samples(X, y, offset=OFFSET)]
    if hasattr(fitted, "sample"):
        calls.append(lambda: fitted.predict(X, offset=OFFSET))
    for call in calls:
        with pytest.raises(ValueError, match=f"offset needs experts.*{message}"):
            call()
