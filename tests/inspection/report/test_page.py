"""The page of a report: what it says, what it refuses, and that it loads nothing."""

import base64
import hashlib
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import metrics
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from skmoe.data import left_censored, right_censored
from skmoe.families import FAMILIES
from skmoe.inspection import export_html, export_text
from skmoe.metrics import make_survival_scorers
from skmoe.recipes import mixture_of
from support.expert_kinds import options_of
from support.fits import CLASSES, UNITS, X, Y, classifier, fit_quietly, regressor, target_of
from support.refusals import assert_refused, refusal
from support.report_panels import as_number, plain, write_page
from support.tables import flipping_classes

pytest.importorskip("jinja2", reason="the report needs jinja2")
plt = pytest.importorskip("matplotlib.pyplot", reason="the report needs matplotlib")
plt.switch_backend("agg")

SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 20}
NAMES = ["calm <i>", r"wild & $$x$$ \(y\) \[z\]"]
HELD_OUT = {"X_held_out": X[200:].tolist(), "y_held_out": Y[200:].tolist()}


@pytest.fixture(scope="module")
def moe():
    return fit_quietly(regressor(n_experts=2, max_iter=200), X[:200], Y[:200])


@pytest.fixture(scope="module")
def plain_page(moe, tmp_path_factory):
    """Without any option."""
    return write_page(tmp_path_factory.mktemp("report"), moe, X[:200], Y[:200])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """With the names, the title, the row and the held-out rows of a user, which are lists."""
    frame = pd.DataFrame(X[:200], columns=["height", r"\[weight\] $$w$$"])
    moe = fit_quietly(regressor(n_experts=2, max_iter=200), frame, Y[:200])
    moe.set_expert_names(NAMES)
    y = pd.Series(Y[:200], name=r"$$\frac{1}{2}$$")
    given = HELD_OUT | {"coverage": 0.8, "row": 5, "title": "Two <b>regimes</b>"}
    given["X_held_out"] = pd.DataFrame(X[200:], columns=frame.columns)
    return write_page(tmp_path_factory.mktemp("report"), moe, frame, y, **given)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A mixture of three classes, its table, weights of held-out rows and its page."""
    table, codes = flipping_classes(120, 3)
    table = table[:, :2]
    y = np.array(["red", "green", "blue"])[codes]
    moe = fit_quietly(classifier(**SHORT), table[:80], y[:80])
    given = {"X_held_out": table[80:], "y_held_out": y[80:], "max_features": 1}
    given["sample_weight_held_out"] = np.arange(40.0)
    folder = tmp_path_factory.mktemp("report")
    return moe, table, y, write_page(folder, moe, table[:80], y[:80], **given)


# --- the file ---------------------------------------------------------------------------------


def test_the_page_is_whole_and_loads_nothing(page):
    """Its scripts are those whose hashes are in its policy."""
    text = page.text
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert len(text.encode()) < 5e5
    assert "//cdn" not in text
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', without_scripts)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in without_scripts
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'")
    allowed = re.findall(r"'sha256-(.*?)'", policy.replace("&#39;", "'"))
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    assert allowed == [base64.b64encode(found).decode() for found in hashes]


def test_texts_of_the_user_are_escaped_and_no_formulas(page):
    assert "<title>Two &lt;b&gt;regimes&lt;/b&gt;</title>" in page.text
    markup = re.sub(r"<script.*?</script>", "", page.text, flags=re.DOTALL)
    assert "<b>regimes" not in markup
    assert "calm &lt;i&gt;" in markup
    assert "<i>" not in markup
    assert page.panel["experts"] == NAMES
    assert page.panel["target"] == r"$$\frac{1}{2}$$"


def test_equal_reports_are_equal_and_leave_the_styles_of_the_user(moe, plain_page, tmp_path):
    own, before = plt.figure(), dict(plt.rcParams)
    again = write_page(tmp_path, moe, X[:200], Y[:200])
    assert plain_page.text == again.text
    assert plt.get_fignums() == [own.number]
    assert dict(plt.rcParams) == before


# --- what the page says -----------------------------------------------------------------------


def test_groups_come_first_and_texts_of_the_fit_last(moe, page, plain_page):
    sections = re.findall(r'<section aria-labelledby="(.*?)-title"', page.text)
    wanted = ["experts", "held-out", "panel", "details", "pictures", "selection"]
    assert sections == wanted
    assert "Mixture of experts for y" in plain_page.text
    assert "The model divides 200 rows into 2 groups." in plain(page.text.partition("<main>")[0])
    for text in (export_text(moe, X=X[:200]), str(moe.summary(X[:200], Y[:200]))):
        assert plain(text.replace("<", "&lt;")) in plain_page.section("details")
    assert "The number of experts, 2, was given" in page.section("selection")
    for found in (page, plain_page):
        assert "Warnings" not in found.text
    assert plain_page.text.count('<img src="data:image/svg+xml;base64,') == 1
    assert page.text.count('<img src="data:image/svg+xml;base64,') == 2


NUMBER = r"(\S+?)"


def test_cards_have_the_rows_of_an_expert_and_what_changes_its_prediction(moe, page, plain_page):
    resp, table = moe.responsibilities(X[:200], Y[:200]), X[:200]
    mean, std = table.mean(axis=0), table.std(axis=0)
    for k, (card, named) in enumerate(zip(plain_page.cards(), page.cards(), strict=True)):
        assert card.startswith(f"expert {k} {100 * moe.weights_[k]:.0f} % of the rows")
        assert named.startswith(NAMES[k])
        weight = resp[:, k] / resp[:, k].sum()
        found = re.search(rf"Mean of y: {NUMBER} Range .*?: {NUMBER} to {NUMBER} ", card)
        ends = [as_number(text) + 0.01 for text in found.groups()[1:]]
        below = np.array([weight[Y[:200] <= end].sum() for end in ends])
        assert_allclose(as_number(found[1]), weight @ Y[:200], rtol=6e-3)
        assert_allclose(below, [0.1, 0.9], atol=0.03)
        own = weight @ table
        order = np.argsort(-np.abs((own - mean) / std))
        lines = re.findall(rf"mean of (x\d): {NUMBER} \(all rows: {NUMBER}\)", card)
        shown = [j for j in order if abs(own[j] - mean[j]) >= 0.1 * std[j]]
        assert [name for name, *_ in lines] == [f"x{j}" for j in shown]
        for (_, *texts), j in zip(lines, shown, strict=True):
            assert_allclose([as_number(text) for text in texts], [own[j], mean[j]], rtol=6e-3)
        effects = moe.expert_coef_[k] * std
        lines = re.findall(rf"(x\d): {NUMBER} per SD \({NUMBER}\)", card)
        assert [name for name, *_ in lines] == [f"x{j}" for j in np.argsort(-np.abs(effects))]
        for name, *texts in lines:
            j = int(name[1:])
            assert_allclose([as_number(text) for text in texts], [effects[j], std[j]], rtol=6e-3)


def test_cards_of_classes_have_shares_and_the_probability_that_changes_most(classes):
    """From the starting row."""
    moe, table, y, page = classes
    resp = moe.responsibilities(table[:80], y[:80])
    rows = np.tile(np.median(table[:80], axis=0), (2, 1))
    for k, card in enumerate(page.cards()):
        weight = resp[:, k] / resp[:, k].sum()
        for label in moe.classes_:
            share = int(re.search(rf"{label}: (\d+) %", card)[1])
            assert abs(share - 100.0 * weight @ (y[:80] == label)) <= 0.5
        [(name, label, text)] = re.findall(r"x(\d): probability of (\w+) (\S+) per SD", card)
        moved = rows.copy()
        moved[1, int(name)] += table[:80, int(name)].std()
        changes = np.diff(moe.predict_experts(moved)[:, k], axis=0)[0]
        assert moe.classes_[np.abs(changes).argmax()] == label
        assert_allclose(as_number(text), changes[np.abs(changes).argmax()], rtol=6e-3)


def test_categories_of_a_pipeline_are_those_of_its_input(tmp_path):
    """Shares, effects and the menu are those of a column that is used; there are formulas."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(["brick", "stone", "wood"], size=200, p=[0.2, 0.3, 0.5])
    names = [f"house {i}" for i in range(200)]
    frame = pd.DataFrame({"age": rng.integers(1, 40, size=200), "wall": kinds, "name": names})
    frame["sold"] = rng.random(200) > 0.5
    level = {"brick": 0.0, "stone": 2.0, "wood": 7.0}
    y = frame["wall"].map(level) + np.where(frame["age"] > 20, 10.0, 0.1 * frame["age"])
    y = y.to_numpy() + 0.1 * rng.normal(size=200)
    encoder = make_column_transformer(
        (OneHotEncoder(), ["wall"]), ("passthrough", ["age", "sold"]), sparse_threshold=0.0
    )
    pipeline = fit_quietly(make_pipeline(encoder, regressor(**SHORT)), frame, y)
    page = write_page(tmp_path, pipeline, frame, y, X_held_out=frame, y_held_out=y)
    age, wall, sold = page.panel["features"]  # and not the name, which is not used
    assert [age["label"], wall["label"], sold["label"]] == ["age", "wall", "sold"]
    assert age["is_integer"]
    assert wall["choices"] == ["brick", "stone", "wood"]
    assert page.panel["formulas"] is not None
    resp = mixture_of(pipeline).responsibilities(frame, y)
    for k, card in enumerate(page.cards()):
        weight = resp[:, k] / resp[:, k].sum()
        for name, own, of_all in re.findall(r"wall is (\w+): (\d+) % \(all rows: (\d+) %", card):
            assert abs(float(own) - 100.0 * weight @ (kinds == name)) <= 0.5
            assert abs(float(of_all) - 100.0 * (kinds == name).mean()) <= 0.5
        rows = frame[:3].assign(
            age=age["start"], sold=sold["start"] > 0.0, wall=["brick", "stone", "wood"]
        )
        predicted = mixture_of(pipeline).predict_experts(rows)[:, k]
        text = re.search(r"wall: (\S+) from brick to wood", card)[1]
        assert_allclose(as_number(text), predicted[2] - predicted[0], rtol=0.02)


