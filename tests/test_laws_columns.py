"""Columns keep their places: those that parts see, that encodings make, and that bases add.

What the gate says is computed anew from `gate_feature_names_`, `gate_coef_` and a table that is
built here, column by column, by their names.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from recorders import Log, RecordingRegressor
from regimes import quiet
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import encoding
from skmoe._data.extra_features import predict_base
from skmoe._data.sklearn_adapter import predict_expert, predict_oob
from skmoe.gates import SoftmaxGate

N = 160


def numbers(n_columns=4, seed=0):
    """Columns of different spread about different centers, and a target in two regimes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, n_columns)) * np.arange(1, n_columns + 1) + 10.0
    Z = (X - 10.0) / np.arange(1, n_columns + 1)
    slopes = np.arange(1.0, n_columns + 1)
    y = np.where(Z[:, 0] + 0.5 * Z[:, -1] > 0, Z @ slopes, -Z @ slopes[::-1])
    return X, y + 0.2 * rng.normal(size=N)


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **({"random_state": 0, "n_init": 1} | options))


def classifier(n_experts=2, **options):
    return MixtureOfExpertsClassifier(n_experts, **({"random_state": 0, "n_init": 1} | options))


# --- chosen columns -----------------------------------------------------------------------------

CHOICES = {
    "indices": [2, 0],
    "negative": [-2, 0],
    "mixed": [-1, 1],
    "mask": [True, False, False, True],
    "names": ["c", "a"],
}


def chosen(choice):
    """The same columns, as indices in the order of the choice."""
    given = CHOICES[choice]
    if choice == "names":
        return ["abcd".index(name) for name in given]
    if choice == "mask":
        return [0, 3]
    return [j if j >= 0 else 4 + j for j in given]


def given_table(X, choice):
    return pd.DataFrame(X, columns=list("abcd")) if choice == "names" else X


@pytest.mark.parametrize("choice", CHOICES)
def test_linear_experts_see_the_chosen_columns(choice):
    X, y = numbers()
    columns = chosen(choice)
    moe = regressor(1, alpha=1e-9, expert_features=CHOICES[choice]).fit(given_table(X, choice), y)
    single = LinearRegression().fit(X[:, columns], y)
    assert_allclose(moe.expert_coef_[0, columns], single.coef_, atol=1e-6)
    others = np.setdiff1d(np.arange(4), columns)
    assert (moe.expert_coef_[0, others] == 0.0).all()
    assert_allclose(moe.predict(given_table(X, choice)), single.predict(X[:, columns]), atol=1e-6)


@pytest.mark.parametrize("choice", CHOICES)
def test_the_gate_sees_the_chosen_columns(choice):
    X, y = numbers()
    columns = chosen(choice)
    moe = regressor(gate_features=CHOICES[choice]).fit(given_table(X, choice), y)
    logits = X[:, columns] @ moe.gate_coef_[:, columns].T + moe.gate_intercept_
    assert_allclose(moe.predict_gate(given_table(X, choice)), softmax(logits, axis=1))
    others = np.setdiff1d(np.arange(4), columns)
    assert (moe.gate_coef_[:, others] == 0.0).all()
    assert (np.abs(moe.gate_coef_[:, columns]) > 0.0).all()


@pytest.mark.parametrize("choice", CHOICES)
def test_estimators_see_the_chosen_columns(choice):
    X, y = numbers()
    X = np.column_stack([X[:, :3], np.arange(N)])
    log = Log()
    # The recorder takes its first column for the number of the row.
    given = {"indices": [3, 1], "negative": [-1, 1], "mixed": [3, -3], "mask": [3], "names": "dba"}
    columns = list(given[choice])
    if choice == "mask":
        columns = np.arange(4) >= 2
    moe = regressor(1, expert=RecordingRegressor(log), cross_fit=False, expert_features=columns)
    moe.fit(given_table(X, choice), y)
    index = {"mask": [2, 3], "names": [3, 1, 0]}.get(choice) or [j % 4 for j in given[choice]]
    seen = log.fits()[0]["X"]
    assert seen.shape == (N, len(index))
    order = np.argsort(seen[:, index.index(3)])
    assert_allclose(seen[order], X[:, index])
    moe.predict(given_table(X, choice))
    assert_allclose(log.questions()[-1][1], X[:, index])


