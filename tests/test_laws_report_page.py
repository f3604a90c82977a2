"""The page of a report and its contents: what is put where, found without drawing or a browser."""

import base64
import errno
import hashlib
import json
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cases import ALL_CASES, CASES, CLASSES, UNITS, X, Y, fitted_case
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.labels import gate_name
from skmoe.inspection import export_html
from skmoe.inspection._report import _export, _page
from skmoe.inspection._report._checks import check_held_out, check_path, check_targets
from skmoe.inspection._report._held_out import HeldOutRows
from skmoe.inspection._style import colour

pytest.importorskip("bokeh", reason="the report needs bokeh")
pytest.importorskip("matplotlib")

# --- the template ---------------------------------------------------------------------------------

TEMPLATE = """<p>
  {% if title %}
{{ title }}
  {% endif %}
</p>
<b>{{ data|default(0)|tojson }}</b>
{{ style|safe }}{% for hash in script_hashes %}#{{ hash }}{% endfor %}#
{% for script in scripts %}
<s>{{ script|safe }}</s>
{% endfor %}
"""


@pytest.fixture
def rendered(monkeypatch):
    """A function that renders a short template."""

    def read(name):
        return TEMPLATE if name == "page.html" else f"/* {name} */"

    monkeypatch.setattr(_page, "_read", read)
    return _page.render_page


def test_texts_of_a_page_are_escaped_and_objects_keep_their_order(rendered):
    page = rendered({"title": "a < b & <i>c</i>", "data": {"z": 1, "a": [2], "m": None}})
    first = page.split("</b>")[0]
    assert "<i>" not in first
    assert "a &lt; b &amp; &lt;i&gt;c&lt;/i&gt;" in first
    data = re.search("<b>(.*?)</b>", page)[1]
    assert list(json.loads(data)) == ["z", "a", "m"]
    assert "/* page.css */" in page


def test_lines_of_the_template_that_only_say_what_is_done_leave_no_lines(rendered):
    assert rendered({"title": "one"}).startswith("<p>\none\n</p>\n")
    assert rendered({}).startswith("<p>\n</p>\n")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_no_browser_can_read_are_refused(rendered, value):
    with pytest.raises(ValueError, match="JSON"):
        rendered({"data": [value]})


def test_scripts_of_a_page_are_known_by_their_hashes(rendered):
    page = rendered({})
    scripts = re.findall("<s>(.*?)</s>", page, re.DOTALL)
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    assert "#".join(["", *hashes, ""]) in page
    library, own = scripts
    assert own == "\n".join(f"/* {name} */" for name in _page.SCRIPTS)
    assert "Bokeh" in library
    assert len(library) > 500 * library.count("\n")  # it has no line breaks for readers


def test_files_of_a_page_are_those_of_the_package():
    folder = Path(_page.__file__).parent
    for name in ("page.html", "page.css", *_page.SCRIPTS):
        assert _page._read(name) == (folder / name).read_text("utf-8")


def test_pages_are_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    for text in ("first, with an umlaut: \u00fc\n", "second\n"):
        _page.write_page(path, text)
        assert path.read_bytes() == text.encode("utf-8")
        assert list(tmp_path.iterdir()) == [path]

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space is left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(OSError, match="No space is left"):
            _page.write_page(path, "third")
    with monkeypatch.context() as patched:
        patched.setattr(_page.os, "replace", refuse)
        with pytest.raises(OSError, match="No space is left"):
            _page.write_page(path, "third")
    assert path.read_text("utf-8") == "second\n"
    assert list(tmp_path.iterdir()) == [path]


# --- what is refused ------------------------------------------------------------------------------


def test_paths_of_reports_are_files_in_folders_that_can_be_written(tmp_path, monkeypatch):
    assert check_path(str(tmp_path / "a.html")) == tmp_path / "a.html"
    (tmp_path / "there.html").write_text("before")
    assert check_path(tmp_path / "there.html") == tmp_path / "there.html"
    with pytest.raises(IsADirectoryError, match="path must be a file"):
        check_path(tmp_path)
    with pytest.raises(FileNotFoundError, match="The folder of path must exist"):
        check_path(tmp_path / "none" / "a.html")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match="must be writable"):
        check_path(tmp_path / "a.html")