@pytest.mark.parametrize("step", [StandardScaler(), PolynomialFeatures(interaction_only=True)])
def test_features_of_pipelines_are_those_of_their_input(step, tmp_path):
    """Also where the steps make others of them, which the pictures have."""
    rows, y = 3.0 + X[:80] * [1.0, 50.0], Y[:80]
    pipeline = fit_quietly(make_pipeline(step, regressor(**SHORT)), rows, y)
    held_out = {"X_held_out": rows[:50], "y_held_out": Y[:50]}
    page = write_page(tmp_path, pipeline, rows, y, row=4, **held_out)
    transforms = isinstance(step, PolynomialFeatures)
    assert [feature["label"] for feature in page.panel["features"]] == ["x0", "x1"]
    assert_allclose([feature["start"] for feature in page.panel["features"]], rows[4])
    assert (page.panel["formulas"] is None) == transforms
    assert ("that the steps of the pipeline make" in page.section("pictures")) == transforms
    rmse = np.sqrt(np.mean((Y[:50] - pipeline.predict(rows[:50])) ** 2))
    assert_allclose(scores_of(page)["RMSE"], rmse, rtol=1e-3)
    assert "Other rows" not in page.text


def test_a_model_of_one_expert_has_no_groups(tmp_path):
    moe = fit_quietly(regressor(n_experts=1), X[:200], Y[:200])
    page = write_page(tmp_path, moe, X[:200].tolist(), Y[:200].tolist(), **HELD_OUT)
    text = plain(page.text.partition('<script type="application/json"')[0])
    body = text.partition("The rows and the prediction")[2]
    assert "group" not in body.partition("Details of the fit")[0]
    (scores,) = page.tables("held-out")
    assert scores.head == ["Score", "this model", "without features", "meaning"]
    (card,) = page.cards()
    assert "of the rows" not in card.partition("Range")[0]


