"""Displays and texts of pipelines and searches are those of a mixture in the units of the input."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import (
    CoefficientsDisplay,
    ConvergenceDisplay,
    GateDisplay,
    ImportanceDisplay,
    NumberOfExpertsDisplay,
    PredictionDisplay,
    RegimesDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)
from support.displays import (
    DISPLAYS,
    all_texts,
    assert_same_picture,
    at_medians,
    displays_with,
    parameters_of,
)
from support.fits import fit_quietly
from support.tables import two_regimes

NAMES = ["depth", "width", "height"]
SCALES, CENTRES = np.array([1e-2, 1.0, 1e3]), np.array([5.0, 0.0, -3e3])
NOTE = "features are those of the transformed table"


def table():
    X, y = two_regimes(150)
    return pd.DataFrame(X * SCALES + CENTRES, columns=NAMES), y


def mixture(**options):
    """A mixture whose optimum is the same in all units, since it has no penalty to speak of."""
    return MixtureOfExpertsRegressor(2, **{"random_state": 0, "n_init": 1} | options)


@pytest.fixture(scope="module")
def direct():
    return fit_quietly(mixture(), *table())


@pytest.fixture(scope="module")
def scaled():
    return fit_quietly(make_pipeline(StandardScaler(), mixture()), *table())


def coefficients(estimator, X, y, **options):
    """Coefficients (p, K) per unit of the features of the input."""
    given = {"level": None, "standardize": False, "features": [0, 1, 2]}
    return CoefficientsDisplay.from_estimator(estimator, X, y, **given | options)


# --- scalers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counts():
    """A pipeline that scales columns, and a mixture of its input, of counts."""
    X, y = table()
    y = np.floor(np.abs(y))
    steps = make_pipeline(StandardScaler(), mixture(family="poisson"))
    return [fit_quietly(each, X, y) for each in (steps, mixture(family="poisson"))], X, y


@pytest.mark.parametrize("name", [name for name in displays_with("X") if name != "CourseDisplay"])
def test_pictures_have_units_and_names_of_the_input(counts, name):
    fits, X, y = counts
    given = {"X": X, "y": y, "random_state": 0, "n_repeats": 2, "row": 3}
    given |= {"subsample": None, "standardize": False, "time": "depth", "gate_feature": "height"}
    given = {key: given[key] for key in given if key in parameters_of(name)}
    if name != "TrajectoriesDisplay":  # where time is a column, and not the order of series
        given.pop("time", None)
    found, expected = (DISPLAYS[name].from_estimator(each, **given) for each in fits)
    assert_same_picture(found, expected, rtol=1e-2)
    assert NOTE not in all_texts(found)


def test_texts_and_the_search_are_those_of_a_mixture_of_the_input(direct, scaled):
    X, y = table()
    for export in (export_text, export_mermaid):
        for rows in (X, None):
            assert export(scaled, X=rows) == export(direct, X=rows)
    assert NOTE not in export_text(scaled)
    assert ConvergenceDisplay.from_estimator(scaled).start_traces is scaled[-1].start_traces_
    chosen = MixtureOfExpertsRegressor("bic", n_init=1, max_iter=2, random_state=0)
    chosen = fit_quietly(make_pipeline(StandardScaler(), chosen), X, y)
    assert NumberOfExpertsDisplay.from_estimator(chosen).chosen == chosen[-1].n_experts_


def test_searches_are_described_by_their_best_estimator(scaled):
    X, y = table()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mixture(max_iter=5)),
        {"mixtureofexpertsregressor__n_experts": [1, 2]},
        cv=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    found, expected = (export_text(each, X=X) for each in (search, search.best_estimator_))
    assert found == expected
    inner = make_pipeline(StandardScaler(), mixture())
    nested = fit_quietly(make_pipeline(RobustScaler(), inner), X, y)
    assert_allclose(
        coefficients(nested, X, y).coefficients,
        coefficients(scaled, X, y).coefficients,
        rtol=1e-4,
    )


# --- transformed tables ---------------------------------------------------------------------------


def test_other_steps_have_the_features_of_their_table():
    X, y = table()
    X["kind"] = np.where(np.arange(len(X)) % 3, "often", "rare")
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["kind"]), remainder="passthrough"
    )
    pipeline = fit_quietly(make_pipeline(encode, mixture(max_iter=3)), X, y)
    names = list(pipeline[0].get_feature_names_out())
    display = GateDisplay.from_estimator(pipeline, X, "remainder__depth")
    assert display.ax_.get_xlabel() == f"remainder__depth\n({NOTE})"
    Z = pipeline[0].transform(X)
    rows = at_medians(Z, names.index("remainder__depth"), display.values[0])
    assert_allclose(display.gate, pipeline[-1].predict_gate(rows))
    profile = SegmentProfileDisplay.from_estimator(pipeline, X, y)
    assert profile.feature_names == names
    found = coefficients(pipeline, X, y, features=names).coefficients
    assert_array_equal(found, pipeline[-1].expert_coef_.T)
    for picture in (
        profile,
        coefficients(pipeline, X, y),
        RegimesDisplay.from_estimator(pipeline, X, y),
        PredictionDisplay.from_estimator(pipeline, X),
        ImportanceDisplay.from_estimator(pipeline, X, y, n_repeats=1),
    ):
        assert NOTE in all_texts(picture)
    text, diagram = export_text(pipeline, X=X), export_mermaid(pipeline, X=X)
    assert text.splitlines()[1] == NOTE
    assert NOTE in diagram
    assert "remainder__depth" in text


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (PCA(2), ["pca0", "pca1"]),
        (PCA(2).set_output(transform="pandas"), ["pca0", "pca1"]),
        (PolynomialFeatures(2, include_bias=False), ["x0", "x1", "x2", "x0^2", "x0 x1"]),
        (FunctionTransformer(np.cbrt), ["x0", "x1", "x2"]),  # it does not name its columns
        (MinMaxScaler(clip=True), ["x0", "x1", "x2"]),  # it has no inverse
    ],
    ids=["pca", "frame", "polynomial", "function", "clipped"],
)
def test_names_of_transformed_tables_are_those_of_the_last_step(step, names):
    X, y = table()
    X = (X / SCALES).to_numpy()
    pipeline = fit_quietly(make_pipeline(step, mixture(max_iter=3)), X, y)
    display = GateDisplay.from_estimator(pipeline, X, 1)  # without a warning about names
    assert display.ax_.get_xlabel() == f"{names[1]}\n({NOTE})"
    assert export_text(pipeline, X=X).splitlines()[1] == NOTE
    profile = SegmentProfileDisplay.from_estimator(pipeline, X, y)
    assert profile.feature_names[: len(names)] == names
