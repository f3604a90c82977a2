"""What texts and diagrams share: ranks of features, estimators as experts, shares of units."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skmoe import MixtureOfExpertsRegressor
from skmoe._inference.labels import format_number
from skmoe.inspection import export_mermaid, export_text
from support.displays import CASES
from support.fits import X, Y, fit_quietly, fitted_case
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, panel, two_regimes

NAMES = ["depth", "width", "height"]
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}
EXPORTS = [export_text, export_mermaid]


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


@pytest.fixture(scope="module")
def fitted():
    table, y = two_regimes(150)
    return fit_quietly(regressor(), table, y), table


@pytest.fixture(scope="module")
def of_trees():
    table, y = two_regimes(100)
    frame = pd.DataFrame(table, columns=NAMES)
    frame["kind"] = pd.Categorical(np.where(table[:, 1] > -0.5, "often", "rare"))
    frame.loc[3, "width"] = np.nan
    return fit_quietly(regressor(expert="tree", max_iter=3), frame, y), frame


def number_after(text, name):
    return float(re.search(rf"{name} ([+-]?[\d.]+)", text)[1])


# --- text -----------------------------------------------------------------------------------------


def test_text_has_shares_log_odds_equations_and_noise(fitted):
    moe, table = fitted
    text = export_text(moe, NAMES, X=table, digits=9)
    title, *blocks = text.split("\n\n")
    assert title == "MixtureOfExpertsRegressor: 2 experts, softmax gate"
    assert len(blocks) == 2
    for k, block in enumerate(blocks):
        head, gate, equation, noise = block.splitlines()
        assert head == f"expert {k} (linear), {100 * moe.weights_[k]:.0f} % of the rows"
        log_odds = (moe.gate_coef_[k] - moe.gate_coef_[0]) * table.std(axis=0)
        expected = "log odds against expert 0 per standard deviation" if k else "reference"
        assert expected in gate
        for j, name in enumerate(NAMES):
            if k:
                assert number_after(gate, name) == pytest.approx(log_odds[j], abs=1e-6)
            sign = "-" if moe.expert_coef_[k, j] < 0 else "+"
            assert f"{sign} {format_number(abs(moe.expert_coef_[k, j]), 9)} {name}" in equation
        order = np.argsort(-np.abs(log_odds))
        assert re.findall("|".join(NAMES), gate) == [NAMES[j] for j in order] * k
        assert equation.strip().startswith(f"y = {format_number(moe.expert_intercept_[k], 9)} ")
        assert (
            f"noise: standard deviation {format_number(np.sqrt(moe.noise_variance_[k]), 9)}"
            in noise
        )


UNITS = np.array([1e-3, 1.0, 1e3])


def of_units(kind=MixtureOfExpertsRegressor, **options):
    """A mixture of features of other units, of which the last has the largest effects."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 3))
    up = Z @ [0.2, 1.0, 4.0] > 0.3
    y = np.where(up, Z @ [0.5, 1.0, 3.0], -Z @ [0.5, 1.0, 3.0]) + 0.3 * rng.normal(size=200)
    y = y if kind is MixtureOfExpertsRegressor else y > 0
    return fit_quietly(kind(2, **SHORT | options), Z * UNITS, y), Z * UNITS


@pytest.mark.parametrize("options", [{}, {"expert": Ridge(1e-12)}], ids=["linear", "estimators"])
def test_terms_are_ranked_by_deviations_or_ranges(options):
    moe, table = of_units(**options)
    for rows in (table, None):
        text = export_text(moe, X=rows, max_features=1)
        named = [set(re.findall(r"x\d", line)) for line in text.splitlines()]
        assert [names for names in named if names] == [{"x2"}] * 3  # two equations and a gate
        assert text.count("standard deviation:") == (0 if rows is None else 1)
        assert text.count("against expert 0 per unit:") == (1 if rows is None else 0)
        assert text.count(", and 2 more") == 3
        assert "more" not in export_text(moe, X=rows, max_features=None, digits=9)


def test_each_class_and_output_has_an_equation():
    text = export_text(CASES["classes"]()[0])
    for label in ("red", "green"):
        assert text.count(f"log odds of class {label} against class blue = ") == 2
    moe = CASES["outputs"]()[0]
    text = export_text(moe)
    assert text.count("y0 = ") == text.count("y1 = ") == 3
    deviations = ", ".join(map(format_number, np.sqrt(moe.noise_variance_[0])))
    assert f"noise: standard deviation {deviations}" in text


def test_texts_of_estimators_have_leaves_and_importances(of_trees):
    moe, frame = of_trees
    text = export_text(moe, X=frame, max_features=None)
    assert "expert 0 (DecisionTreeRegressor)" in text
    assert "average of 5 models, one for each fold" in text
    for name in ("get_n_leaves", "get_depth"):
        numbers = [getattr(pipeline[-1], name)() for pipeline in moe.experts_[0]]
        low, high = min(numbers), max(numbers)
        shown = str(low) if low == high else f"{low} to {high}"
        assert (f"{shown} leaves" if name == "get_n_leaves" else f"depth {shown}") in text
    # The gate sees categories as numbers.
    named = [f" {name} " in text for name in moe.gate_feature_names_]
    assert sum(named) == frame.shape[1]
    assert moe.gate_coef_[:, named].all()
    diagram = export_mermaid(moe, X=frame)
    assert "effects" not in diagram
    assert "expert 0<br/>DecisionTreeRegressor<br/>noise " in diagram


