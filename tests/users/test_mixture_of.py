"""`mixture_of` gives a pipeline all methods of the mixture in which it ends."""

import pickle
import warnings
from importlib.util import find_spec
from inspect import Parameter, getmembers, isfunction, signature

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

from skmoe import MixtureOfExpertsRegressor
from skmoe.export import to_onnx
from skmoe.inspection import CoefficientsDisplay, GateDisplay, export_text
from skmoe.metrics import log_density_scorer
from skmoe.recipes import mixture_of
from support.fits import ALL_CASES, X, fit_quietly, short_fit
from support.tables import two_regimes

CENTRE, SCALE = np.array([50.0, -3e4]), np.array([0.01, 2e3])
FITS = {"fit", "partial_fit"}
GIVEN = {"n_samples": 2, "random_state": 0}


def ends_in(case, *steps):
    """A pipeline whose last step is a fit of the registries."""
    return make_pipeline(*steps, short_fit(case))


def scaler():
    """A scaler by known numbers."""
    return StandardScaler().fit(np.vstack([CENTRE - SCALE, CENTRE + SCALE]))


SCALERS = {
    "not centred": [StandardScaler(with_mean=False), "passthrough"],
    "not scaled": [StandardScaler(with_std=False)],
    "robust": [RobustScaler()],
    "robust, not centred": [RobustScaler(with_centering=False, quantile_range=(10.0, 90.0))],
    "robust, not scaled": [RobustScaler(with_scaling=False)],
    "range": [MinMaxScaler((-2.0, 5.0))],
    "absolute": [MaxAbsScaler()],
    "several": [MinMaxScaler((1, 3)), RobustScaler(), StandardScaler(with_std=False)],
}


def methods_of_rows(moe):
    """Names of the public methods that take X, with the arguments that they need."""
    found = {}
    for name, method in getmembers(type(moe), isfunction):
        _, *parameters = signature(method).parameters.values()
        if name[0] == "_" or name in FITS or not parameters or parameters[0].name != "X":
            continue
        if hasattr(moe, name):
            taken = {p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD}
            found[name] = taken
    return found


def call(moe, name, taken, rows, case):
    """The result of a method as text or numbers, or its error."""
    _, y, given = ALL_CASES[case]
    options = {"y": y, **given, **GIVEN} if name != "explain" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = getattr(moe, name)(
                rows, **{key: value for key, value in options.items() if key in taken}
            )
        except ValueError as error:  # what the experts of this case cannot do
            return str(error)
    if name == "inference":
        return [term.name for term in result.terms], result.estimates, result.covariance
    if name == "predict_dist":
        return result.mean
    return result if isinstance(result, dict | np.ndarray) else str(result)


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert_array_equal(found[name], value)
    else:
        np.testing.assert_equal(found, expected)


# One case for each kind of estimator, parts and rows: families have the methods of estimators.
KINDS = ["linear-regressor", "linear-classifier", "poisson-regressor", "ordinal-regressor"]
KINDS += ["trees", "trees of classes", "joint outputs", "dispersion features"]
KINDS += ["routing", "selected number", "units", "base", "stacking", "known experts", "one expert"]


@pytest.mark.parametrize("case", KINDS)
def test_every_method_is_that_of_the_mixture_for_transformed_rows(case):
    step = FunctionTransformer(np.cbrt)
    moe, raw = short_fit(case), X**3
    view, rows = mixture_of(ends_in(case, step)), step.transform(raw)
    methods = methods_of_rows(moe)
    assert {"predict", "predict_gate", "score_samples", "summary", "inference"} <= set(methods)
    for name, taken in methods.items():
        assert_same(call(view, name, taken, raw, case), call(moe, name, taken, rows, case))


# Coefficients have other shapes, or stand for several experts.
OF_COEFFICIENTS = ["shared slopes", "slopes of some experts", "dispersion of another feature"]
OF_COEFFICIENTS += ["student_t-regressor", "a list of families", "outputs", "signs of classes"]


