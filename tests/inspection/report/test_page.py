"""The page of a report: what it says, what it refuses, and that it is written as a whole."""

import base64
import hashlib
import json
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import metrics
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe._inference.labels import format_number
from skmoe.data import left_censored, right_censored
from skmoe.families import FAMILIES
from skmoe.inspection import (
    SegmentProfileDisplay,
    SurvivalDisplay,
    export_html,
    export_text,
)
from skmoe.metrics import make_survival_scorers
from skmoe.recipes import mixture_of
from support.expert_kinds import options_of
from support.fits import (
    CLASSES,
    UNITS,
    X,
    Y,
    classifier,
    fit_quietly,
    regressor,
    target_of,
)
from support.refusals import assert_refused, refusal
from support.report_panels import as_number, as_ratio, plain, write_page
from support.tables import flipping_classes

pytest.importorskip("bokeh", reason="the report needs bokeh")
pytest.importorskip("jinja2", reason="the report needs jinja2")
plt = pytest.importorskip("matplotlib.pyplot", reason="the report needs matplotlib")
plt.switch_backend("agg")

MINUS = "\N{MINUS SIGN}"
SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 20}
NAMES = ["calm <i>", r"wild & $$x$$ \(y\) \[z\]"]
HELD_OUT = slice(200, 300)


@pytest.fixture(scope="module")
def moe():
    return fit_quietly(regressor(n_experts=2, max_iter=200), X[:200], Y[:200])


@pytest.fixture(scope="module")
def page(moe, tmp_path_factory):
    """With the names, the title, the row and the held-out rows of a user, which are lists."""
    given = {"X_held_out": X[HELD_OUT].tolist(), "y_held_out": Y[HELD_OUT].tolist()}
    given |= {"coverage": 0.8}
    given |= {"expert_names": NAMES, "feature_names": ["height", "weight"], "row": 5}
    folder = tmp_path_factory.mktemp("report")
    return write_page(folder, moe, X[:200], Y[:200], title="Two <b>regimes</b>", **given)


