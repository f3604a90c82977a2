"""Summaries and explanations agree with what the estimator computes elsewhere."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import flipping_classes, two_regimes
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.summary import _models_name
from skmoe.gates import SoftmaxGate
from skmoe.inspection import export_mermaid, export_text


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(n_rows=300)
    X = pd.DataFrame(X, columns=["price", "age", "size"])
    return MixtureOfExpertsRegressor(2, tol=1e-8, random_state=0).fit(X, y), X, y


def numbers_after(name, text):
    line = next(line for line in text.splitlines() if line.strip().startswith(name))
    return [float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line[22:])]


def test_a_summary_agrees_with_the_estimator(fitted):
    moe, X, y = fitted
    summary = moe.summary(X, y)
    text = str(summary)
    joint_rows = moe.responsibilities(X, y).sum(axis=0)
    for k, expert in enumerate(summary.experts):
        assert_allclose(expert.share, moe.weights_[k])
        assert_allclose(expert.rows, joint_rows[k])
        assert_allclose(expert.load, moe.load_[k])
        assert_allclose(expert.noise, np.sqrt(moe.noise_variance_[k]))
        assert f"expert {k} (linear): {100 * moe.weights_[k]:.1f} % of the rows" in text
    assert float(summary.facts["log-likelihood"]) == pytest.approx(
        moe.score_samples(X, y).sum(), rel=1e-5
    )
    for name, method in (("AIC", moe.aic), ("BIC", moe.bic), ("ICL", moe.icl)):
        assert float(summary.facts[name]) == pytest.approx(method(X, y), rel=1e-5)
    block = text[text.index("expert 1 (") :]
    found = moe.inference(X, y)
    index = found.terms.index(("expert 1", "", "age"))
    estimate, error, z = numbers_after("age", block)[:3]
    assert_allclose(estimate, moe.expert_coef_[1, 1], rtol=1e-3)
    assert_allclose(error, found.standard_errors[index], rtol=1e-3)
    assert_allclose(z, found.z_values[index], atol=0.01)
    assert "converged" in text
    assert "observed information" in text


def test_words_name_the_features_with_the_largest_effects_on_the_gate(fitted):
    moe, X, y = fitted
    up = int(np.argmax(moe.gate_coef_[:, 0]))
    experts = moe.summary().experts
    assert experts[up].gate_description.startswith("more likely for high price (log odds +")
    assert experts[1 - up].gate_description.startswith("more likely for low price (log odds -")
    assert "age" not in experts[up].gate_description
    alone = MixtureOfExpertsRegressor(1).fit(X, y).summary().experts[0]
    assert alone.gate_description == "used for every row"
    constant = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y).summary()
    assert "same probability" in constant.experts[0].gate_description


def test_without_the_data_there_are_estimates_only(fitted):
    moe, X, _ = fitted
    summary = moe.summary()
    assert summary.inference is None
    assert "std. error" not in str(summary)
    assert "summary(X, y)" in str(summary)
    frame = summary.to_frame()
    assert list(frame.columns) == ["estimate"]
    assert_allclose(frame.loc[("expert 0", "", "size"), "estimate"], moe.expert_coef_[0, 2])
    assert "AIC" not in summary.facts
    with pytest.raises(ValueError, match="both X and y"):
        moe.summary(X)
    with pytest.raises(ValueError, match="needs X and y"):
        moe.summary(method="sandwich")


def test_frames(fitted):
    moe, X, y = fitted
    summary = moe.summary(X, y, level=0.5, method="sandwich")
    pd.testing.assert_frame_equal(
        summary.to_frame(), moe.inference(X, y, method="sandwich").to_frame(0.5)
    )
    experts = summary.to_frame("experts")
    assert_allclose(experts["share"], moe.weights_)
    with pytest.raises(ValueError, match='what must be "experts"'):
        summary.to_frame("gate")
    assert "sandwich" in str(summary)
    assert "25 %" in str(summary)


def test_the_reference_of_the_gate_is_not_listed(fitted):
    moe, X, y = fitted
    text = str(moe.summary(X, y, gate_reference=0))
    title, gate = text[text.index("Gate: ") :].split("\n", 1)
    assert title == "Gate: log odds against expert 0"
    assert "Gate: log odds of expert 1 against expert 0\n" in str(moe.summary())
    assert "expert 1" in gate
    assert "expert 0" not in gate
    assert_allclose(
        numbers_after("price", gate)[0], moe.gate_coef_[1, 0] - moe.gate_coef_[0, 0], rtol=1e-3
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_named(n_classes):
    X, codes = flipping_classes(n_rows=400, n_classes=n_classes)
    y = np.array(["no", "yes", "perhaps"])[codes]
    moe = MixtureOfExpertsClassifier(2, tol=1e-8, random_state=0).fit(X, y)
    summary = moe.summary(X, y)
    responses = {term.response for term in summary.inference.terms if term.part == "expert 0"}
    assert responses == ({""} if n_classes == 2 else set(moe.classes_))
    assert "noise sd" not in str(summary)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expert", ["tree", RandomForestRegressor(5), MixtureOfExpertsRegressor(2)])
def test_estimators_are_described(fitted, expert):
    _, X, y = fitted
    moe = MixtureOfExpertsRegressor(2, expert=expert, n_init=1, max_iter=4, random_state=0)
    summary = moe.fit(X, y).summary(X, y)
    text = str(summary)
    kind = type(moe.experts_[0][0]).__name__
    assert f"{kind}" in text
    assert "average of 5" in text
    assert summary.inference is None
    if hasattr(moe.experts_[0][0], "feature_importances_"):
        importance = np.mean([model.feature_importances_ for model in moe.experts_[0]], axis=0)
        name = X.columns[np.argmax(importance)]
        assert summary.experts[0].importances[0] == (f"importance of {name}", importance.max())
    for expert in summary.experts:
        for of_feature, value in expert.importances:
            assert re.search(rf"^  {re.escape(of_feature)} +{value:.3f}$", text, re.MULTILINE)
    with pytest.raises(ValueError, match='what must be "experts"'):
        summary.to_frame()


def derivative_of_predict(moe, X, name, step=1e-6):
    above, below = X.copy(), X.copy()
    above[name] += step
    below[name] -= step
    return (moe.predict(above) - moe.predict(below)) / (2 * step)


def counts(n_rows=500):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, size=(n_rows, 2)), columns=["dose", "age"])
    log_mean = np.where(X["dose"] > 0, 1 + 0.8 * X["age"], 2 - X["age"])
    return X, rng.poisson(np.exp(log_mean))


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize(
    "family", ["normal", "poisson", "negative_binomial", "student_t", ["zero", "poisson"]]
)
@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_an_explanation_adds_up_to_the_derivative(family, gate, n_outputs):
    X, y = counts()
    y = y if n_outputs == 1 else np.column_stack([y, y[::-1]])
    if "zero" in family:  # of all outputs at once
        y[::3] = 0
    moe = MixtureOfExpertsRegressor(2, family=family, gate=gate, random_state=0).fit(X, y)
    explanation = moe.explain(X)
    assert_allclose(explanation.gate, moe.predict_gate(X))
    blended = np.einsum("nk,nk...->n...", explanation.gate, explanation.experts)
    assert_allclose(blended, moe.predict(X))
    for j, name in enumerate(X.columns):
        total = explanation.slope[..., j] + explanation.gate_effect[..., j]
        derivative = derivative_of_predict(moe, X, name)
        assert_allclose(total, derivative, rtol=1e-4, atol=1e-4)


def test_gate_effects_are_those_of_features():
    """Not those of as many columns that a transformer has made."""
    X, y = counts()
    gate = SoftmaxGate(transformer=StandardScaler())
    moe = MixtureOfExpertsRegressor(2, gate=gate, random_state=0).fit(X, y)
    assert moe.gate_coef_.shape == (2, 2)
    assert set(moe.explain(X)) == {"gate", "experts", "slope"}


def test_equations_have_the_link_of_the_family():
    X, y = counts()
    moe = MixtureOfExpertsRegressor(2, family="poisson", random_state=0).fit(X, y)
    text = export_text(moe, max_features=1)
    for k, block in enumerate(text.split("\n\n")[1:]):
        j = np.argmax(np.abs(moe.expert_coef_[k]))
        sign = "-" if moe.expert_coef_[k, j] < 0 else "+"
        intercept, slope = moe.expert_intercept_[k], abs(moe.expert_coef_[k, j])
        predictor = f"{intercept:.2f} {sign} {slope:.2f} {X.columns[j]}"
        assert f"expected y = exp({predictor}), and 1 more" in block
    assert "expected y = exp(linear predictor)" in str(moe.summary(X, y))
    assert "noise" not in str(moe.summary(X, y))


@pytest.mark.parametrize(
    ("expert", "words", "n_free"),
    [
        (DecisionTreeClassifier(max_depth=2), "DecisionTreeClassifier, 1.8 leaves", 2 * 2),
        (LogisticRegression(), "LogisticRegression, average of 5", 2),
    ],
)
def test_models_whose_rows_have_one_class_are_counted_and_described(expert, words, n_free):
    """They are constants, without free parameters; beside trees they count as one leaf."""
    X, y = np.arange(20.0)[:, None], np.arange(20) == 19
    moe = MixtureOfExpertsClassifier(1, expert=expert, random_state=0).fit(X, y)
    kinds = {type(model).__name__ for model in moe.experts_[0]}
    assert kinds == {"DummyClassifier", type(expert).__name__}
    assert words in str(moe.summary(X, y))
    assert moe.n_parameters_ == n_free


def test_a_summary_without_standard_errors_names_the_reason():
    X, y = counts()
    moe = MixtureOfExpertsRegressor(2, base=Ridge(), random_state=0).fit(X, y)
    reason = "No standard errors: inference needs a mixture without a base."
    assert reason in str(moe.summary(X, y))
    moe = MixtureOfExpertsRegressor(2, top_k=1, random_state=0).fit(X, y)
    reason = "No standard errors: inference needs every expert to see every row."
    assert reason in str(moe.summary(X, y))
    with pytest.raises(ValueError, match="every expert to see every row"):
        moe.summary(X, y, method="sandwich")


def test_explanations_of_other_kinds(fitted):
    _, X, y = fitted
    many = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.column_stack([y, -2 * y]))
    explanation = many.explain(X)
    assert explanation.slope.shape == explanation.gate_effect.shape == (300, 2, 3)
    assert_allclose(explanation.slope[:, 1], -2 * explanation.slope[:, 0], atol=0.05)
    features, classes = flipping_classes(n_rows=200, n_classes=3)
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(features, classes)
    explanation = moe.explain(features)
    assert explanation.experts.shape == (200, 2, 3)
    assert explanation.slope.shape == (200, 3, features.shape[1])
    trees = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=3, random_state=0)
    with pytest.warns(ConvergenceWarning):
        trees.fit(X, y)
    assert set(trees.explain(X)) == {"gate", "experts"}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("summary", ()), ("inference", ([[0.0]], [0.0])), ("explain", ([[0.0]],))],
)
def test_not_fitted(method, arguments):
    with pytest.raises(NotFittedError):
        getattr(MixtureOfExpertsRegressor(), method)(*arguments)


def test_missing_pandas_is_named(fitted, monkeypatch):
    moe, X, y = fitted
    found = moe.summary(X, y)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "skmoe\[frames\]"'):
        found.to_frame()


def test_an_explanation_of_averaged_starts_is_the_derivative_of_predict(fitted):
    _, X, y = fitted
    moe = MixtureOfExpertsRegressor(2, combine="average", n_init=3, random_state=0).fit(X, y)
    explanation = moe.explain(X)
    total = explanation.slope + explanation.gate_effect
    for j, name in enumerate(X.columns):
        assert_allclose(total[:, j], derivative_of_predict(moe, X, name), rtol=1e-4, atol=1e-6)
    # Log odds are those of two experts, not of six.
    k = int(np.argmax(np.abs(moe.gate_coef_[:, 0])))
    log_odds = 2 * moe.gate_coef_[k, 0]
    assert f"price {log_odds:+.2f}" in export_text(moe).split("\n\n")[1 + k]
    effect = dict(moe.summary().experts[k].gate_effects)["price"]
    assert effect == pytest.approx(log_odds * X["price"].std(ddof=0))


def test_averages_of_starts_of_one_expert_have_no_gate_effects(fitted):
    _, X, y = fitted
    moe = MixtureOfExpertsRegressor(1, combine="average", n_init=2, random_state=0).fit(X, y)
    assert "per SD" not in str(moe.summary(X, y))
    assert "same for all rows" in export_text(moe)


HOSTILE = ["red\x1b[31m", "back\x08wards\u202e", "two\n\tlines"]


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_names_cannot_control_a_terminal(kind):
    """Escape sequences of names are shown, and not obeyed."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=HOSTILE)
    y = np.abs(X.to_numpy()).sum(axis=1)
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1)
    if kind == "classifier":
        moe = MixtureOfExpertsClassifier(2, random_state=0, n_init=1)
        y = np.array(["low", "ring\x07"])[(y > 2.5) * 1]
    moe.fit(X, y)
    texts = [str(moe.summary()), str(moe.summary(X, y)), repr(moe.summary())]
    texts += [export_text(moe), export_text(moe, X=X), export_mermaid(moe, X=X)]
    for text in texts:
        for line in text.split("\n"):
            assert line.isprintable(), repr(line)
    assert all(name in texts[1] for name in ("red\\x1b[31m", "back\\x08wards\\u202e", "two lines"))
    assert kind == "regressor" or "class ring\\x07" in export_text(moe)
    assert HOSTILE[0] in {term.name for term in moe.inference(X, y).terms}


