"""The report as a file: what it contains, what it refuses, and that it is written as a whole."""

import json
import re
import sys
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import export_html
from skmoe.inspection._report import _page

pytest.importorskip("bokeh", reason="the report needs bokeh")
matplotlib.use("Agg")
LARGEST_PAGE = 5e6  # bytes


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    return quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), X[:200], y[:200]), X, y


@pytest.fixture(scope="module")
def page(fitted, tmp_path_factory):
    moe, X, y = fitted
    path = tmp_path_factory.mktemp("report") / "page.html"
    held_out = {"X_held_out": X[200:], "y_held_out": y[200:]}
    export_html(moe, X[:200], y[:200], path, **held_out, expert_names=["calm", "wild"])
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def plain_page(fitted, tmp_path_factory):
    """Without held-out rows."""
    moe, X, y = fitted
    path = tmp_path_factory.mktemp("report") / "page.html"
    export_html(moe, X[:200], y[:200], path)
    return path.read_text("utf-8")


@pytest.fixture
def written(tmp_path):
    """A function that writes a report and returns its text."""

    def write(moe, X, y, **options):
        export_html(moe, X, y, tmp_path / "report.html", **options)
        return (tmp_path / "report.html").read_text("utf-8")

    return write


def section(page, title):
    """Text of a section, without tags."""
    found = re.search(rf'<section aria-labelledby="{title}-title".*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


def panel_data(page):
    found = re.search(r'id="panel-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


# --- what it contains ---------------------------------------------------------------------------


def test_the_page_is_whole_and_small(page):
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert len(page.encode()) < LARGEST_PAGE
    assert "BSD 3-Clause" in page


def test_the_page_loads_nothing(page):
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', without_scripts)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in without_scripts
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_experts_have_cards(fitted, page):
    moe, X, y = fitted
    text = section(page, "experts")
    assert "calm" in text
    assert "wild" in text
    share = f"{100 * moe.weights_[0]:.0f} % of the rows"
    assert share in text
    assert f"noise: standard deviation {moe.noise_variance_[1] ** 0.5:.3f}" in text
    resp = moe.responsibilities(X[:200], y[:200])[:, 0]
    difference = (resp @ X[:200] / resp.sum() - X[:200].mean(axis=0)) / X[:200].std(axis=0)
    assert f"x0 ({difference[0]:+.2g} SD)".replace("-", "\N{MINUS SIGN}") in text


def test_scores_are_those_of_the_held_out_rows(fitted, page):
    moe, X, y = fitted
    text = section(page, "held-out")
    r2 = r2_score(y[200:], moe.predict(X[200:]))
    distribution = moe.predict_dist(X[200:])
    low, high = moe.predict_interval(X[200:], 0.9).T
    assert f"{r2:.4g}" in text
    assert f"{distribution.crps(y[200:]).mean():.4g}" in text
    assert f"{100 * np.mean((low <= y[200:]) & (y[200:] <= high)):.1f} %" in text
    assert "100 rows" in text


def test_scores_of_classes_weigh_rows(written):
    X, y = flipping_classes(300, 3)
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X[:200], y[:200])
    weight = np.arange(100.0)
    held_out = {"X_held_out": X[200:], "y_held_out": y[200:], "sample_weight_held_out": weight}
    text = section(written(moe, X[:200], y[:200], **held_out), "held-out")
    loss = log_loss(y[200:], moe.predict_proba(X[200:]), sample_weight=weight)
    assert f"{loss:.4g}" in text


def test_without_held_out_rows_the_page_says_so(plain_page):
    text = section(plain_page, "held-out")
    assert "No held-out rows were given" in text
    assert "RMSE" not in text


def test_trials_of_the_number_of_experts_are_listed(written):
    X, y = two_regimes(300)
    moe = quiet(MixtureOfExpertsRegressor("bic", random_state=0, n_init=2), X, y)
    text = section(written(moe, X, y), "selection")
    for number, score in zip(moe.n_experts_tried_, moe.n_experts_scores_, strict=True):
        assert f"{number}" in text
        assert f"{score:.5g}" in text
    assert f"selected {moe.n_experts_}" in text


def test_a_number_that_was_given_is_named(page):
    assert "The number of experts, 2, was given" in section(page, "selection")


def test_warnings_of_the_fit_are_found_again(written):
    X, y = two_regimes(200)
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1, max_iter=2), X, y)
    assert "EM stopped before convergence, after 2 iterations" in section(
        written(moe, X, y), "warnings"
    )


def test_collapsed_experts_are_found_again(fitted, written):
    moe, X, y = fitted
    one_sided = moe.predict_gate(X)[:, 0] > 0.999
    chosen = np.flatnonzero(one_sided & (moe.responsibilities(X, y)[:, 0] > 0.99999))
    text = section(written(moe, X[chosen], y[chosen]), "warnings")
    assert "lost nearly all their rows" in text
    assert "Other rows than those of the fit" in text