def test_experts_have_a_picture_and_a_number_may_be_selected(classes, tmp_path):
    *_, page = classes
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page.text)
    assert titles == ["Calibration on the held-out rows", "Experts and features"]
    assert "<title>Mixture of experts for the class</title>" in page.text
    moe = classifier(n_experts="bic", n_init=2, max_iter=4)
    fit_quietly(moe, X[:150], CLASSES[:150])
    page = write_page(tmp_path, moe, X[:150], CLASSES[:150], target=0, max_features=1)
    assert f"Selected: {moe.n_experts_}" in page.section("selection")
    told = re.search(r'alt="(Scores of numbers of experts.*?)"', page.text)[1]
    for n, score in zip(moe.n_experts_tried_, moe.n_experts_scores_, strict=True):
        assert f"{n}: {score:.5g}" in told


# --- held-out rows ----------------------------------------------------------------------------


def scores_of(page):
    return page.tables("held-out")[0].column("this model")


def scores_of_rows(moe, X, y, index, weight, coverage, offset=None):
    """Scores of one output by scikit-learn."""
    given = {} if offset is None else {"offset": offset}
    predicted = moe.predict(X, **given).reshape(len(X), -1)[:, index]
    distribution = moe.predict_dist(X, offset=offset)
    densities = [distribution.logpdf(y), distribution.crps(y)]
    log_density, crps = (np.reshape(values, (len(X), -1))[:, index] for values in densities)
    ends = distribution.interval(coverage)
    low, high = np.moveaxis(ends, 1, 0).reshape(2, len(X), -1)[:, :, index]
    y = np.reshape(y, (len(X), -1))[:, index]
    inside = (low <= y) & (y <= high)
    return {
        "R\N{SUPERSCRIPT TWO}": metrics.r2_score(y, predicted, sample_weight=weight),
        "RMSE": np.sqrt(metrics.mean_squared_error(y, predicted, sample_weight=weight)),
        "MAE": metrics.mean_absolute_error(y, predicted, sample_weight=weight),
        "Mean log density": np.average(log_density, weights=weight),
        "CRPS": np.average(crps, weights=weight),
        f"Coverage of {100 * coverage:g} % intervals": 100.0 * np.average(inside, weights=weight),
        "Mean width of the intervals": np.average(high - low, weights=weight),
    }