# --- ratios -----------------------------------------------------------------------------------


def ratings(n_rows=900):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, size=(n_rows, 2)), columns=["dose", "age"])
    score = np.where(X["dose"] > 0, 1 + 2 * X["age"], -2 * X["age"]) + rng.logistic(size=n_rows)
    return X, np.digitize(score, [-1.0, 0.0, 2.0])


@pytest.mark.parametrize("family", ["poisson", "gamma", "lognormal", "ordinal", ["poisson"] * 2])
@pytest.mark.parametrize("method", ["observed", "bootstrap"])
def test_ratios_are_exponentials_of_slopes_and_their_intervals(family, method):
    X, y = ratings() if family == "ordinal" else counts()
    y = y + 0.5 if family in ("gamma", "lognormal") else y
    moe = MixtureOfExpertsRegressor(2, family=family, random_state=0).fit(X, y)
    options = {"n_bootstrap": 4, "random_state": 0} if method == "bootstrap" else {}
    found = moe.inference(X, y, method=method, **options)
    frame = found.to_frame(0.8)
    slopes = [(part, "", name) for part in ("expert 0", "expert 1") for name in X.columns]
    assert set(frame.index[frame["ratio"].notna()]) == set(slopes)
    others = frame.drop(slopes)[["ratio", "ratio lower", "ratio upper"]]
    assert others.isna().to_numpy().all()
    for part, response, name in slopes:
        i = found.terms.index((part, response, name))
        k, j = int(part[-1]), X.columns.get_loc(name)
        if method == "observed":
            half = 1.2815515655446004 * found.standard_errors[i]  # the 90 % quantile
            expected = np.exp(found.estimates[i] + np.array([0.0, -half, half]))
            assert_allclose(found.estimates[i], moe.expert_coef_[k, j], rtol=0.02, atol=0.02)
        else:
            expected = np.exp([moe.expert_coef_[k, j], *found.conf_int(0.8)[i]])
        row = frame.loc[(part, response, name), ["ratio", "ratio lower", "ratio upper"]]
        assert_allclose(row.astype(float), expected)