@pytest.fixture(scope="module")
def plain_page(moe, tmp_path_factory):
    """Without any option."""
    return write_page(tmp_path_factory.mktemp("report"), moe, X[:200], Y[:200])


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A mixture of three classes, its table, weights of held-out rows and its page."""
    table, codes = flipping_classes(120, 3)
    table = table[:, :2]
    y = np.array(["red", "green", "blue"])[codes]
    moe = fit_quietly(classifier(**SHORT), table[:80], y[:80])
    weight = np.arange(40.0)
    given = {"X_held_out": table[80:], "y_held_out": y[80:], "sample_weight_held_out": weight}
    given["max_features"] = 1
    folder = tmp_path_factory.mktemp("report")
    return moe, table, y, weight, write_page(folder, moe, table[:80], y[:80], **given)


# --- the file ---------------------------------------------------------------------------------


def test_the_page_is_whole_and_loads_nothing(page):
    text = page.text
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert len(text.encode()) < 5e6
    assert "BSD 3-Clause" in text
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', without_scripts)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in without_scripts
    assert "https://cdn" not in text


def test_only_the_scripts_of_the_page_may_run(page):
    """Their hashes are in the policy of the page."""
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page.text)[1]
    assert policy.startswith("default-src 'none'")
    allowed = re.findall(r"'sha256-(.*?)'", policy.replace("&#39;", "'"))
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    assert allowed == [base64.b64encode(found).decode() for found in hashes]
    library, own = scripts
    assert "Bokeh" in library
    assert len(library) > 500 * library.count("\n")  # it has no line breaks for readers
    assert own.index("normal") < own.index("class Mixture") < own.index("reset")


def test_texts_of_the_user_are_escaped(page):
    assert "<title>Two &lt;b&gt;regimes&lt;/b&gt;</title>" in page.text
    markup = re.sub(r"<script.*?</script>", "", page.text, flags=re.DOTALL)
    assert "<b>regimes" not in markup
    assert "calm &lt;i&gt;" in markup
    assert "<i>" not in markup
    assert page.panel["experts"] == NAMES
    assert list(page.panel)[:2] == ["target", "experts"]  # objects keep their order


def test_a_failed_report_leaves_the_old_file(moe, plain_page, tmp_path, monkeypatch):
    """Equal reports are equal, and leave figures and styles of the user as they were."""
    own, before = plt.figure(), dict(plt.rcParams)
    path = tmp_path / "report.html"
    path.write_text("old")
    written = []

    def disk_is_full(new, _):
        written.append(Path(new).read_text("utf-8"))
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", disk_is_full)
        with pytest.raises(OSError, match="disk full"):
            export_html(moe, X[:200], Y[:200], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    # Identifiers of Bokeh's models count up.
    first, second = (
        re.sub(r'id="charts-data">.*?</script>', "", text) for text in (plain_page.text, *written)
    )
    assert first == second
    assert plt.get_fignums() == [own.number]
    assert dict(plt.rcParams) == before


# --- what the page says -----------------------------------------------------------------------


def test_the_head_says_what_the_model_is_and_the_details_have_the_facts(moe, page, plain_page):
    assert "Mixture of experts for y" in plain_page.text
    assert "The model divides 200 rows into 2 groups." in plain(page.text.partition("<main>")[0])
    details = page.section("details")
    for name, value in moe.summary(X[:200], Y[:200]).facts.items():
        assert f"{name} {value}" in details
    text = " ".join(export_text(moe, X=X[:200]).split())
    for k, name in enumerate(("expert 0", "expert 1")):
        lines = plain_page.section("details").partition(f"{name}: linear ")[2]
        assert f"noise: standard deviation {format_number(moe.noise_variance_[k] ** 0.5)}" in lines
        assert re.search(r"y = .*? noise", lines)[0] in text
    footer = plain(page.text.partition("<footer>")[2].partition("</footer>")[0])
    assert f"NumPy {np.__version__}" in footer


def test_the_page_has_groups_first_and_statistics_last(page):
    sections = re.findall(r'<section aria-labelledby="(.*?)-title"', page.text)
    wanted = ["experts", "held-out", "panel", "details", "calibration", "pictures", "selection"]
    assert sections == wanted


NUMBER, RATIO = r"(\S+?)", r"(\S+ %|\S \S+)"


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
    held_out = {"X_held_out": frame, "y_held_out": y}
    page = write_page(tmp_path, pipeline, frame, y, **held_out)
    age, wall, sold = page.panel["features"]  # and not the name, which is not used
    assert [age["label"], wall["label"], sold["label"]] == ["age", "wall", "sold"]
    assert age["step"] == 1.0
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


def test_cards_of_classes_have_shares_and_odds(classes):
    """Odds are those against all other classes, from the starting row."""
    moe, table, y, _, page = classes
    resp = moe.responsibilities(table[:80], y[:80])
    start = np.median(table[:80], axis=0)
    for k, card in enumerate(page.cards()):
        weight = resp[:, k] / resp[:, k].sum()
        for label in moe.classes_:
            share = int(re.search(rf"{label}: (\d+) %", card)[1])
            assert abs(share - 100.0 * weight @ (y[:80] == label)) <= 0.5
        lines = re.findall(r"(x\d): odds of (.*?) per SD", card)
        assert len(lines) == 1
        for name, listed in lines:
            j, rows = int(name[1:]), np.tile(start, (2, 1))
            rows[1, j] += table[:80, j].std()
            proba = moe.predict_experts(rows)[:, k]
            odds = proba / (1.0 - proba)
            for part in listed.split(", of "):
                label, text = part.split(" ", 1)
                c = moe.classes_.tolist().index(label)
                assert_allclose(as_ratio(text), odds[1, c] / odds[0, c], rtol=6e-3, atol=6e-3)


def test_pictures_have_their_numbers_as_tables(moe, plain_page, page):
    tables = plain_page.tables("pictures")
    captions = [table.caption for table in tables]
    assert captions[0].startswith("Mean minus")
    assert captions[1::3] == [
        "Effect on y, per SD",
        "Gate: log odds against the first expert, per SD",
    ]
    assert [caption.split(" ends")[0] for caption in captions[2:4]] == ["Lower", "Upper"]
    profile = SegmentProfileDisplay.from_estimator(moe, X[:200], Y[:200])
    for table, wanted in (
        (tables[0], profile.profile),
        (tables[1], profile.coefficients),
        (tables[2], profile.intervals[..., 0]),
        (tables[3], profile.intervals[..., 1]),
        (tables[4], profile.gate_effects),
    ):
        assert table.head == ["Feature", "expert 0", "expert 1"]
        for k in range(2):
            found = list(table.column(f"expert {k}").values())
            assert_allclose(found, wanted[:, k], rtol=6e-3, atol=1e-9)
    assert plain_page.text.count('<img src="data:image/svg+xml;base64,') == 1
    assert [row[0] for row in page.tables("pictures")[0].rows] == ["height", "weight"]


def test_each_class_has_its_pictures(classes):
    *_, page = classes
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page.text)
    assert len(titles) == 1 + 2  # with odds ratios against the first class
    assert "<title>Mixture of experts for the class</title>" in page.text
    for i, label in enumerate(["green", "red"]):
        assert f"class {label} against class blue" in titles[1 + i]


@pytest.mark.parametrize("kind", ["zero and uniform", "trees"])
def test_experts_without_slopes_have_no_picture_of_coefficients(kind, tmp_path):
    rng = np.random.default_rng(4)
    table = rng.normal(size=(80, 2))
    y = np.where(rng.normal(size=80) > 0, 0.0, rng.uniform(1.0, 5.0, size=80))
    options = {
        "zero and uniform": {"family": ["zero", "uniform"]},
        "trees": {"expert": "tree", "max_iter": 2},
    }[kind]
    moe = fit_quietly(regressor(**SHORT | options), table, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = write_page(tmp_path, moe, table, y, max_features=1)
    assert "Effect on y" not in page.section("pictures")
    assert (page.panel["slices"] is None) == (kind != "trees")
    if kind == "trees":
        assert page.section("details").count("feature importances: ") == 2
        assert all(re.search(r"x\d: \S+ per SD", card) for card in page.cards())


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


def test_scores_and_calibration_are_those_of_the_held_out_rows(moe, page, plain_page):
    wanted = scores_of_rows(moe, X[HELD_OUT], Y[HELD_OUT], 0, None, 0.8)
    assert_scores(scores_of(page), wanted)
    (calibration,) = page.tables("calibration")
    assert [row[0] for row in calibration.rows] == [f"{5 * i} %" for i in range(1, 20)]
    low, high = moe.predict_interval(X[HELD_OUT], 0.8).T
    inside = np.mean((low <= Y[HELD_OUT]) & (Y[HELD_OUT] <= high))
    assert_allclose(calibration.column("Observed")["80 %"], 100.0 * inside, atol=0.051)
    assert "100 rows" in page.section("held-out")
    assert "No held-out rows were given" in plain_page.section("held-out")
    assert plain_page.tables("held-out") == []


def test_scores_are_beside_those_of_simple_models(page, tmp_path):
    """One linear model, of indicators of categories, and the mean of the rows of the fit."""
    (table,) = page.tables("held-out")
    mean, linear = np.full(100, Y[:200].mean()), LinearRegression().fit(X[:200], Y[:200])
    for name, predicted in (
        ("without features", mean),
        ("one linear model", linear.predict(X[HELD_OUT])),
    ):
        errors = Y[HELD_OUT] - predicted
        found = table.column(name)
        assert_allclose(found["RMSE"], np.sqrt(np.mean(errors**2)), rtol=5e-3)
        assert_allclose(found["MAE"], np.mean(np.abs(errors)), rtol=5e-3)
    rng = np.random.default_rng(0)
    rows = X[:60, 0]
    frame = pd.DataFrame({"size": rows, "kind": pd.Categorical(rng.choice(list("abc"), 60))})
    y = Y[:60] + 5.0 * (frame["kind"] == "b")
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 2}, expert="tree"), frame, y)
    given = {"X_held_out": frame, "y_held_out": y}
    (table,) = write_page(tmp_path, moe, frame, y, **given).tables("held-out")
    design = np.column_stack([rows, frame["kind"] == "b", frame["kind"] == "c"])
    errors = y - LinearRegression().fit(design, y).predict(design)
    assert_allclose(table.column("one linear model")["MAE"], np.mean(np.abs(errors)), rtol=5e-3)


# Of each link, of classes, of values, and of a mean that is not the inverse link.
KINDS = [("linear", "classifier")]
KINDS += [(name, "regressor") for name in ("weibull", "beta", "ordinal")]


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_every_kind_of_experts_has_groups_effects_and_simple_models(name, task, tmp_path):
    """Effects under a log link are per cent. Those of a column of 0 and 1 go between both."""
    make, y = (classifier, CLASSES) if task == "classifier" else (regressor, Y)
    y = (target_of(name) if name in FAMILIES else y)[:60]
    frame = pd.DataFrame({"size": X[:60, 0], "insured": (X[:60, 1] > 0.5).astype(int)})
    moe = fit_quietly(make(**SHORT | options_of(name)), frame, y)
    page = write_page(tmp_path, moe, frame, y, X_held_out=frame[:10], y_held_out=y[:10])
    scores = page.tables("held-out")[0]
    assert scores.head[1:4] == ["this model", "one linear model", "without features"]
    assert None not in [as_number(cell) for row in scores.rows for cell in row[1:4]]
    assert any("What changes its" in card for card in page.cards())
    if name not in FAMILIES or FAMILIES[name].link != "log":
        return
    for coef, card in zip(moe.expert_coef_, page.cards(), strict=True):
        slopes = coef * [frame["size"].std(ddof=0), 1.0]
        wanted = {"size": "per SD", "insured": "from 0 to 1"}
        for slope, (column, step) in zip(slopes, wanted.items(), strict=True):
            found = re.search(rf"{column}: {RATIO} {step}", card)
            assert (found is not None) == (abs(slope) >= 0.01)
            if found:
                assert_allclose(as_ratio(found[1]), np.exp(slope), rtol=6e-3, atol=6e-3)


def test_a_model_of_one_expert_has_no_groups(tmp_path):
    moe = fit_quietly(regressor(n_experts=1), X[:200], Y[:200])
    held_out = {"X_held_out": X[HELD_OUT], "y_held_out": Y[HELD_OUT]}
    page = write_page(tmp_path, moe, X[:200].tolist(), Y[:200].tolist(), **held_out)
    text = plain(page.text.partition('<script type="application/json"')[0])
    body = text.partition("One")[0].partition("The rows and the prediction")[2]
    assert "group" not in body.partition("Details of the fit")[0]
    assert set(page.charts) == {"density-chart", "along-chart"}
    (scores,) = page.tables("held-out")
    assert scores.head == ["Score", "this model", "without features", "meaning"]
    assert page.tables("pictures")[0].caption == "Effect on y, per SD"
    (card,) = page.cards()
    assert "of the rows" not in card.partition("Range")[0]


@pytest.mark.filterwarnings("ignore::skmoe.exceptions.WeightsWarning")
def test_rows_of_weight_zero_are_absent_from_the_page_of_an_output(tmp_path):
    table, both = X[:100], np.column_stack([Y, X[:, 0] + Y**2])[:100]
    weight = np.where(table[:, 0] < -0.85, 5.0, np.arange(100) % 2)
    moe = regressor(**SHORT)
    fit_quietly(moe, table, both, sample_weight=weight)
    held_out = np.arange(30.0)
    page = write_page(
        tmp_path,
        moe,
        table,
        both,
        target=1,
        coverage=0.6,
        sample_weight=weight,
        X_held_out=table[:30],
        y_held_out=both[:30],
        sample_weight_held_out=held_out,
    )
    assert page.panel["target"] == "y1"
    resp = weight[:, None] * moe.responsibilities(table, both)
    for card, mass in zip(page.cards(), resp.T, strict=True):
        mean = re.search(r"Mean of y1: (\S+)", card)[1]
        assert_allclose(as_number(mean), mass @ both[:, 1] / mass.sum(), rtol=6e-3)
    rows, given = weight > 0.0, {"sample_weight": weight[weight > 0.0], "target": 1}
    profile = SegmentProfileDisplay.from_estimator(moe, table[rows], both[rows], **given)
    for k in range(2):
        found = list(page.tables("pictures")[0].column(f"expert {k}").values())
        assert_allclose(found, profile.profile[:, k], rtol=6e-3, atol=1e-9)
    kept = slice(1, 30)  # the first held-out row has no weight
    wanted = scores_of_rows(moe, table[kept], both[kept], 1, held_out[kept], 0.6)
    assert_scores(scores_of(page), wanted)
    assert "29 rows" in page.section("held-out")


def test_units_and_offsets_of_counts(tmp_path):
    """Scores have the offsets of the held-out rows, and ends of intervals belong to them."""
    frame, y = pd.DataFrame(X[:80], columns=["a", "b"]), target_of("poisson")[:80]
    units = UNITS[:80]
    offset = np.linspace(-0.5, 0.5, len(y))
    moe = regressor(**SHORT, family="poisson", gate="constant")
    fit_quietly(moe, frame, y, units=units, offset=offset)
    given = {"X_held_out": frame, "y_held_out": y, "offset_held_out": offset, "coverage": 0.6}
    page = write_page(tmp_path, moe, frame, y, units=units, offset=offset, max_features=1, **given)
    assert_scores(scores_of(page), scores_of_rows(moe, frame, y, 0, None, 0.6, offset))
    low, high = moe.predict_interval(frame, 0.6, offset=offset).T
    assert (low == y).any()
    assert (high == y).any()
    assert all("of the units" in card for card in page.cards())
    assert "Predictions are per unit of exposure." in page.section("panel")
    assert "a unit belongs to each group" in plain(page.text.partition("<main>")[0])
    assert page.panel["features"][0]["label"] in ("a", "b")


def test_means_and_predictions_are_per_unit_of_exposure(tmp_path):
    """Means of groups of policies are claims by years, as those of the Poisson experts there."""
    rng = np.random.default_rng(0)
    X, exposure = rng.normal(size=(300, 1)), rng.uniform(0.05, 1.0, size=300)
    y = pd.Series(rng.poisson(exposure * np.where(rng.random(300) < 0.5, 0.2, 6.0)), name="claims")
    moe = MixtureOfExpertsRegressor(2, family="poisson", gate="constant", random_state=0)
    moe = fit_quietly(moe.set_params(expert_features=[]), X, y, offset=np.log(exposure))
    page = write_page(tmp_path, moe, X, y, offset=np.log(exposure))
    for card, rate in zip(page.cards(), moe.predict_experts(X[:1])[0], strict=True):
        (mean,) = re.findall(r"Mean of claims per unit of exposure: (\S+)", card)
        assert float(mean) == pytest.approx(rate, rel=0.02)
    assert page.panel["target"] == "claims per unit of exposure"
    assert page.panel["shown_range"][1] < 18.0  # a claim in .05 years is a rate of 20
    assert "rows count by their exposure" in page.section("experts")
    without = write_page(tmp_path, fit_quietly(clone(moe), X, y), X, y)
    assert "exposure" not in without.text.partition("<main>")[2].partition("<script")[0]


def test_scores_and_calibration_of_classes(classes):
    moe, table, y, weight, page = classes
    kept = slice(81, 120)  # the first row has no weight
    proba, weight = moe.predict_proba(table[kept]), weight[1:]
    is_class = y[kept, None] == moe.classes_
    wanted = {
        "Accuracy": np.average(moe.predict(table[kept]) == y[kept], weights=weight),
        "Log loss": metrics.log_loss(y[kept], proba, sample_weight=weight),
        "Brier score": np.average(((proba - is_class) ** 2).sum(axis=1), weights=weight),
    }
    found = scores_of(page)
    assert list(found) == list(wanted)
    assert_allclose(list(found.values()), list(wanted.values()), rtol=1e-3)
    tables = page.tables("calibration")
    assert [t.caption for t in tables] == [f"Calibration of {c}" for c in moe.classes_]
    for c, calibration in enumerate(tables):
        share, predicted = calibration_curve(
            is_class[:, c], proba[:, c], n_bins=10, strategy="quantile"
        )
        cells = [[as_number(cell) for cell in row] for row in calibration.rows]
        assert_allclose(cells, np.column_stack([predicted, share]), rtol=6e-3, atol=1e-9)


# --- times of events --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def times():
    """A mixture of rows with and without events, and its table."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 2))
    time = np.where(table[:, 0] > 0.4, np.inf, np.exp(0.5 * table[:, 1]) * rng.weibull(2, size=300))
    end = rng.uniform(2, 4, size=300)
    y = right_censored(np.minimum(time, end), time <= end)
    moe = regressor(**SHORT, family=["never", "weibull"])
    return fit_quietly(moe, table[:200], y[:200]), table, y