def assert_scores(found, wanted):
    assert list(found) == list(wanted)
    assert_allclose(list(found.values()), list(wanted.values()), rtol=1e-3, atol=0.051)


def test_scores_are_those_of_the_held_out_rows_beside_simple_models(
    moe, page, plain_page, tmp_path
):
    """One linear model, of indicators of categories, and the mean of the rows of the fit."""
    assert_scores(scores_of(page), scores_of_rows(moe, X[200:], Y[200:], 0, None, 0.8))
    assert "100 rows" in page.section("held-out")
    assert "No held-out rows were given" in plain_page.section("held-out")
    assert plain_page.tables("held-out") == []
    (table,) = page.tables("held-out")
    mean, linear = np.full(100, Y[:200].mean()), LinearRegression().fit(X[:200], Y[:200])
    for name, predicted in (
        ("without features", mean),
        ("one linear model", linear.predict(X[200:])),
    ):
        mae = np.mean(np.abs(Y[200:] - predicted))
        assert_allclose(table.column(name)["MAE"], mae, rtol=5e-3)
    kind = pd.Categorical(np.random.default_rng(0).choice(list("abc"), 60))
    frame = pd.DataFrame({"size": X[:60, 0], "kind": kind})
    y = Y[:60] + 5.0 * (frame["kind"] == "b")
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 2}, expert="tree"), frame, y)
    (table,) = write_page(tmp_path, moe, frame, y, X_held_out=frame, y_held_out=y).tables(
        "held-out"
    )
    design = np.column_stack([frame["size"], kind == "b", kind == "c"])
    errors = y - LinearRegression().fit(design, y).predict(design)
    assert_allclose(table.column("one linear model")["MAE"], np.mean(np.abs(errors)), rtol=5e-3)