def test_summaries_show_the_ratio_of_each_slope():
    X, y = counts()
    y = y + 0.5
    moe = MixtureOfExpertsRegressor(2, family=["gamma", "normal"], random_state=0).fit(X, y)
    for summary in (moe.summary(X, y), moe.summary()):
        blocks = str(summary).split("\n\n")
        assert [block.split("\n")[2].endswith("  ratio") for block in blocks[1:3]] == [True, False]
        assert "ratio" not in blocks[3].split("\n")[1]  # the gate
        row = next(line for line in blocks[1].split("\n") if line.strip().startswith("age"))
        table = summary.to_frame()
        ratio = np.exp(table.loc[("expert 0", "", "age"), "estimate"])
        assert_allclose(table.loc[("expert 0", "", "age"), "ratio"], ratio)
        assert float(row.split()[-1]) == pytest.approx(ratio, rel=1e-3)
        intercept = next(line for line in blocks[1].split("\n") if "(Intercept)" in line)
        assert len(intercept.split()) == len(row.split()) - 1
        assert "Ratio: factor of the mean" in str(summary)


def test_shared_slopes_are_ratios_if_all_experts_have_them():
    X, y = counts()
    for family, is_ratio in [
        (["poisson", "negative_binomial"], True),
        (["poisson", "zero"], True),
        (["gamma", "normal"], False),
    ]:
        moe = MixtureOfExpertsRegressor(
            2, family=family, shared_features=["age"], random_state=0
        ).fit(X, y + 0.5 if "gamma" in family else y)
        frame = moe.summary().to_frame()
        assert frame.loc[("all experts", "", "age"), "ratio":].notna().item() == is_ratio
        assert frame.loc[("expert 0", "", "dose"), "ratio":].notna().item()