def test_held_out_rows_come_with_their_target_and_options_with_rows():
    moe = fitted_case("linear-regressor")
    assert check_held_out(moe, HeldOutRows(None, None, None, None)) is None
    for given in (HeldOutRows(X, None, None, None), HeldOutRows(None, Y, None, None)):
        missing = "y_held_out" if given.y is None else "X_held_out"
        with pytest.raises(ValueError, match=f"given together; got no {missing}"):
            check_held_out(moe, given)
    for options in ((np.ones(9), None), (None, np.ones(9)), (np.ones(9), np.ones(9))):
        with pytest.raises(ValueError, match="belong to X_held_out and y_held_out"):
            check_held_out(moe, HeldOutRows(None, None, *options))
    given = HeldOutRows(X, Y, None, np.zeros(len(Y)))
    assert check_held_out(moe, given) is given or check_held_out(moe, given) == given
    weight = check_held_out(moe, HeldOutRows(X, Y, [1] * len(Y), None)).weight
    assert_array_equal(weight, 1.0)
    assert weight.dtype == float
    with pytest.raises(ValueError, match="y_held_out must have a value for each"):
        check_held_out(moe, HeldOutRows(X, Y[1:], None, None))
    with pytest.raises(ValueError, match="sample_weight"):
        check_held_out(moe, HeldOutRows(X, Y, np.ones(3), None))


def test_held_out_classes_are_those_of_the_fit():
    moe = fitted_case("linear-classifier")
    for y in (CLASSES, np.zeros(len(X), dtype=int)):
        assert check_held_out(moe, HeldOutRows(X, y, None, None)).y is y
    with pytest.raises(ValueError, match=r"classes seen in fit, .*; got .*7"):
        check_held_out(moe, HeldOutRows(X, np.append(CLASSES[1:], 7), None, None))


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5])
def test_reports_show_the_class_that_is_given_or_the_first_four(n_classes):
    table, y = flipping_classes(80, n_classes)
    moe = quiet(MixtureOfExpertsClassifier(1, max_iter=2, random_state=0), table, y)
    assert check_targets(moe, None, table) == ([1] if n_classes == 2 else [0, 1, 2, 3][:n_classes])
    assert check_targets(moe, n_classes - 1, table) == [n_classes - 1]
    assert check_targets(fitted_case("linear-regressor"), None, X) == [0]
    assert check_targets(fitted_case("outputs"), 1, X) == [1]


# --- what a page is made of -----------------------------------------------------------------------


@pytest.fixture
def contents(monkeypatch, tmp_path):
    """A function that returns what the page of a mixture is made of, with stubs of pictures."""

    def picture(kind):
        return lambda estimator, *given: SimpleNamespace(kind=kind, given=given, moe=estimator)

    for name in ("profile", "coefficients", "calibration", "selection"):
        monkeypatch.setattr(_export, f"{name}_picture", picture(name))
    made = {}
    monkeypatch.setattr(_export, "render_page", lambda context: made.update(context) or "page")

    def make(moe, table, y, **options):
        made.clear()
        export_html(moe, table, y, tmp_path / "report.html", **options)
        assert (tmp_path / "report.html").read_text("utf-8") == "page"
        return dict(made)

    return make


def test_contents_name_the_target_the_gate_and_the_number_of_experts(contents):
    for case, y, name, experts in (
        ("two experts", Y, "y", "2 experts (linear)"),
        ("one expert", Y, "y", "one expert (linear)"),
        ("linear-classifier", CLASSES, "the class", "3 experts (linear)"),
        ("units", Y, "y", "3 experts (linear)"),
        ("constant gate", Y, "y", "3 experts (linear)"),
    ):
        moe = fitted_case(case)
        given = {"units": UNITS} if case == "units" else {}
        page = contents(moe, X, y, **given)
        first, second = page["model_sentences"]
        assert f"This model of {name} is a mixture of {experts}" in first
        assert f"the gate ({gate_name(moe.gate)}) gives each {'unit' if given else 'row'}" in first
        assert second
        assert page["title"] == f"Mixture of experts for {name}"
        assert page["row"] is None
        assert page["has_offset"] is False
        assert page["feature_note"] == ""
        assert page["facts"] == moe.summary(X, y, **given).facts
        assert (page["scores"], page["calibration"], page["n_held_out"]) == ([], None, 0)
        assert page["selection"] is None
        assert len(page["cards"]) == moe.n_experts_
        assert set(page["charts"]) >= {"gate-chart", "along-chart"}
        for what in ("axes", "grids", "inks", "papers"):
            assert len(page["panel"][what]) == len(set(page["panel"][what])) > 0
        n_classes = 2 if case == "linear-classifier" else 0
        assert page["colours"] == [colour(k) for k in range(n_classes)]
        assert page["versions"]["NumPy"] == np.__version__