# Of each link, of classes, of values, and of a mean that is not the inverse link.
KINDS = [("linear", "classifier")]
KINDS += [(name, "regressor") for name in ("weibull", "beta", "ordinal")]


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_every_kind_of_experts_has_groups_effects_and_simple_models(name, task, tmp_path):
    """Effects of a column of 0 and 1 go between both."""
    make, y = (classifier, CLASSES) if task == "classifier" else (regressor, Y)
    y = (target_of(name) if name in FAMILIES else y)[:60]
    frame = pd.DataFrame({"size": X[:60, 0], "insured": (X[:60, 1] > 0.5).astype(int)})
    moe = fit_quietly(make(**SHORT | options_of(name)), frame, y)
    page = write_page(tmp_path, moe, frame, y, X_held_out=frame[:10], y_held_out=y[:10])
    scores = page.tables("held-out")[0]
    assert scores.head[1:4] == ["this model", "one linear model", "without features"]
    assert None not in [as_number(cell) for row in scores.rows for cell in row[1:4]]
    assert any("from 0 to 1" in card for card in page.cards())
    for k, card in enumerate(page.cards()):
        rows = frame[:2].assign(size=np.median(frame["size"]), insured=[0, 1])
        predicted = moe.predict_experts(rows)[:, k]
        change = np.diff(predicted[:, 1] if task == "classifier" else predicted)[0]
        found = re.search(r"insured: (?:probability of 1 )?(\S+) from 0 to 1", card)
        if found:
            assert_allclose(as_number(found[1]), change, rtol=6e-3)


@pytest.mark.filterwarnings("ignore::skmoe.exceptions.WeightsWarning")
def test_rows_of_weight_zero_are_absent_from_the_page_of_an_output(tmp_path):
    table, both = X[:100], np.column_stack([Y, X[:, 0] + Y**2])[:100]
    weight = np.where(table[:, 0] < -0.85, 5.0, np.arange(100) % 2)
    moe = fit_quietly(regressor(**SHORT), table, both, sample_weight=weight)
    held_out = {"X_held_out": table[:30], "y_held_out": both[:30]}
    held_out["sample_weight_held_out"] = np.arange(30.0)
    options = {"target": 1, "coverage": 0.6, "sample_weight": weight} | held_out
    page = write_page(tmp_path, moe, table, both, **options)
    assert page.panel["target"] == "y1"
    resp = weight[:, None] * moe.responsibilities(table, both)
    for card, mass in zip(page.cards(), resp.T, strict=True):
        mean = re.search(r"Mean of y1: (\S+)", card)[1]
        assert_allclose(as_number(mean), mass @ both[:, 1] / mass.sum(), rtol=6e-3)
    kept = slice(1, 30)  # the first held-out row has no weight
    wanted = scores_of_rows(moe, table[kept], both[kept], 1, np.arange(1.0, 30.0), 0.6)
    assert_scores(scores_of(page), wanted)
    assert "29 rows" in page.section("held-out")