def test_columns_are_those_of_new_rows():
    X, y = numbers()
    for options in ({}, {"expert": Ridge()}, {"base": Ridge()}):
        moe = quiet(regressor(expert_features=[-1, 0], gate_features=[1], **options), X, y)
        base = options.get("base") is not None
        before, moved = moe.predict_experts(X), X.copy()
        moved[:, [1, 2]] += 5.0
        if not base:
            assert_allclose(moe.predict_experts(moved), before)
        moved = X.copy()
        moved[:, [0, 2, 3]] += 5.0
        if not base:
            assert_allclose(moe.predict_gate(moved), moe.predict_gate(X))
        moved[:, 1] += 1.0
        assert np.abs(moe.predict_gate(moved) - moe.predict_gate(X)).max() > 1e-3


# --- the gate anew ------------------------------------------------------------------------------


def gate_by_name(moe, columns):
    """Probabilities from a table given as a dict of columns."""
    table = np.column_stack([columns[name] for name in moe.gate_feature_names_])
    return softmax(table @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)


class Stump(RegressorMixin, BaseEstimator):
    """A base that says the same whatever it is fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.where(np.asarray(X)[:, 0] > 10.0, 3.0, -1.0)


class Guess(ClassifierMixin, BaseEstimator):
    """A base of classes that says the same whatever it is fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        logits = np.outer(np.asarray(X)[:, 0] - 10.0, np.arange(len(self.classes_)))
        return softmax(logits, axis=1)


@pytest.mark.parametrize("gate_features", [None, [2, 0], [3, 1, 0]])
@pytest.mark.parametrize("transformed", [False, True])
def test_coefficients_of_the_gate_are_in_the_order_of_its_names(gate_features, transformed):
    X, y = numbers()
    gate = SoftmaxGate(transformer=StandardScaler()) if transformed else "softmax"
    moe = regressor(base=Stump(), gate_features=gate_features, gate=gate).fit(X, y)
    scaled = StandardScaler().fit_transform(X) if transformed else X
    columns = {f"x{j}": scaled[:, j] for j in range(4)} | {"base": Stump().predict(X)}
    expected = [f"x{j}" for j in (range(4) if gate_features is None else gate_features)]
    assert list(moe.gate_feature_names_) == [*expected, "base"]
    assert_allclose(moe.predict_gate(X), gate_by_name(moe, columns), atol=1e-9)


@pytest.mark.parametrize("gate_features", [None, [2, 0]])
def test_coefficients_of_a_gate_of_classes_are_in_the_order_of_its_names(gate_features):
    X, y = numbers()
    labels = np.digitize(y, np.quantile(y, [0.3, 0.7]))
    moe = classifier(base=Guess(), gate_features=gate_features).fit(X, labels)
    logs = np.log(Guess().fit(X, labels).predict_proba(X))
    logs = np.log(np.maximum(np.exp(logs), 1e-6))
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    columns = {f"x{j}": X[:, j] for j in range(4)}
    columns |= {f"base_{label}": logs[:, label] for label in range(3)}
    assert_allclose(moe.predict_gate(X), gate_by_name(moe, columns), atol=1e-9)


