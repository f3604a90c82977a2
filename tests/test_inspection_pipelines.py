"""Displays and texts of pipelines and searches are those of a mixture in the units of the input."""

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, two_regimes
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import (
    CalibrationDisplay,
    ConvergenceDisplay,
    ExpertsDisplay,
    GateDisplay,
    NumberOfExpertsDisplay,
    ResponsibilitiesDisplay,
    RootogramDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)
from skmoe.inspection._pipelines import TRANSFORMED_NOTE, find_mixture

matplotlib.use("Agg")
NAMES = ["depth", "width", "height"]
SCALES, CENTRES = np.array([1e-2, 1.0, 1e3]), np.array([5.0, 0.0, -3e3])

SCALERS = {
    "standard": [StandardScaler()],
    "min-max, robust": [MinMaxScaler(feature_range=(1, 3)), RobustScaler()],
    "uncentred": [StandardScaler(with_mean=False), "passthrough", MaxAbsScaler()],
    "unscaled": [RobustScaler(with_scaling=False), StandardScaler(with_std=False)],
}


def table():
    X, y = two_regimes(300)
    return pd.DataFrame(X * SCALES + CENTRES, columns=NAMES), y


def mixture(**options):
    return MixtureOfExpertsRegressor(2, random_state=0, n_init=1, **options)


@pytest.fixture(scope="module")
def direct():
    X, y = table()
    return mixture().fit(X, y)


@pytest.fixture(scope="module")
def scaled():
    X, y = table()
    return make_pipeline(StandardScaler(), mixture()).fit(X, y)


# --- the mixture of the input ---------------------------------------------------------------------


@pytest.mark.parametrize("steps", SCALERS.values(), ids=SCALERS)
@pytest.mark.parametrize("named", [True, False])
def test_coefficients_and_predictions_are_those_of_the_input(direct, steps, named):
    X, y = table()
    X = X if named else X.to_numpy()
    pipeline = make_pipeline(*steps, mixture()).fit(X, y)
    found, rows, note = find_mixture(pipeline, X)
    assert rows is X
    assert note == ""
    assert_array_equal(found.gate_feature_names_, NAMES if named else ["x0", "x1", "x2"])
    assert_allclose(found.predict(X), pipeline.predict(X))
    assert_allclose(found.expert_coef_, direct.expert_coef_, rtol=1e-6)
    assert_allclose(found.expert_intercept_, direct.expert_intercept_, rtol=1e-6)
    assert_allclose(found.gate_coef_, direct.gate_coef_, rtol=1e-6)
    assert_allclose(found.gate_intercept_, direct.gate_intercept_, rtol=1e-6)
    own = found.expert_intercept_ + np.asarray(X) @ found.expert_coef_.T
    assert_allclose(found.predict_experts(X), own, rtol=1e-8)
    logits = found.gate_intercept_ + np.asarray(X) @ found.gate_coef_.T
    gate = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert_allclose(found.predict_gate(X), gate / gate.sum(axis=1, keepdims=True), rtol=1e-6)
    assert not hasattr(pipeline[-1], "feature_names_in_")  # the mixture itself is as it was


@pytest.mark.parametrize("family", ["normal", "ordinal"])
def test_inference_is_that_of_the_input(family):
    X, y = table()
    y = y if family == "normal" else np.digitize(y, [-2.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), mixture(family=family)).fit(X, y)
        found = find_mixture(pipeline, X).mixture.inference(X, y)
        expected = mixture(family=family).fit(X, y).inference(X, y)
    assert found.terms == expected.terms
    assert_allclose(found.estimates, expected.estimates, rtol=1e-4, atol=1e-8)
    assert_allclose(found.covariance, expected.covariance, rtol=1e-3, atol=1e-12)
    assert found.reasons == expected.reasons


def test_explanations_are_those_of_the_input(direct, scaled):
    X, _ = table()
    found, expected = find_mixture(scaled, X).mixture.explain(X), direct.explain(X)
    for name in ("slope", "gate_effect", "gate", "experts"):
        assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-12)


def test_classes_of_pipelines():
    X, y = flipping_classes()
    X = X * SCALES
    moe = MixtureOfExpertsClassifier(2, random_state=0, n_init=1)
    pipeline = make_pipeline(MinMaxScaler(), moe).fit(X, y)
    display = ExpertsDisplay.from_estimator(pipeline, X, y, 1)
    rows = np.tile(np.median(X, axis=0), (200, 1))
    rows[:, 1] = display.grid
    assert_allclose(display.mean, pipeline.predict_proba(rows)[:, 1])
    found = find_mixture(pipeline, X).mixture
    assert_allclose(found.expert_coef_, moe.fit(X, y).expert_coef_, rtol=1e-5)


def test_columns_that_the_gate_derives_keep_their_coefficients():
    X, y = table()
    pipeline = make_pipeline(
        StandardScaler(), mixture(base=DecisionTreeRegressor(max_depth=2))
    ).fit(X, y)
    found, moe = find_mixture(pipeline, X).mixture, pipeline[-1]
    scale = pipeline[0].scale_
    assert_array_equal(found.gate_feature_names_[:3], NAMES)
    assert_allclose(found.gate_coef_[:, :3], moe.gate_coef_[:, :3] / scale)
    assert_allclose(found.gate_coef_[:, 3:], moe.gate_coef_[:, 3:])
    assert moe.gate_coef_.shape[1] > 3


# --- displays and texts ---------------------------------------------------------------------------