def test_without_ratios_there_are_no_columns_of_them(fitted):
    moe, X, y = fitted
    assert "ratio" not in moe.inference(X, y).to_frame().columns
    assert not re.search(r"\b[Rr]atio\b", str(moe.summary(X, y)))


def test_a_slope_shared_with_an_expert_without_slopes_has_a_standard_error():
    X, y = counts()
    y[::3] = 0
    options = {"family": ["poisson", "zero"], "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, shared_features=["age"], **options).fit(X, y)
    plain = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    for term in [("expert 0", "", "(Intercept)"), ("expert 0", "", "dose")]:
        errors = [found.inference(X, y).to_frame().loc[term] for found in (moe, plain)]
        assert errors[0]["reason"] == ""
        assert_allclose(errors[0]["standard error"], errors[1]["standard error"], rtol=1e-4)
    frame = moe.inference(X, y).to_frame()["standard error"]
    expected = plain.inference(X, y).to_frame()["standard error"]
    assert_allclose(frame[("all experts", "", "age")], expected[("expert 0", "", "age")], rtol=1e-4)


def test_several_models_of_an_expert_are_called_an_average():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    models = [Ridge().fit(X, y) for _ in range(3)]
    assert _models_name(models) == "Ridge, average of 3"
    assert _models_name(models[:1]) == "Ridge"