@pytest.fixture(scope="module")
def page_of_times(times, tmp_path_factory):
    """Events and times of the rows are those of another library."""
    moe, table, y = times
    other = np.empty(200, dtype=[("event", bool), ("time", float)])
    other["event"], other["time"] = np.isfinite(y["upper"][:200]), y["lower"][:200]
    held_out = {"X_held_out": table[200:], "y_held_out": y[200:]}
    return write_page(tmp_path_factory.mktemp("report"), moe, table[:200], other, **held_out)


def test_the_page_of_times_has_their_scores_and_curves(times, page_of_times):
    (moe, table, y), page = times, page_of_times
    found, own = scores_of(page), (table[200:], y[200:])
    wanted = {name: scorer(moe, *own) for name, scorer in make_survival_scorers().items()}
    assert found["Concordance"] == pytest.approx(wanted["concordance"], rel=1e-3)
    integrated = found["Integrated Brier score"]
    assert integrated == pytest.approx(-wanted["neg_integrated_brier"], rel=1e-3)
    assert found["Mean log density"] == pytest.approx(wanted["log_density"], rel=1e-3)
    [models] = [t.head[1:-1] for t in page.tables("held-out")]
    assert models == ["this model", "one linear model", "without features"]
    constant = page.tables("held-out")[0].column("without features")
    assert constant["Concordance"] == 0.5
    display = SurvivalDisplay.from_estimator(moe, *own)
    [curves] = page.tables("survival")
    assert curves.head == ["Time", "Kaplan-Meier", "Mixture", "expert 0", "expert 1"]
    last = [float(cell) for cell in curves.rows[-1]]
    expected = [display.times[-1], display.observed[-1], display.mixture[-1], *display.curves[-1]]
    assert_allclose(last, expected, rtol=1e-2, atol=1e-3)
    assert page.panel["horizon"] == pytest.approx(np.median(y["lower"][:200]), rel=0.01)