def test_titles_rows_names_and_offsets_of_the_user_are_in_the_contents(contents):
    moe = fitted_case("poisson-regressor")
    y = ALL_CASES["poisson-regressor"][1]
    names = ["calm", "wild", "odd"]
    page = contents(
        moe,
        X,
        y,
        title="Three regimes",
        row=len(X) - 1,
        offset=np.zeros(len(X)),
        feature_names=["height", "weight"],
        expert_names=names,
        coverage=0.6,
        max_features=1,
    )
    assert page["title"] == "Three regimes"
    assert page["row"] == len(X) - 1
    assert page["has_offset"] is True
    assert [card.name for card in page["cards"]] == page["panel"]["experts"] == names
    assert page["panel"]["coverage"] == 0.6
    labels = [feature["label"] for feature in page["panel"]["features"]]
    assert len(labels) == 1
    assert labels[0] in {"height", "weight"}
    assert page["panel"]["n_features"] == 2
    [profile, coefficients] = page["pictures"]
    for picture, kind in ((profile, "profile"), (coefficients, "coefficients")):
        assert picture.kind == kind
        table, target, given = picture.given
        assert_array_equal(table, X)
        assert_array_equal(target, y)
        assert given["target"] == 0
        assert given["max_features"] == 1
        assert given["feature_names"] == ["height", "weight"]
        assert given["expert_names"] == names
        assert_array_equal(given["offset"], 0.0)
    assert contents(moe, X, y, row=0)["row"] == 0
    for wrong in (-1, len(X), 0.5):
        with pytest.raises(ValueError, match="row must be an integer"):
            contents(moe, X, y, row=wrong)
    with pytest.raises(ValueError, match="max_features must be an integer"):
        contents(moe, X, y, max_features=0)


def test_numbers_of_a_page_are_those_of_the_rows_with_a_weight(contents):
    moe = fitted_case("weights")
    weight = np.where(X[:, 0] < -0.85, 5.0, np.arange(len(X)) % 2)
    kept = weight > 0.0
    page = contents(moe, X, Y, sample_weight=weight)
    part = contents(moe, X[kept], Y[kept], sample_weight=weight[kept])
    assert page["facts"] == part["facts"]
    assert page["cards"] == part["cards"]
    table, target, given = page["pictures"][0].given
    assert_array_equal(table, X[kept])
    assert_array_equal(target, Y[kept])
    assert_array_equal(given["sample_weight"], weight[kept])
    plain = contents(moe, X, Y)
    assert plain["cards"] != page["cards"]
    # Intervals and cards of one page are from one inference.
    assert page["pictures"][0].moe is page["pictures"][1].moe
    view = page["pictures"][0].moe
    assert view is not moe
    assert view.inference(X[kept], Y[kept], weight[kept]) is view.inference(X, Y)


def test_pictures_are_one_for_each_class_with_coefficients_and_one_without(contents):
    table, codes = flipping_classes(90, 3)
    y = np.array(["red", "green", "blue"])[codes]
    moe = MixtureOfExpertsClassifier(2, n_init=1, max_iter=4, random_state=0)
    page = contents(quiet(moe, table, y), table, y)
    kinds = [(picture.kind, picture.given[2]["target"]) for picture in page["pictures"]]
    assert kinds == [
        (kind, label) for label in ("blue", "green", "red") for kind in ("profile", "coefficients")
    ]
    one = contents(moe, table, y, target="red")
    assert [p.given[2]["target"] for p in one["pictures"]] == ["red", "red"]
    trees = MixtureOfExpertsClassifier(2, expert="tree", n_init=1, max_iter=2, random_state=0)
    page = contents(quiet(trees, table, y), table, y)
    assert [picture.kind for picture in page["pictures"]] == ["profile"]
    page = contents(fitted_case("outputs"), X, CASES["outputs"][1], target=1)
    assert [picture.given[2]["target"] for picture in page["pictures"]] == [1, 1]
    assert page["panel"]["target"] == "y1"