def test_pictures_have_units_and_names_of_the_input(direct, scaled):
    X, y = table()
    gates = [GateDisplay.from_estimator(each, X, "height") for each in (scaled, direct)]
    assert_allclose(gates[0].values, gates[1].values)
    assert_allclose(gates[0].gate, gates[1].gate, atol=1e-6)
    assert gates[0].ax_.get_xlabel() == "height"
    experts = [ExpertsDisplay.from_estimator(each, X, y, "depth") for each in (scaled, direct)]
    for name in ("grid", "curves", "band", "x", "y"):
        pair = [getattr(display, name) for display in experts]
        assert_allclose(*pair, rtol=1e-5)
    profiles = [
        SegmentProfileDisplay.from_estimator(each, X, y, standardize=False)
        for each in (scaled, direct)
    ]
    for name in ("profile", "coefficients", "intervals", "gate_effects"):
        pair = [getattr(display, name) for display in profiles]
        assert_allclose(*pair, rtol=1e-3, atol=1e-8)
    assert profiles[0].feature_names == NAMES


def test_texts_have_units_and_names_of_the_input(direct, scaled):
    X, _ = table()
    for rows in (X, None):
        assert export_text(scaled, X=rows) == export_text(direct, X=rows)
        assert export_mermaid(scaled, X=rows) == export_mermaid(direct, X=rows)


def test_displays_of_rows_are_those_of_the_mixture():
    X, y = table()
    counts = np.floor(np.abs(y)).astype(int)
    pipeline = make_pipeline(StandardScaler(), mixture(family="poisson")).fit(X, counts)
    moe, Z = pipeline[-1], pipeline[0].transform(X)
    for display in (CalibrationDisplay, ResponsibilitiesDisplay, RootogramDisplay):
        pair = [display.from_estimator(*given, counts) for given in ((pipeline, X), (moe, Z))]
        for name in ("pit", "responsibilities", "expected"):
            if hasattr(pair[0], name):
                assert_allclose(*(getattr(each, name) for each in pair))
    assert ConvergenceDisplay.from_estimator(pipeline).lower_bounds is moe.lower_bounds_
    chosen = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor("bic", n_init=1)).fit(X, y)
    assert NumberOfExpertsDisplay.from_estimator(chosen).chosen == chosen[-1].n_experts_


def test_searches_are_drawn_by_their_best_estimator(scaled):
    X, y = table()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mixture(max_iter=5)),
        {"mixtureofexpertsregressor__n_experts": [1, 2]},
        cv=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    pipelines = search, search.best_estimator_
    texts = [export_text(each, X=X) for each in pipelines]
    assert texts[0] == texts[1]
    nested = make_pipeline(RobustScaler(), make_pipeline(StandardScaler(), mixture())).fit(X, y)
    assert export_text(nested, X=X) == export_text(scaled, X=X)


# --- transformed tables ---------------------------------------------------------------------------


def test_other_steps_have_the_features_of_their_table():
    X, y = table()
    X["kind"] = np.where(np.arange(len(X)) % 3, "often", "rare")
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["kind"]), remainder=StandardScaler()
    )
    pipeline = make_pipeline(encode, mixture()).fit(X, y)
    names = list(pipeline[0].get_feature_names_out())
    found, rows, note = find_mixture(pipeline, X)
    assert note == TRANSFORMED_NOTE
    assert_allclose(rows, pipeline[0].transform(X))
    assert_array_equal(found.gate_feature_names_, names)
    display = GateDisplay.from_estimator(pipeline, X, "remainder__depth")
    assert display.ax_.get_xlabel() == f"remainder__depth\n({TRANSFORMED_NOTE})"
    profile = SegmentProfileDisplay.from_estimator(pipeline, X, y)
    assert profile.feature_names == names
    assert TRANSFORMED_NOTE in profile.ax_[0].get_xlabel()
    assert np.isfinite(profile.intervals[profile.feature_names.index("remainder__depth")]).all()
    text, diagram = export_text(pipeline, X=X), export_mermaid(pipeline, X=X)
    assert text.splitlines()[1] == TRANSFORMED_NOTE
    assert TRANSFORMED_NOTE in diagram
    assert "remainder__depth" in text


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (PCA(2), ["pca0", "pca1"]),
        (FunctionTransformer(np.sinh), ["x0", "x1", "x2"]),  # it does not name its columns
        (MinMaxScaler(clip=True), ["x0", "x1", "x2"]),  # it has no inverse
        (PCA(2).set_output(transform="pandas"), ["pca0", "pca1"]),
    ],
    ids=["pca", "function", "clipped", "frame"],
)
def test_names_of_transformed_tables(step, names):
    X, y = table()
    X = (X / SCALES).to_numpy()
    pipeline = make_pipeline(step, mixture(max_iter=3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = GateDisplay.from_estimator(pipeline, X, 1)
    assert display.ax_.get_xlabel().startswith(f"{names[1]}\n")


def test_sparse_input_of_pipelines():
    X, y = table()
    X = sparse.csr_array(X.to_numpy() - CENTRES)
    pipeline = make_pipeline(MaxAbsScaler(), mixture()).fit(X, y)
    display = GateDisplay.from_estimator(pipeline, X, 0)
    rows = np.tile(np.median(X.toarray(), axis=0), (200, 1))
    rows[:, 0] = display.values[0]
    assert_allclose(display.gate, pipeline[-1].predict_gate(pipeline[0].transform(rows)))