def test_experts_of_classes_see_what_a_base_says():
    X, y = numbers()
    labels = np.where(y > np.median(y), "hi", "lo")
    moe = classifier(1, base=Guess(), alpha=1e-6, tol=1e-13).fit(X, labels)
    logs = np.log(Guess().fit(X, labels).predict_proba(X))
    table = StandardScaler().fit_transform(np.column_stack([X, logs]))
    single = LogisticRegression(C=1e6, tol=1e-10, max_iter=5000).fit(table, labels)
    assert_allclose(moe.predict_proba(X), single.predict_proba(table), atol=1e-3)
    # The base alone is not linear in the features.
    blind = LogisticRegression(C=1e6, max_iter=5000).fit(table[:, :4], labels)
    assert np.abs(blind.predict_proba(table[:, :4]) - moe.predict_proba(X)).max() > 0.02


def test_a_base_is_added_to_the_mean_that_experts_say():
    X, y = numbers()
    moe = regressor(1, base=Stump(), alpha=1e-9, dispersion_prior=0.0).fit(X, y)
    single = LinearRegression().fit(X, y - Stump().predict(X))
    assert_allclose(moe.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(moe.predict(X), single.predict(X) + Stump().predict(X), atol=1e-6)


# --- classes that a model missed ----------------------------------------------------------------


def test_probabilities_are_those_of_the_classes_that_a_model_knows():
    X, _ = numbers()
    y = np.where(X[:, 0] > 10.0, "c", "a")
    classes = np.array(["a", "b", "c"])
    model = LogisticRegression().fit(X, y)
    told = model.predict_proba(X)
    found = predict_base(model, X, classes)
    assert_allclose(np.exp(found).sum(axis=1), 1.0)
    assert_allclose(np.exp(found[:, [0, 2]]), np.maximum(told, 1e-6), rtol=1e-4, atol=1e-5)
    assert (np.exp(found[:, 1]) < 2e-6).all()
    probs = predict_expert(model, X, classes)
    assert_allclose(probs[[0, 2]], 0.997 * told.T + 0.001)
    assert_allclose(probs[1], 0.001)
    constant = DummyClassifier().fit(X, np.full(N, "b"))
    assert_allclose(predict_expert(constant, X, classes)[1], 0.998)


def test_votes_out_of_bag_are_those_of_the_classes_that_a_model_knows():
    X, _ = numbers()
    y = np.where(X[:, 0] > 9.0, "c", "a")
    model = RandomForestClassifier(50, oob_score=True, random_state=0).fit(X, y)
    probs = predict_oob(model, np.array(["a", "b", "c"]))
    assert_allclose(probs[1], 0.001)
    assert (probs[2, y == "c"] > 0.5).mean() > 0.95
    assert (probs[0, y == "a"] > 0.5).mean() > 0.95


@pytest.mark.parametrize("options", [{"base": LogisticRegression()}, {"expert": "tree"}])
def test_a_class_that_a_fold_misses_is_no_other_class(options):
    X, y = numbers()
    labels = np.where(y > np.median(y), 2, 0)
    labels[5] = 1  # in one fold only, and then not fitted
    moe = classifier(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, labels)
    probs = moe.predict_proba(X)
    assert_allclose(probs.sum(axis=1), 1.0)
    assert probs[:, 1].mean() < 0.1
    assert moe.score(X, labels) > 0.7


# --- named linear experts -----------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, 500.0])
def test_alpha_is_that_of_named_linear_experts(alpha):
    X, y = numbers()
    moe = regressor(1, expert=["linear"], alpha=alpha, cross_fit=False).fit(X, y)
    single = make_pipeline(StandardScaler(with_mean=False), Ridge(alpha)).fit(X, y)
    assert_allclose(moe.predict(X), single.predict(X), atol=1e-8)
    labels = y > np.median(y)
    moe = classifier(1, expert=["linear"], alpha=alpha, cross_fit=False).fit(X, labels)
    logistic = LogisticRegression(C=1 / alpha, max_iter=1000)
    single = make_pipeline(StandardScaler(with_mean=False), logistic).fit(X, labels)
    assert_allclose(moe.predict_proba(X), 0.998 * single.predict_proba(X) + 0.001, atol=1e-4)


# --- encodings ----------------------------------------------------------------------------------


def holes():
    """A frame of numbers with holes and of categories, some rare, some missing."""
    X, y = numbers()
    rng = np.random.default_rng(5)
    towns = np.array(["rome", "oslo", "bonn", "lima", "nice", "cork"])
    town = rng.choice(towns, p=[0.35, 0.3, 0.2, 0.05, 0.05, 0.05], size=N)
    frame = pd.DataFrame({"size": X[:, 0], "town": town, "age": X[:, 1], "cost": X[:, 2]})
    frame.loc[::7, "size"] = np.nan
    frame.loc[3::11, "cost"] = np.nan
    y = y + 3.0 * (town == "oslo") - 2.0 * frame["size"].isna().to_numpy()
    return frame, y


def lower_median(values, weight):
    known = ~np.isnan(values)
    order = np.argsort(values[known])
    share = np.cumsum(weight[known][order]) / weight[known].sum()
    return values[known][order][np.searchsorted(share, 0.5)]


def columns_by_name(frame, weight, levels):
    """What the gate may see of a frame, by the names that it gives it."""
    columns = {}
    for name in ("size", "age", "cost"):
        values = frame[name].to_numpy(dtype=float, na_value=np.nan)
        columns[name] = np.where(np.isnan(values), lower_median(values, weight), values)
        columns[f"missingindicator_{name}"] = np.isnan(values)
    texts = frame["town"].astype(object)
    missing = texts.isna().to_numpy()
    columns["missingindicator_town"] = missing
    for level in levels:
        columns[f"town_{level}"] = (texts == level).fillna(False).to_numpy(dtype=bool)
    frequent = np.any([columns[f"town_{level}"] for level in levels], axis=0) | missing
    columns["town_infrequent"] = ~frequent
    return columns


TREES = HistGradientBoostingRegressor(max_iter=3, categorical_features="from_dtype")


def with_categories(frame):
    return frame.assign(town=frame["town"].astype("category"))


@pytest.mark.parametrize("gate_features", [None, ["cost", "town"], ["size"], ["town"]])
def test_the_gate_of_a_frame_is_that_of_its_named_columns(gate_features):
    frame, y = holes()
    weight = np.random.default_rng(1).uniform(0.2, 3.0, size=N)
    moe = regressor(expert=["linear", "tree"], gate_features=gate_features, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(frame, y, sample_weight=weight)
    columns = columns_by_name(frame, weight, sorted(set(frame["town"])))
    assert_allclose(moe.predict_gate(frame), gate_by_name(moe, columns), atol=1e-9)
    given = {"size", "town", "age", "cost"} if gate_features is None else set(gate_features)
    for name, slopes in zip(moe.gate_feature_names_, moe.gate_coef_.T, strict=True):
        root = name.removeprefix("missingindicator_").split("_")[0]
        assert (np.abs(slopes).max() > 0.0) == (root in given), name


def test_rare_categories_share_a_column_by_weight(monkeypatch):
    monkeypatch.setattr(encoding, "MAX_CATEGORIES", 3)
    frame, y = holes()
    frame.loc[5::9, "town"] = None
    town = frame["town"].to_numpy(dtype=object)
    # Few rows of Lima, but the heaviest; many of Rome, but the lightest.
    weight = np.where(town == "lima", 60.0, np.where(town == "rome", 0.01, 1.0))
    moe = regressor(expert=["linear", "tree"], max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(frame, y, sample_weight=weight)
    names = [name for name in moe.gate_feature_names_ if "town" in name]
    assert names == ["town_lima", "town_oslo", "town_infrequent"]
    assert_allclose(
        moe.predict_gate(frame),
        gate_by_name(
            moe,
            columns_by_name(frame, weight, ["lima", "oslo"])
            | {"town_infrequent": ~np.isin(town, ["lima", "oslo"])},
        ),
        atol=1e-9,
    )


KINDS = {
    "None": lambda frame: frame.assign(town=frame["town"].astype(object)),
    "NA": lambda frame: frame.assign(
        town=frame["town"].astype("string"), size=frame["size"].astype("Float64")
    ),
    "category": with_categories,
    "polars": lambda frame: pytest.importorskip("polars").DataFrame(
        {
            name: [None if pd.isna(value) else value for value in frame[name]]
            for name in frame.columns
        }
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_are_missing_however_they_are_written(kind):
    frame, _ = holes()
    frame = frame.assign(town=frame["town"].astype(object).where(np.arange(N) % 9 != 5, None))
    table = KINDS[kind](frame)
    encoder = encoding.make_encoder(table, np.ones(N), True)
    names = encoding.encoded_names(encoder, np.array(list(frame.columns)))
    columns = columns_by_name(frame, np.ones(N), sorted(set(frame["town"].dropna())))
    found = dict(zip(names, encoding.encode(encoder, table).T, strict=True))
    assert "missingindicator_town" in names
    assert "town_<NA>" not in names
    for name, values in found.items():
        assert_allclose(values, columns[name].astype(float), err_msg=name)
    assert np.isnan(encoding.numeric_values(encoder, table)).sum() == frame["size"].isna().sum() + (
        frame["cost"].isna().sum()
    )


def test_frames_of_polars_are_fitted_like_those_of_pandas():
    frame, y = holes()
    moes = []
    for kind in ("category", "polars"):
        table = KINDS[kind](frame[["size", "age", "cost", "town"]])
        table = table.drop(columns="town") if kind == "category" else table.drop("town")
        expert = HistGradientBoostingRegressor(max_iter=3)
        moes.append((quiet(regressor(expert=expert, max_iter=3), table, y), table))
    gates = [moe.predict_gate(table) for moe, table in moes]
    assert_allclose(*gates)


@pytest.mark.parametrize("features", [["cost", "town"], ["town", "age", "size"], ["age", "cost"]])
def test_named_experts_see_the_chosen_columns_of_a_frame(features):
    frame, y = holes()
    moe = regressor(1, expert=["linear"], expert_features=features, alpha=2.0, cross_fit=False)
    moe.fit(frame, y)
    part = frame[features]
    categories = [name for name in features if name == "town"]
    numbers_ = [name for name in features if name != "town"]
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), categories), ("passthrough", numbers_)
    )
    steps = [SimpleImputer(add_indicator=True), StandardScaler(with_mean=False), Ridge(2.0)]
    single = make_pipeline(*([encode] if categories else []), *steps).fit(part, y)
    assert_allclose(moe.predict(frame), single.predict(part), atol=1e-8)
    # Columns that experts are not given do not matter.
    other = frame.copy()
    for name in set(frame.columns) - set(features) - {"town"}:
        other[name] = 0.0
    assert_allclose(moe.predict_experts(other), moe.predict_experts(frame))


def test_estimators_see_the_chosen_columns_of_a_frame():
    frame, y = holes()
    frame = with_categories(frame)
    moe = regressor(1, expert=TREES, expert_features=["town", "age"], cross_fit=False).fit(frame, y)
    single = TREES.fit(frame[["town", "age"]], y)
    assert list(moe.experts_[0][0].feature_names_in_) == ["town", "age"]
    assert_allclose(moe.predict(frame), single.predict(frame[["town", "age"]]), atol=0.3)
    labels = y > np.median(y)
    expert = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    moe = classifier(2, expert=expert, expert_features=["town", "age"], max_iter=3)
    quiet(moe, frame, labels)
    assert list(moe.experts_[0][0].feature_names_in_) == ["town", "age"]


def test_holes_are_accepted_only_where_every_expert_takes_them():
    frame, y = holes()
    table = frame[["size", "age"]].to_numpy()
    # The mixture refuses them, before an expert does.
    with pytest.raises(ValueError, match="X must have no missing values unless every"):
        regressor(expert=[Ridge(), "tree"]).fit(table, y)
    quiet(regressor(expert=["linear", "tree"], max_iter=2), table, y)