def test_units_and_offsets_of_counts(tmp_path):
    """Scores have the offsets of the held-out rows, and means are claims by exposure."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(X[:80], columns=["a", "b"])
    exposure = np.exp(np.linspace(-0.5, 0.5, 80))
    y = pd.Series(rng.poisson(exposure * np.where(np.arange(80) % 2, 0.2, 6.0)), name="claims")
    units, offset = UNITS[:80], np.log(exposure)
    moe = regressor(**SHORT, family="poisson", gate="constant", expert_features=[])
    fit_quietly(moe, frame, y, units=units, offset=offset)
    given = {"X_held_out": frame, "y_held_out": y, "offset_held_out": offset, "coverage": 0.6}
    page = write_page(tmp_path, moe, frame, y, units=units, offset=offset, max_features=1, **given)
    assert_scores(scores_of(page), scores_of_rows(moe, frame, y, 0, None, 0.6, offset))
    resp = moe.responsibilities(frame, y, offset=offset, units=units).rows(units)
    for card, weight in zip(page.cards(), resp.T, strict=True):
        assert "of the units" in card
        (mean,) = re.findall(r"Mean of claims per unit of exposure: (\S+)", card)
        assert_allclose(float(mean), weight @ y / (weight @ exposure), rtol=6e-3)
    assert "Predictions are per unit of exposure." in page.section("panel")
    assert "rows count by their exposure" in page.section("experts")
    assert "a unit belongs to each group" in plain(page.text.partition("<main>")[0])


def test_units_without_a_known_class(tmp_path):
    """They have the probabilities of the gate."""
    y = np.where(X[:80, 0] > 0.0, "yes", "no").astype(object)
    y[:4], units = None, np.arange(80) // 4
    moe = classifier(**SHORT, gate="constant")
    fit_quietly(moe, X[:80], y, units=units)
    page = write_page(tmp_path, moe, X[:80], y, units=units, max_features=1)
    assert len(page.cards()) == 2


def test_scores_of_classes(classes):
    moe, table, y, page = classes
    kept, weight = slice(81, 120), np.arange(1.0, 40.0)  # the first row has no weight
    proba = moe.predict_proba(table[kept])
    is_class = y[kept, None] == moe.classes_
    wanted = {
        "Accuracy": np.average(moe.predict(table[kept]) == y[kept], weights=weight),
        "Log loss": metrics.log_loss(y[kept], proba, sample_weight=weight),
        "Brier score": np.average(((proba - is_class) ** 2).sum(axis=1), weights=weight),
    }
    assert_scores(scores_of(page), wanted)
    assert "Calibration on the held-out rows" in page.section("pictures")


def test_the_page_of_times_has_their_scores_medians_and_curves(tmp_path):
    """Events and times of the rows are those of another library; some rows never have one."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 2))
    time = np.where(table[:, 0] > 0.4, np.inf, np.exp(0.5 * table[:, 1]) * rng.weibull(2, size=300))
    end = rng.uniform(2, 4, size=300)
    y = right_censored(np.minimum(time, end), time <= end)
    moe = regressor(**SHORT, family=["never", "weibull"])
    fit_quietly(moe, table[:200], y[:200])
    other = np.empty(200, dtype=[("event", bool), ("time", float)])
    other["event"], other["time"] = np.isfinite(y["upper"][:200]), y["lower"][:200]
    own = table[200:], y[200:]
    page = write_page(tmp_path, moe, table[:200], other, X_held_out=own[0], y_held_out=own[1])
    wanted = [scorer(moe, *own) for scorer in make_survival_scorers().values()]
    found = scores_of(page)
    names = "Mean log density", "Concordance", "Integrated Brier score", "Censored CRPS"
    assert_allclose([found[name] for name in names], np.multiply(wanted, [1, 1, -1, -1]), rtol=1e-3)
    assert page.tables("held-out")[0].column("without features")["Concordance"] == 0.5
    assert "Kaplan-Meier curve" in page.text
    assert page.panel["horizon"] == pytest.approx(np.median(y["lower"][:200]), rel=0.01)
    never, weibull = page.cards()
    assert "not reached" in never
    assert "Rows with an event: 0 %" in never
    assert "What changes" not in never
    resp = moe.responsibilities(table[:200], y[:200])[:, 1]
    event = y["lower"][:200] == y["upper"][:200]
    assert f"Rows with an event: {100 * resp[event].sum() / resp.sum():.0f} %" in weibull
    assert "x1: +" in weibull
    limits = left_censored(np.ones(300), y["lower"] > 1)
    assert "right-censored time" in refusal(write_page, tmp_path, moe, table, limits)
    of_classes = fit_quietly(classifier(**SHORT), table, table[:, 0] > 0)
    assert "cannot be censored" in refusal(write_page, tmp_path, of_classes, table, y)


# --- warnings and the panel -------------------------------------------------------------------