def test_cards_of_times_have_medians_and_shares_of_events(times, page_of_times):
    moe, table, y = times
    never, weibull = page_of_times.cards()
    assert "not reached" in never
    assert "Rows with an event: 0 %" in never
    assert "What changes" not in never
    resp = moe.responsibilities(table[:200], y[:200])[:, 1]
    event = y["lower"][:200] == y["upper"][:200]
    share = 100 * resp[event].sum() / resp.sum()
    assert f"Rows with an event: {share:.0f} %" in weibull
    assert "x1: +" in weibull


def test_other_bounds_than_those_of_times_are_refused(times, classes, tmp_path):
    moe, table, y = times
    limits = left_censored(np.ones(300), y["lower"] > 1)
    assert "right-censored time" in refusal(write_page, tmp_path, moe, table, limits)
    fitted, table, *_ = classes
    assert "classifier" in refusal(write_page, tmp_path, fitted, table[:80], y[:80])
    assert list(tmp_path.iterdir()) == []


def test_two_classes_and_a_selected_number(tmp_path):
    """Calibration is that of the second class, coefficients are those of the given class."""
    moe = classifier(n_experts="bic", n_init=2, max_iter=4)
    fit_quietly(moe, X[:150], CLASSES[:150])
    given = {"X_held_out": X[150:180], "y_held_out": CLASSES[150:180]}
    given |= {"target": 0, "max_features": 1}
    page = write_page(tmp_path, moe, X[:150], CLASSES[:150], **given)
    assert [t.caption for t in page.tables("calibration")] == ["Calibration of 1"]
    assert set(page.charts) == {"gate-chart", "classes-chart", "along-chart"}
    assert page.panel["classes"] == ["0", "1"]
    assert all(
        " 0" in title for title in re.findall(r"<figcaption>(.*?)</figcaption>", page.text)[1:2]
    )
    (table,) = page.tables("selection")
    assert table.head[1] == f"{MINUS}BIC"
    best = moe.n_experts_tried_[np.argmax(moe.n_experts_scores_)]
    for row, n, score in zip(table.rows, moe.n_experts_tried_, moe.n_experts_scores_, strict=True):
        assert row[0] == (f"{n} (selected)" if n == best else f"{n}")
        assert row[1] == f"{score:.5g}"
    assert f"selected {best}" in page.section("selection")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_given_number_of_experts_is_told(page):
    assert "The number of experts, 2, was given" in page.section("selection")