@pytest.mark.parametrize("case", KINDS + OF_COEFFICIENTS)
def test_coefficients_behind_scalers_are_those_of_the_input(case):
    moe, raw = short_fit(case), CENTRE + SCALE * X
    view = mixture_of(ends_in(case, scaler()))
    assert_allclose(view.feature_range_, CENTRE + SCALE * moe.feature_range_)
    assert_allclose(view.predict_gate(raw), moe.predict_gate(X), atol=1e-8)
    assert not view.is_outside_range(raw).any()
    assert view.is_outside_range(raw + 9 * SCALE).all()
    if hasattr(moe, "gate_coef_"):
        n_extra = moe.gate_coef_.shape[1] - 2
        scales = np.append(SCALE, np.ones(n_extra))
        assert_allclose(view.gate_coef_ * scales, moe.gate_coef_, atol=1e-9)
        level = view.gate_intercept_ + view.gate_coef_[:, :2] @ CENTRE
        assert_allclose(level, moe.gate_intercept_, atol=1e-6)
    if hasattr(moe, "expert_coef_"):
        assert_allclose(view.expert_coef_ * SCALE, moe.expert_coef_, rtol=1e-7, atol=1e-9)
        slopes = view.explain(raw).slope * SCALE
        assert_allclose(slopes, moe.explain(X).slope, rtol=1e-6, atol=1e-9)
    found, expected = (
        call(each, "inference", methods_of_rows(moe)["inference"], rows, case)
        for each, rows in ((view, raw), (moe, X))
    )
    if isinstance(expected, str):
        assert found == expected
        return
    unit = np.array([{"x0": SCALE[0], "x1": SCALE[1]}.get(name, np.nan) for name in expected[0]])
    slopes = np.isfinite(unit)
    for ours, theirs, by in zip(found[1:], expected[1:], (unit, unit[:, None] * unit), strict=True):
        part = (slopes,) * ours.ndim
        assert_allclose((ours * by)[np.ix_(*part)], theirs[np.ix_(*part)], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("steps", SCALERS)
def test_coefficients_are_derivatives_by_the_input(steps):
    raw = CENTRE + SCALE * X
    scale = make_pipeline(*SCALERS[steps]).fit(raw)
    moe = fit_quietly(
        mixture(max_iter=2), scale.transform(raw), short_fit("two experts").predict(X)
    )
    view = mixture_of(make_pipeline(*scale, moe))
    answers, start = view.predict_experts(raw[:1]), raw[0]
    rows = start + np.diag(SCALE)
    slopes = (view.predict_experts(rows) - answers).T / SCALE
    assert_allclose(view.expert_coef_ * SCALE, slopes * SCALE, rtol=1e-6, atol=1e-9)
    assert_allclose(view.expert_intercept_, answers[0] - slopes @ start, rtol=1e-6, atol=1e-6)
    logits = np.log(view.predict_gate(rows) / view.predict_gate(raw[:1])).T
    change = np.diff(view.gate_coef_ * SCALE, axis=0)
    assert_allclose(change, np.diff(logits, axis=0), rtol=1e-6, atol=1e-9)


# --- paths of users -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    features, y = two_regimes(200)
    frame = pd.DataFrame(50.0 + 20.0 * features, columns=["depth", "width", "height"])
    frame["kind"] = np.where(np.arange(200) % 3, "often", "rare")
    return frame, y


def encoded(output=None, remainder="passthrough"):
    columns = make_column_transformer(
        (OneHotEncoder(drop="first", sparse_output=False), ["kind"]),
        remainder=remainder,
        verbose_feature_names_out=False,
    )
    return columns if output is None else columns.set_output(transform=output)


def mixture(**options):
    return MixtureOfExpertsRegressor(2, **{"random_state": 0, "n_init": 1} | options)


def imputed(scaler):
    return make_pipeline(SimpleImputer(), scaler)


SCALED = {
    "after": lambda output: [encoded(output), StandardScaler(), MinMaxScaler()],
    "imputed inside": lambda output: [encoded(output, imputed(MinMaxScaler((1, 3))))],
    "nested": lambda output: [
        encoded(output, make_column_transformer((RobustScaler(), [1]), remainder="passthrough")),
        MinMaxScaler(),
    ],
}


@pytest.mark.parametrize(
    ("steps", "output"),
    [
        *((steps, "pandas") for steps in SCALED),
        *(("imputed inside", output) for output in ("default", "polars")),
    ],
)
def test_scaling_beside_an_encoding_is_undone(table, steps, output):
    """Coefficients have the units of the encoded table, in predictions and in displays."""
    frame, y = table
    if output == "polars":
        pytest.importorskip("polars")
    moe = mixture(alpha=0.1, gate_alpha=0.1)
    plain, scaled = (
        fit_quietly(make_pipeline(*each, clone(moe)).set_output(transform=output), frame, y)
        for each in ([encoded(output)], SCALED[steps](output))
    )
    own, found = mixture_of(plain), mixture_of(scaled)
    names = list(plain[0].get_feature_names_out())
    assert list(own.feature_names_in_) == names
    assert_array_equal(found.predict(frame), scaled.predict(frame))
    assert_allclose(found.score_samples(frame, y).mean(), log_density_scorer(scaled, frame, y))
    assert "kind_rare" in str(own.summary(frame, y))
    # Those of a nested transformer have its name in front.
    column = np.array([names.index(str(name).split("__")[-1]) for name in found.feature_names_in_])
    assert_allclose(found.expert_coef_, own.expert_coef_[:, column], rtol=1e-3, atol=1e-5)
    assert_allclose(found.feature_range_, own.feature_range_[:, column], atol=1e-9)
    drawn = [
        CoefficientsDisplay.from_estimator(fit, frame, y, features=[0, 1, 2, 3]).intervals
        for fit in (scaled, plain)
    ]
    assert_allclose(drawn[0], drawn[1][column], rtol=1e-2, atol=1e-4)


def test_nested_pipelines_and_searches(table):
    frame, y = table
    inner = Pipeline([("scale", StandardScaler()), ("skip", "passthrough"), ("moe", mixture())])
    search = GridSearchCV(
        make_pipeline(encoded(), inner), {"pipeline__moe__n_experts": [1, 2]}, cv=2
    )
    search = fit_quietly(search, frame, y)
    view, best = mixture_of(search), search.best_estimator_
    rows = best[:-1].transform(frame)
    expected = mixture_of(best[-1]).summary(rows, y)
    assert_array_equal(view.predict_interval(frame), mixture_of(best[-1]).predict_interval(rows))
    assert_array_equal(view.summary(frame, y).inference.estimates, expected.inference.estimates)


def test_a_copy_can_be_saved_drawn_and_taken_again(table):
    frame, y = table
    pipeline = fit_quietly(make_pipeline(encoded(), StandardScaler(), mixture()), frame, y)
    assert mixture_of(pipeline[-1]) is pipeline[-1]
    assert mixture_of(make_pipeline("passthrough", pipeline[-1])) is pipeline[-1]
    view = mixture_of(pipeline)
    again = pickle.loads(pickle.dumps(view))
    assert_array_equal(again.predict_gate(frame), view.predict_gate(frame))
    assert_array_equal(mixture_of(view).predict(frame), pipeline.predict(frame))
    assert export_text(view, X=frame) == export_text(pipeline, X=frame)
    drawn = [GateDisplay.from_estimator(each, frame, "depth").gate for each in (view, pipeline)]
    assert_array_equal(*drawn)
    named = view.set_expert_names(["falls", "rises"])
    assert list(named.summary(frame, y).to_frame("experts").index) == ["falls", "rises"]
    assert pipeline[-1].expert_names_ == ["expert 0", "expert 1"]
    assert clone(view).fit(frame.drop(columns="kind"), y).n_features_in_ == 3  # of its own


# --- what is refused ------------------------------------------------------------------------------


def test_a_copy_is_not_fitted_or_written(table):
    frame, y = table
    view = mixture_of(fit_quietly(make_pipeline(encoded(), mixture()), frame, y))
    rows = frame.drop(columns="kind")
    uses = {"a fit": lambda: view.fit(rows, y), "partial_fit": lambda: view.partial_fit(rows, y)}
    if find_spec("skl2onnx"):
        uses["conversion to ONNX"] = lambda: to_onnx(view, rows[:1])
    for name, use in uses.items():
        with pytest.raises(ValueError, match=f"^{name} needs a mixture without the steps of"):
            use()
    assert_array_equal(view.predict(frame), mixture_of(view).predict(frame))


def test_other_estimators_are_refused():
    features, y = two_regimes(100)
    target = TransformedTargetRegressor(
        make_pipeline(PCA(2), mixture()), func=np.cbrt, inverse_func=lambda z: z**3
    )
    target = fit_quietly(target, features, y)
    with pytest.raises(TypeError, match="Pass its regressor_, and y as its transformer_"):
        mixture_of(target)
    assert mixture_of(target.regressor_).predict_gate(features).shape == (100, 2)
    with pytest.raises(TypeError, match="must be a mixture of experts; got LinearRegression"):
        mixture_of(make_pipeline(StandardScaler(), LinearRegression()).fit(features, y))
    with pytest.raises(ValueError, match="not fitted"):
        mixture_of(make_pipeline(StandardScaler(), mixture()))