def test_dispersions_at_the_bound_are_found_again(written):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.uniform(-3, -1, size=40), rng.uniform(1, 3, size=40)])[:, None]
    y = np.sign(X[:, 0]) + np.repeat([0.0, 0.5], 40) * rng.normal(size=80)
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1, dispersion_prior=0.0)
    text = section(written(quiet(moe, X, y), X, y), "warnings")
    assert "at its bound" in text


def test_a_fit_without_trouble_has_no_warnings(page):
    assert section(page, "warnings").startswith("Warnings of the fit None:")


def test_equal_reports_are_equal(fitted, plain_page, written):
    moe, X, y = fitted
    pages = [plain_page, written(moe, X[:200], y[:200])]
    # Identifiers of Bokeh's models count up.
    first, second = (re.sub(r'id="charts-data">.*?</script>', "", page) for page in pages)
    assert first == second


def test_no_figure_stays_open(fitted, written):
    moe, X, y = fitted
    own = plt.figure()
    before = plt.get_fignums()
    written(moe, X[:200], y[:200])
    assert plt.get_fignums() == before
    plt.close(own)


# --- the panel ----------------------------------------------------------------------------------


def test_the_panel_starts_with_a_row_or_with_medians(fitted, plain_page, written):
    moe, X, y = fitted
    panel = panel_data(plain_page)
    starts = [feature["start"] for feature in panel["features"]]
    assert_allclose(starts, np.median(X[:200], axis=0))
    panel = panel_data(written(moe, X[:200], y[:200], row=5))
    assert [feature["start"] for feature in panel["features"]] == X[5].tolist()
    ranges = [(feature["low"], feature["high"]) for feature in panel["features"]]
    assert_allclose(ranges, np.stack([X[:200].min(axis=0), X[:200].max(axis=0)], axis=1))


def test_the_strongest_features_are_shown_and_the_others_counted(written):
    X, y = two_regimes(300)
    X = np.column_stack([np.zeros(300), 0.01 * np.random.default_rng(0).normal(size=(300, 20)), X])
    used = [21, 22, 23]
    moe = MixtureOfExpertsRegressor(
        2, gate_features=used, expert_features=used, random_state=0, n_init=1
    )
    page = written(quiet(moe, X, y), X, y, max_features=3)
    panel = panel_data(page)
    assert [feature["label"] for feature in panel["features"]] == ["x21", "x22", "x23"]
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "3 of 24 features are shown" in text
    assert "(1 do not vary in the rows of the report)" in text


def test_frames_and_sparse_rows_have_the_panel_of_arrays(written):
    X, y = two_regimes(200)
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), X, y)
    wanted = panel_data(written(moe, X, y, row=2))
    names = [f"x{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    named = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), frame, y)
    for estimator, rows in ((named, frame), (moe, sparse.csr_array(X))):
        panel = panel_data(written(estimator, rows, y, row=2))
        assert panel["features"] == wanted["features"]
        for part in ("slopes", "intercept"):
            assert_allclose(panel["formulas"]["gate"][part], wanted["formulas"]["gate"][part])


def test_units_and_offsets_are_named(written):
    X, y = two_regimes(200)
    units, offset = np.repeat(np.arange(50), 4), np.full(200, 0.5)
    y = np.round(np.abs(y))
    moe = MixtureOfExpertsRegressor(2, family="poisson", random_state=0, n_init=1, gate="constant")
    quiet(moe, X, y, units=units, offset=offset)
    page = written(moe, X, y, units=units, offset=offset)
    assert "of the units" in section(page, "experts")
    assert "Predictions are those for an offset of 0." in page


def test_classes_have_slices_without_intervals(written):
    X, y = two_regimes(150)
    moe = MixtureOfExpertsClassifier(2, expert="tree", random_state=0, n_init=1, cross_fit=2)
    page = written(quiet(moe, X, y > 0), X, y > 0)
    assert panel_data(page)["slices"][0].keys() == {"gate", "experts", "mean"}


def test_features_of_a_scaling_pipeline_are_those_of_its_input(written):
    X, y = two_regimes(200)
    X = 5.0 + 3.0 * X
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1)
    pipeline = quiet(make_pipeline(StandardScaler(), moe), X, y)
    page = written(pipeline, X, y, row=4, X_held_out=X[:50], y_held_out=y[:50])
    panel = panel_data(page)
    assert [feature["start"] for feature in panel["features"]] == X[4].tolist()
    gate = panel["formulas"]["gate"]
    logits = np.array(gate["slopes"]) @ X[4] + gate["intercept"]
    wanted = pipeline[-1].predict_gate(pipeline[:-1].transform(X[[4]]))[0]
    assert_allclose(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(), wanted)
    assert f"{r2_score(y[:50], pipeline.predict(X[:50])):.4g}" in section(page, "held-out")
    assert section(page, "warnings").startswith("Warnings of the fit None:")