# --- warnings and the number of experts -------------------------------------------------------


def test_a_fit_without_trouble_has_no_warnings(page, plain_page):
    for found in (page, plain_page):
        assert "Warnings" not in found.text


def test_warnings_of_the_fit_are_found_again(moe, tmp_path):
    """Each is told once, and no note of the fit besides."""
    short = fit_quietly(regressor(n_experts=2, max_iter=2, n_init=1), X[:200], Y[:200])
    resp = short.responsibilities(X, Y)
    sure = resp[:, 0] > 0.98
    names = ["a b", "c"]
    page = write_page(tmp_path, short, X[sure], Y[sure], max_features=1, expert_names=names)
    text = page.section("warnings")
    assert "EM stopped before convergence, after 2 iterations" in text
    assert text.count("Other rows than those of the fit") == 1
    lost = f"c ({resp[sure, 1].sum():.2g} of"
    assert f"Experts have collapsed, since others explain their rows better: {lost}" in text
    assert "a b (" not in text
    notes = page.section("details")
    assert "Other rows" not in notes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = [" ".join(note.split()) for note in short.summary(X[sure], Y[sure]).notes]
    assert any(note in notes for note in told)


def test_collapsed_experts_and_missing_standard_errors_are_named(tmp_path):
    """An expert of few rows has coefficients that the rows do not determine."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(80, 6))
    y = np.where(np.arange(80) < 2, 50.0, table[:, 0]) + 0.1 * rng.normal(size=80)
    init = np.column_stack([np.arange(80) >= 2, np.arange(80) < 2]).astype(float)
    moe = regressor(n_experts=2, n_init=1, gate="constant", init=init, alpha=0.0)
    moe = fit_quietly(moe, table, y).set_expert_names(["many", "few"])
    few = moe.expert_names_[int(np.argmin(moe.weights_))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = write_page(tmp_path, moe, table, y, max_features=1)
        inference = moe.inference(table, y)
    assert "Warnings" not in page.text
    text = page.section("details")
    reasons = [reason for reason in inference.reasons if reason and reason != "fixed"]
    assert reasons
    for reason in set(reasons):
        named = text.partition(f"Without standard errors, {reason} (")[2].partition("): ")[0]
        n_terms = reasons.count(reason)
        terms, _, more = named.partition(" and ")
        assert len(terms.split(";")) == min(n_terms, 4)
        assert more == (f"{n_terms - 4} more" if n_terms > 4 else "")
        assert few in named or "gate" in named


# --- the panel --------------------------------------------------------------------------------


def test_the_panel_starts_with_a_row_or_with_medians(page, plain_page):
    starts = [feature["start"] for feature in plain_page.panel["features"]]
    assert_allclose(starts, np.median(X[:200], axis=0))
    assert [feature["start"] for feature in page.panel["features"]] == X[5].tolist()
    assert [feature["label"] for feature in page.panel["features"]] == ["height", "weight"]
    assert page.panel["coverage"] == 0.8
    assert "median of each number" in plain_page.section("panel")
    assert "row 5 of the data" in page.section("panel")
    assert set(page.charts) == {"gate-chart", "density-chart", "along-chart"}


def objects(value, kind):
    """Objects of a kind of model in the JSON of charts."""
    if isinstance(value, dict):
        if value.get("name") == kind and "attributes" in value:
            yield value["attributes"]
        value = value.values()
    if not isinstance(value, str):
        for entry in value if isinstance(value, (list, type({}.values()))) else ():
            yield from objects(entry, kind)


def test_bars_areas_and_stems_of_charts_stand_on_zero(page):
    """Names of experts may repeat and are no formulas."""
    bars = list(objects(page.charts["gate-chart"], "HBar"))
    assert bars
    assert all(bar.get("left", {"value": 0})["value"] == 0 for bar in bars)
    area = next(objects(page.charts["density-chart"], "VArea"))
    assert area["y1"]["value"] == 0
    assert area["y2"]["field"] == "y"
    stems = [s for s in objects(page.charts["density-chart"], "Segment") if "height" in str(s)]
    assert stems
    assert all(stem["y0"]["value"] == 0 for stem in stems)
    axes = objects(page.charts["density-chart"], "LinearAxis")
    assert {axis.get("axis_label") for axis in axes} == {"y", "Density or probability"}
    gate = json.dumps(page.charts["gate-chart"], ensure_ascii=False)
    assert "wild & $\N{ZERO WIDTH SPACE}$x$" in gate
    assert not re.search(r"\$\$|\\\\[\[(]", gate)


def test_features_that_are_not_shown_are_counted_and_missing_units_are_told(tmp_path):
    """What the summary warns of is on the page as well."""
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
    text = page.section("panel")
    assert "2 of 6 features are shown" in text
    assert "(1 do not vary in the rows of the report)" in text


@pytest.mark.parametrize("step", [StandardScaler(), PolynomialFeatures(interaction_only=True)])
def test_features_of_pipelines_are_those_of_their_input(step, tmp_path):
    """Also where the steps make others of them, which the pictures have."""
    rows, y = 3.0 + X[:80] * [1.0, 50.0], Y[:80]
    pipeline = make_pipeline(step, regressor(**SHORT))
    fit_quietly(pipeline, rows, y)
    held_out = {"X_held_out": rows[:50], "y_held_out": Y[:50]}
    page = write_page(tmp_path, pipeline, rows, y, row=4, **held_out)
    labels = [feature["label"] for feature in page.panel["features"]]
    starts = [feature["start"] for feature in page.panel["features"]]
    transforms = isinstance(step, PolynomialFeatures)
    assert labels == ["x0", "x1"]
    assert_allclose(starts, rows[4])
    assert (page.panel["formulas"] is None) == transforms
    assert ("that the steps of the pipeline make" in page.section("pictures")) == transforms
    rmse = np.sqrt(np.mean((Y[:50] - pipeline.predict(rows[:50])) ** 2))
    assert_allclose(scores_of(page)["RMSE"], rmse, rtol=1e-3)
    assert "Other rows" not in page.text


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
    ({"expert_names": ["one"]}, "expert_names", "2 experts"),
    ({"feature_names": ["one"]}, "feature_names", "2 features"),
    ({"target": 1}, "target", "0"),
]


@pytest.mark.parametrize(("options", "name", "words"), REFUSED)
def test_arguments_are_refused_before_a_file_is_written(moe, tmp_path, options, name, words):
    path = tmp_path / "report.html"
    assert_refused(refusal(export_html, moe, X[:200], Y[:200], path, **options), name, words)
    assert list(tmp_path.iterdir()) == []


def test_rows_estimators_and_classes_are_refused(moe, classes, tmp_path):
    path = tmp_path / "report.html"
    assert "features" in refusal(export_html, moe, X[:, :1], Y, path)
    message = refusal(export_html, moe, X, Y[:10], path)
    assert_refused(message, "y must have a value", "300 rows; got 10")
    with pytest.raises(NotFittedError):
        export_html(MixtureOfExpertsRegressor(), X, Y, path)
    for other in (StandardScaler(), Ridge().fit(X, Y)):
        assert_refused(refusal(export_html, other, X, Y, path), "", type(other).__name__, "mixture")
    fitted, table, y, *_ = classes
    held_out = {"X_held_out": table[:2], "y_held_out": ["red", "pink"]}
    message = refusal(export_html, fitted, table, y, path, **held_out)
    assert_refused(message, "y_held_out", "classes seen in fit", "pink")
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_are_refused(moe, tmp_path, monkeypatch):
    data = moe, X[:200], Y[:200]
    with pytest.raises(TypeError, match=r"path must .* got ndarray\. The call is export_html\("):
        export_html(moe, tmp_path / "report.html", *data[1:])
    with pytest.raises(FileNotFoundError, match="folder of path must exist"):
        export_html(*data, tmp_path / "nowhere" / "report.html")
    with pytest.raises(IsADirectoryError, match="path must be a file"):
        export_html(*data, tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="must be writable"):
        export_html(*data, tmp_path / "report.html")


@pytest.mark.parametrize("module", ["bokeh.embed", "jinja2", "matplotlib.pyplot"])
def test_a_missing_package_is_named_with_its_extra(moe, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.split(".")[0]
    with pytest.raises(ImportError, match=rf"needs {package}.*skmoe\[report\]"):
        export_html(moe, X[:200], Y[:200], tmp_path / "report.html")