def test_texts_of_nested_mixtures_and_importances():
    table, y = two_regimes(100)
    nested = MixtureOfExpertsRegressor(2, n_init=1, max_iter=5)
    moe = fit_quietly(regressor(expert=["tree", nested], max_iter=2), table, y)
    first, second = export_text(moe, NAMES).split("\n\n")[1:]
    importance = np.mean([tree.feature_importances_ for tree in moe.experts_[0]], axis=0)
    best = int(np.argmax(importance))
    assert f"feature importances: {NAMES[best]} {format_number(importance[best])}" in first
    assert "itself a mixture of 2 experts" in second
    assert "noise" in first
    assert "noise" not in second  # its density is its own
    assert export_mermaid(moe).count("noise") == 1


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e7])
def test_equations_of_linear_estimators_do_not_depend_on_the_units_of_y(scale):
    moe = regressor(1, expert=Ridge(1e-9), max_iter=3)
    fit_quietly(moe, X * [1.0, 0.0], scale * (1.0 + 2.0 * X[:, 0]))
    [line] = [line for line in export_text(moe, digits=9).splitlines() if "y = " in line]
    numbers = [float(value) for value in re.findall(r"(?<![x\w])\d[\d.e+-]*", line)]
    assert numbers == pytest.approx([scale, 2.0 * scale], rel=0.05)
    assert "x1" not in line  # it does nothing


def test_estimators_that_are_not_linear_have_no_equation():
    rows = make_pipeline(PolynomialFeatures(2), Ridge())
    for scale in (1e-7, 1e7):
        moe = fit_quietly(regressor(1, expert=rows, max_iter=2), X, scale * X[:, 0] ** 2)
        assert "y = " not in export_text(moe)


def test_dropped_features_are_named():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(150, 4))
    moe = fit_quietly(regressor(1, alpha="ard"), table, table[:, 0] + 0.1 * rng.normal(size=150))
    dropped = [f"x{j}" for j in np.flatnonzero(np.isposinf(moe.alpha_))]
    assert f"dropped by the experts: {', '.join(dropped) or 'none'}" in export_text(moe)
    assert "dropped" not in export_text(fitted_case("linear-regressor"))


# --- diagrams -------------------------------------------------------------------------------------


def test_diagrams_rank_features_by_deviations():
    moe, table = of_units()
    text = export_mermaid(moe, X=table)
    assert re.findall(r"x\d", text.split("largest effects:")[1].split('"')[0]) == ["x2", "x1", "x0"]
    none = fit_quietly(regressor(gate="constant", max_iter=3), table, table[:, 1])
    assert "largest effects" not in export_mermaid(none, X=table)
    some = fit_quietly(regressor(gate_features=[1], max_iter=3), table, table[:, 1])
    effects = export_mermaid(some, X=table).split("largest effects:")[1]
    assert re.findall(r"x\d", effects.split('"')[0]) == ["x1"]


# --- shares of units, arguments -------------------------------------------------------------------


def experts_in_notebook(moe):
    page = moe._repr_html_()
    return page[page.index('class="skmoe-experts"') :]


def test_shares_of_a_fit_with_units_are_those_of_units():
    table, y, units, _ = panel(30, 4, 2)
    moe = fit_quietly(regressor(gate="constant"), table, y, units=units)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        summary = moe.summary(table, y, units=units)
    assert (summary.facts["units"], summary.facts["rows"]) == ("30", "120")
    resp = moe.responsibilities(table, y, units=units).rows(units).sum(axis=0)
    for k, line in enumerate(re.findall(r"Expert \d .*", str(summary))):
        share = 100 * moe.weights_[k]
        assert f": {share:.1f} % of the units, {resp[k]:.5g} effective rows" in line
    described = {expert.gate_description for expert in summary.experts}
    assert described == {"the same probability for every unit"}
    without_data = str(moe.summary())
    assert "summary(X, y, units=units)" in without_data
    for text in (str(summary), without_data, export_text(moe), experts_in_notebook(moe)):
        assert "of the rows" not in text
        assert "of the units" in text
    assert export_text(moe).count("gate: the same for all units") == 2
    one = fit_quietly(regressor(1), table, y, units=units)
    assert one.summary().experts[0].gate_description == "used for every unit"
    assert "expert 0 (linear): 100.0 % of the units" in str(one.summary())


def test_shares_of_other_fits_are_those_of_rows():
    moe = fitted_case("constant gate")
    summary = moe.summary(X, Y)
    for text in (str(summary), export_text(moe), experts_in_notebook(moe)):
        assert "of the rows" in text
        assert "of the units" not in text
    assert "units" not in summary.facts
    assert summary.experts[0].gate_description == "the same probability for every row"


@pytest.mark.parametrize("export", EXPORTS)
def test_only_fitted_mixtures_are_described(export):
    with pytest.raises(NotFittedError):
        export(MixtureOfExpertsRegressor())
    table, y = flipping_classes(20)
    message = refusal(export, Ridge().fit(table, y))
    assert_refused(message, "estimator must be a mixture of experts", "got Ridge")


REFUSED = [
    ({"feature_names": "abc"}, "feature_names", "list of names"),
    ({"feature_names": X[:5]}, "feature_names", "X=X"),
    ({"feature_names": ["a"]}, "feature_names", "3"),
    ({"max_features": 0}, "max_features", "integer"),
    ({"X": X[:, :1]}, "", "3 features"),
]


@pytest.mark.parametrize(
    ("export", "given", "name", "words"),
    [
        *((export, *refused) for export in EXPORTS for refused in REFUSED),
        (export_text, {"digits": 0}, "digits", "integer"),
    ],
)
def test_arguments_are_refused_by_name(fitted, export, given, name, words):
    assert_refused(refusal(export, fitted[0], **given), name, words)