def test_warnings_of_the_fit_are_found_again(tmp_path):
    """Each is told once, also those that the summary warns of."""
    short = fit_quietly(regressor(n_experts=2, max_iter=2, n_init=1), X[:200], Y[:200])
    short.set_expert_names(["a b", "c"])
    resp = short.responsibilities(X, Y)
    sure = resp[:, 0] > 0.98
    page = write_page(tmp_path, short, X[sure], Y[sure], max_features=1)
    text = page.section("warnings")
    assert "EM stopped before convergence, after 2 iterations" in text
    assert text.count("Other rows than those of the fit") == 1
    lost = f"c ({resp[sure, 1].sum():.2g} of"
    assert f"Experts have collapsed, since others explain their rows better: {lost}" in text
    assert "a b (" not in text
    rng = np.random.default_rng(0)
    table = np.column_stack([np.zeros(300), 0.01 * rng.normal(size=(300, 3)), X])
    moe = regressor(**SHORT, gate="constant", expert_features=[4, 5])
    fit_quietly(moe, table, Y, units=UNITS)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        moe.summary(table, Y)
        page = write_page(tmp_path, moe, sparse.csr_array(table), Y, max_features=2)
    texts = {str(warning.message) for warning in given if "units" in str(warning.message)}
    assert texts
    assert any(text in page.section("warnings") for text in texts)
    assert [feature["label"] for feature in page.panel["features"]] == ["x4", "x5"]
    assert "2 of 6 features are shown" in page.section("panel")


def test_the_panel_starts_with_a_row_or_with_medians(page, plain_page):
    starts = [feature["start"] for feature in plain_page.panel["features"]]
    assert_allclose(starts, np.median(X[:200], axis=0))
    assert [feature["start"] for feature in page.panel["features"]] == X[5].tolist()
    assert page.panel["features"][0]["label"] == "height"
    assert page.panel["coverage"] == 0.8
    assert "median of each number" in plain_page.section("panel")
    assert "row 5 of the data" in page.section("panel")
    assert all(f'id="{name}-chart"' in page.text for name in ("density", "along"))


# --- what is refused --------------------------------------------------------------------------

ONES = np.ones(3)
REFUSED = [
    ({"X_held_out": np.ones((3, 2))}, "X_held_out and y_held_out", "no y_held_out"),
    ({"y_held_out": ONES}, "X_held_out and y_held_out", "no X_held_out"),
    ({"X_held_out": np.ones((3, 3)), "y_held_out": ONES}, "", "3 features"),
    ({"X_held_out": np.ones((3, 2)), "y_held_out": np.ones(4)}, "y_held_out", "3 rows; got 4"),
    ({"sample_weight_held_out": ONES}, "X_held_out and y_held_out", "no X_held_out"),
    ({"offset_held_out": ONES}, "X_held_out and y_held_out", "no X_held_out"),
    (
        {"X_held_out": np.ones((3, 2)), "y_held_out": ONES, "sample_weight_held_out": ONES[:2]},
        "sample_weight",
        "3 rows",
    ),
    *(({"row": row}, "row", "0 to 199") for row in (200, -1, 0.5)),
    ({"max_features": 0}, "max_features", "integer"),
    ({"coverage": 90}, "coverage", "probability"),
    ({"target": 1}, "target", "0"),
]


@pytest.mark.parametrize(("options", "name", "words"), REFUSED)
def test_arguments_are_refused_before_a_file_is_written(moe, tmp_path, options, name, words):
    path = tmp_path / "report.html"
    assert_refused(refusal(export_html, moe, X[:200], Y[:200], path, **options), name, words)
    assert list(tmp_path.iterdir()) == []


def test_rows_estimators_and_paths_are_refused(moe, tmp_path):
    path = tmp_path / "report.html"
    assert "features" in refusal(export_html, moe, X[:, :1], Y, path)
    message = refusal(export_html, moe, X, Y[:10], path)
    assert_refused(message, "y must have a value", "300 rows; got 10")
    for place in (tmp_path / "nowhere" / "report.html", tmp_path, Y):
        message = refusal(export_html, moe, X[:200], Y[:200], place)
        assert_refused(message, "path", "name of a file", "export_html(estimator, X, y, path)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["jinja2", "matplotlib.pyplot"])
def test_a_missing_package_is_named_with_its_extra(moe, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.split(".")[0]
    with pytest.raises(ImportError, match=rf"needs {package}.*pip install.*\.\[report\]"):
        export_html(moe, X[:200], Y[:200], tmp_path / "report.html")