def test_features_of_other_pipelines_are_those_of_the_last_step(written):
    from sklearn.preprocessing import PolynomialFeatures

    X, y = two_regimes(200, n_features=2)
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1)
    polynomials = PolynomialFeatures(include_bias=False)
    page = written(quiet(make_pipeline(polynomials, moe), X, y), X, y)
    labels = [feature["label"] for feature in panel_data(page)["features"]]
    assert labels == ["x0", "x1", "x0^2", "x0 x1", "x1^2"]
    assert "those of the transformed table" in page
    assert section(page, "warnings").startswith("Warnings of the fit None:")


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"X_held_out": np.zeros((3, 3))}, "must be given together; got no y_held_out"),
        ({"y_held_out": np.zeros(3)}, "must be given together; got no X_held_out"),
        ({"X_held_out": np.zeros((3, 2)), "y_held_out": np.zeros(3)}, "2 features"),
        ({"X_held_out": np.zeros((3, 3)), "y_held_out": np.zeros(4)}, "each of the 3 rows; got 4"),
        ({"sample_weight_held_out": np.ones(3)}, "belong to X_held_out"),
        ({"row": 200}, "row must be an integer from 0 to 199"),
        ({"max_features": 0}, "max_features must be"),
        ({"coverage": 90}, "coverage must be a probability"),
        ({"expert_names": ["one"]}, "expert_names must be"),
        ({"feature_names": ["one"]}, "feature_names must have one name"),
        ({"target": 1}, "target must be"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_before_any_work(fitted, tmp_path, options, message):
    moe, X, y = fitted
    with pytest.raises(ValueError, match=message):
        export_html(moe, X[:200], y[:200], tmp_path / "report.html", **options)
    assert list(tmp_path.iterdir()) == []


def test_rows_and_targets_of_other_sizes_are_refused(fitted, tmp_path):
    moe, X, y = fitted
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match="features"):
        export_html(moe, X[:, :2], y, path)
    with pytest.raises(ValueError, match="y must have a value for each of the 300 rows; got 10"):
        export_html(moe, X, y[:10], path)


def test_unknown_classes_of_held_out_rows_are_refused(tmp_path):
    X, y = flipping_classes(200)
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    held_out = {"X_held_out": X[:3], "y_held_out": [0, 1, 7]}
    with pytest.raises(ValueError, match="y_held_out must hold classes seen in fit"):
        export_html(moe, X, y, tmp_path / "report.html", **held_out)


def test_other_estimators_are_refused(tmp_path):
    path = tmp_path / "report.html"
    with pytest.raises(NotFittedError):
        export_html(MixtureOfExpertsRegressor(), np.zeros((3, 1)), np.zeros(3), path)
    with pytest.raises(TypeError, match="must be a mixture of experts; got StandardScaler"):
        export_html(StandardScaler(), np.zeros((3, 1)), np.zeros(3), path)


def test_paths_that_cannot_be_written_are_refused(fitted, tmp_path):
    moe, X, y = fitted
    with pytest.raises(FileNotFoundError, match="folder of path must exist"):
        export_html(moe, X, y, tmp_path / "nowhere" / "report.html")
    with pytest.raises(IsADirectoryError, match="path must be a file"):
        export_html(moe, X, y, tmp_path)


def test_a_failed_report_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    moe, X, y = fitted
    path = tmp_path / "report.html"
    path.write_text("old")

    def no_replace(*_):
        raise OSError("disk full")

    monkeypatch.setattr(_page.os, "replace", no_replace)
    with pytest.raises(OSError, match="disk full"):
        _page.write_page(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    export_html(moe, X[:200], y[:200], str(path))
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("module", ["bokeh.embed", "jinja2", "matplotlib.pyplot"])
def test_a_missing_package_is_named_with_its_extra(fitted, tmp_path, monkeypatch, module):
    moe, X, y = fitted
    monkeypatch.setitem(sys.modules, module, None)
    package = module.split(".")[0]
    with pytest.raises(ImportError, match=rf"needs {package}.*skmoe\[report\]"):
        export_html(moe, X, y, tmp_path / "report.html")


# --- experts without slopes -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["without predictors", "intercepts", "constant features"])
def test_pages_of_experts_without_slopes_have_no_picture_of_them(kind, tmp_path):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] > 0, 0.0, rng.uniform(1.0, 5.0, size=200))
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0)
    if kind == "without predictors":
        moe.set_params(family=["zero", "uniform"])
    elif kind == "intercepts":
        moe.set_params(expert_features=[])
    else:
        X = np.ones((200, 2))
    moe = quiet(moe, X, y)
    path = tmp_path / "report.html"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_html(moe, X, y, path)
        assert "Coefficients:" not in path.read_text("utf-8")
        assert str(moe.summary(X, y))