def test_held_out_rows_have_scores_and_a_calibration(contents):
    moe = fitted_case("linear-classifier")
    weight = np.arange(40.0)
    page = contents(
        moe, X, CLASSES, X_held_out=X[:40], y_held_out=CLASSES[:40], sample_weight_held_out=weight
    )
    assert page["n_held_out"] == 39  # the first row has no weight
    assert [score.name for score in page["scores"]] == ["Accuracy", "Log loss", "Brier score"]
    right = moe.predict(X[:40]) == CLASSES[:40]
    assert page["scores"][0].value == f"{np.average(right, weights=weight):.4g}"
    rows, index, labels = page["calibration"].given
    assert_array_equal(rows.weight, weight[1:])
    assert (index, labels) == (0, ["0", "1"])
    page = contents(
        fitted_case("outputs"),
        X,
        CASES["outputs"][1],
        target=1,
        X_held_out=X[:30],
        y_held_out=CASES["outputs"][1][:30],
        coverage=0.6,
    )
    assert page["calibration"].given[1:] == (1, [])
    assert page["n_held_out"] == 30
    assert any("60 %" in score.name for score in page["scores"])
    errors = CASES["outputs"][1][:30, 1] - fitted_case("outputs").predict(X[:30])[:, 1]
    [rmse] = [score.value for score in page["scores"] if score.name == "RMSE"]
    assert_allclose(float(rmse), np.sqrt(np.mean(errors**2)), rtol=1e-3)


@pytest.mark.parametrize("step", [StandardScaler(), PolynomialFeatures(2, include_bias=False)])
def test_held_out_rows_of_pipelines_are_those_of_their_input(contents, step):
    rows = 3.0 + X * [1.0, 50.0]
    pipeline = make_pipeline(step, MixtureOfExpertsRegressor(2, n_init=1, max_iter=5))
    pipeline = quiet(pipeline, rows, Y)
    page = contents(pipeline, rows, Y, X_held_out=rows[:50], y_held_out=Y[:50])
    errors = Y[:50] - pipeline.predict(rows[:50])
    [rmse] = [score.value for score in page["scores"] if score.name == "RMSE"]
    assert_allclose(float(rmse), np.sqrt(np.mean(errors**2)), rtol=1e-3)
    transforms = isinstance(step, PolynomialFeatures)
    assert bool(page["feature_note"]) == transforms
    table = page["pictures"][0].given[0]
    assert_allclose(np.asarray(table), step.transform(rows) if transforms else rows)
    assert page["panel"]["n_features"] == table.shape[1]
    # The summary is that of the mixture of the pipeline, of the rows that it takes.
    summary = pipeline[-1].summary(step.transform(rows), Y)
    assert page["facts"] == summary.facts
    assert not any("Other rows" in warning for warning in page["warnings"])


@pytest.mark.filterwarnings("ignore:.* got no units")
def test_warnings_of_a_page_are_told_once_and_notes_are_no_warnings(contents):
    moe = quiet(MixtureOfExpertsRegressor(2, n_init=1, max_iter=2, random_state=0), X, Y)
    page = contents(moe, X[:150], Y[:150])
    assert len(page["warnings"]) == len(set(page["warnings"]))
    text = " ".join(page["warnings"])
    assert "EM stopped before convergence, after 2 iterations" in text
    assert "Other rows than those of the fit" in text
    assert not set(page["notes"]) & set(page["warnings"])
    notes = [" ".join(note.split()) for note in moe.summary(X[:150], Y[:150]).notes]
    assert set(page["notes"]) <= set(notes)
    # What the summary warns of is on the page as well.
    moe = fitted_case("units")
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        moe.summary(X, Y)
    assert given
    page = contents(moe, X, Y)
    assert {str(warning.message) for warning in given} <= set(page["warnings"])


@pytest.mark.parametrize("combine", ["best", "average"])
def test_numbers_of_experts_that_were_tried_have_a_table_and_a_picture(contents, combine):
    moe = MixtureOfExpertsRegressor("bic", n_init=2, max_iter=6, combine=combine, random_state=0)
    quiet(moe, X[:120], Y[:120])
    page = contents(moe, X[:120], Y[:120])
    best = moe.n_experts_tried_[np.argmax(moe.n_experts_scores_)]
    assert page["selection"]["chosen"] == best
    assert page["selection"]["picture"].kind == "selection"
    assert page["selection"]["heading"] == "\N{MINUS SIGN}BIC"
