"""Texts and diagrams say what the mixture computes: equations, effects, noise and shares."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import exp1, gamma
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import export_mermaid, export_text
from support.displays import CASES, three_digits
from support.expert_kinds import KINDS
from support.fits import (
    CLASSES,
    X,
    Y,
    classifier,
    fit_quietly,
    fitted_case,
    regressor,
    short_fit,
    target_of,
)
from support.refusals import assert_refused, refusal
from support.tables import panel, two_regimes

NAMES = ["depth", "width", "height"]
SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 15}


def value_of(equation, row):
    """The value of an equation such as "1.00 - 2.00 x0"."""
    total = 0.0
    for sign, number, name in re.findall(r"([+-]?) ?(\d[\d.]*)(?: (x\d))?", equation):
        factor = row[int(name[1:])] if name else 1.0
        total += (-1.0 if sign == "-" else 1.0) * float(number) * factor
    return total


def lines_from(text, start):
    return [line.strip() for line in text.splitlines() if line.strip().startswith(start)]


# --- equations --------------------------------------------------------------------------------

INVERSES = {"identity": lambda eta: eta, "log": np.exp, "logit": lambda eta: 1 / (1 + np.exp(-eta))}
BEGINNINGS = {"identity": "y = ", "log": "expected y = exp(", "logit": "log odds of "}
BEGINNINGS_OF_FAMILIES = {
    "lognormal": "median y = exp(",
    "weibull": "scale of y = exp(",
    "loglogistic": "median y = exp(",
    "gompertz": "scale of y = exp(",
    "beta": "logit of expected y = ",
}


@pytest.mark.parametrize(("name", "task"), [kind for kind in KINDS if kind[0] != "ordinal"])
def test_equations_give_the_predictions_of_the_experts(name, task):
    moe = short_fit(f"{name}-{task}")
    beginning = BEGINNINGS_OF_FAMILIES.get(name, BEGINNINGS[moe.link_])
    lines = lines_from(export_text(moe, digits=9), beginning)
    assert len(lines) == moe.n_experts_
    for i in (0, 7):
        wanted = moe.predict_experts(X[i : i + 1])[0]
        wanted = wanted[:, 1] if task == "classifier" else wanted
        predictors = np.array([value_of(line.split(" = ")[1], X[i]) for line in lines])
        found = INVERSES[moe.link_](predictors)
        if name == "lognormal":  # from medians to means
            found = np.exp(predictors + 0.5 * moe.dispersion_.ravel())
        if name == "weibull":  # from scales to means
            found = found * gamma(1.0 + np.sqrt(moe.dispersion_.ravel()))
        if name == "loglogistic":  # from medians to means
            angle = np.pi * np.sqrt(moe.dispersion_.ravel())
            found = found * angle / np.sin(angle)
        if name == "gompertz":
            hazard = moe.dispersion_.ravel()
            found = found * np.exp(hazard) * exp1(hazard)
        assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_equations_on_a_base_contain_the_base():
    moe = fit_quietly(regressor(n_experts=2, base=LinearRegression()), X, 500 + Y)
    lines = lines_from(export_text(moe, digits=9), "y = ")
    assert all(line.startswith("y = base + ") for line in lines)
    for line, mean in zip(lines, moe.predict_experts(X[:1])[0], strict=True):
        found = moe.base_.predict(X[:1])[0] + value_of(line.removeprefix("y = base + "), X[0])
        assert_allclose(found, mean, atol=1e-4)
    assert "base + linear predictor" in str(moe.summary(X, 500 + Y))


@pytest.mark.parametrize(
    ("moe", "y", "words"),
    [
        (regressor(family="poisson", base=PoissonRegressor()), target_of("poisson"), "log(base)"),
        (classifier(base=LogisticRegression()), CLASSES, "terms of the base + "),
    ],
)
def test_a_base_enters_on_the_scale_of_the_link(moe, y, words):
    moe = fit_quietly(moe.set_params(n_init=1, max_iter=3), X, y)
    assert words in export_text(moe)


def test_each_class_and_output_has_an_equation():
    text = export_text(CASES["classes"]()[0])
    for label in ("red", "green"):
        assert text.count(f"log odds of class {label} against class blue = ") == 2
    moe = CASES["outputs"]()[0]
    text = export_text(moe)
    assert text.count("y0 = ") == text.count("y1 = ") == 3
    deviations = ", ".join(map(three_digits, np.sqrt(moe.noise_variance_[0])))
    assert f"noise: standard deviation {deviations}" in text


def test_numbers_are_short_and_the_largest_come_first():
    table = np.random.default_rng(0).normal(size=(80, 4))
    mean = 1.0 + table @ [0.5, 0.0, -2.0, 0.6]
    moe = MixtureOfExpertsRegressor(1, alpha=1e-8).fit(table, mean)
    (line,) = lines_from(export_text(moe, max_features=2), "y = ")
    assert re.findall(r"x\d", line) == ["x2", "x3"]
    assert "and 1 more" in line or "and 2 more" in line
    (line,) = lines_from(export_text(moe, max_features=None, digits=4), "y = ")
    assert re.findall(r"x\d", line)[:3] == ["x2", "x3", "x0"]
    assert re.findall(r"\d\.\d+", line)[:2] == ["1.000", "2.000"]
    large = MixtureOfExpertsRegressor(1, alpha=1e-8).fit(table, 1e6 * mean)
    assert "1.00e+06 - 2.00e+06 x2" in export_text(large, max_features=1)


@pytest.mark.parametrize(
    ("name", "task", "unit"),
    [
        *((*kind, 1e6) for kind in KINDS),
        ("linear", "regressor", 1e-6),
        ("linear", "regressor", 1.0),
    ],
)
def test_terms_that_matter_are_written_and_others_counted(name, task, unit):
    """In any unit of the features: no coefficient is printed as zero, and none is left out."""
    kind = regressor if task == "regressor" else classifier
    options = {"n_experts": 2, "n_init": 1, "max_iter": 5}
    y = Y if task == "regressor" else CLASSES
    if name != "linear":
        options["family"], y = name, target_of(name)
    rng = np.random.default_rng(0)
    table = np.column_stack(
        [unit * X[:, 0], X[:, 1] / unit, np.ones(len(X)), rng.normal(size=len(X))]
    )
    moe = fit_quietly(kind(**options), table, y)
    for rows in (None, table):
        text = export_text(moe, X=rows)
        described = [line for line in text.splitlines() if line.startswith("  ")]
        written = " ".join(described).replace("against expert 0", "").replace("against class 0", "")
        numbers = re.findall(r"(?<![\w.])\d[\d.]*(?:e[+-]\d+)?(?![\w.])", written)
        assert all(float(number) > 0.0 for number in numbers)
        for line in (line for line in described if "gate: log" in line or " = " in line):
            n_written = len(re.findall(r" x\d", line))
            n_counted = sum(map(int, re.findall(r", and (\d) (?:more|near 0)", line)))
            assert n_written + n_counted == 3  # the constant column has no coefficient
    largest = np.argmax(np.abs(moe.expert_coef_.reshape(2, 4)[0]) * np.ptp(table, axis=0))
    assert f"x{largest}" in next(line for line in text.splitlines() if " = " in line)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.55e-4, "0.000155"),
        (-0.99999, "-1.00"),
        (12345.6, "12346"),
        (1.5e-5, "1.50e-05"),
        (0.0, "0"),
        (100.0, "100"),
        (999999.6, "1.00e+06"),
    ],
)
def test_numbers_have_significant_digits(value, text):
    moe = MixtureOfExpertsRegressor(1).fit(np.arange(20.0)[:, None], np.full(20, value))
    assert f"y = {text}\n" in export_text(moe)


UNITS = np.array([1e-3, 1.0, 1e3])


def test_features_are_ranked_by_deviations_or_ranges():
    """Features have other units, of which the last has the largest effects."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 3))
    slopes = [0.5, 1.0, 3.0]
    y = np.where(Z @ [0.2, 1.0, 4.0] > 0.3, Z @ slopes, -Z @ slopes) + 0.3 * rng.normal(size=200)
    moe, table = fit_quietly(regressor(**SHORT), Z * UNITS, y), Z * UNITS
    for rows in (table, None):
        text = export_text(moe, X=rows, max_features=1)
        named = [set(re.findall(r"x\d", line)) for line in text.splitlines()]
        assert [names for names in named if names] == [{"x2"}] * 3  # two equations and a gate
        assert text.count("standard deviation:") == (0 if rows is None else 1)
        assert text.count("against expert 0 per unit:") == (1 if rows is None else 0)
        assert text.count(", and 2 more") == 3
        assert "more" not in export_text(moe, X=rows, max_features=None, digits=9)
    effects = export_mermaid(moe, X=table).split("largest effects:")[1]
    assert re.findall(r"x\d", effects.split('"')[0]) == ["x2", "x1", "x0"]
    assert "largest effects" not in export_mermaid(moe)
    assert "largest effects" not in export_mermaid(fitted_case("constant gate"), X=X)


# --- the gate, the kinds of experts -----------------------------------------------------------


def test_effects_on_the_gate_are_log_odds_per_unit_or_standard_deviation():
    """Against the first expert, which is the reference."""
    moe = fitted_case("two experts")
    difference = moe.gate_coef_[1] - moe.gate_coef_[0]
    for given, unit, scale in (({}, "unit", 1.0), ({"X": X}, "standard deviation", X.std(axis=0))):
        first, second = lines_from(export_text(moe, digits=9, **given), "gate: ")
        assert first == "gate: reference of the log odds"
        assert second.startswith(f"gate: log odds against expert 0 per {unit}: ")
        found = dict(re.findall(r"(x\d) ([+-][\d.]+)", second.replace("\N{MINUS SIGN}", "-")))
        for j, effect in enumerate(difference * scale):
            assert_allclose(float(found[f"x{j}"]), effect, atol=1e-5)


def test_effects_of_derived_columns_are_per_standard_deviation_of_the_fit():
    moe = fit_quietly(regressor(n_experts=2, base=LinearRegression()), X, Y)
    (_, line) = lines_from(export_text(moe, X=X, max_features=4), "gate: ")
    assert line.startswith("gate: log odds against expert 0 per standard deviation: ")
    found = dict(re.findall(r"(\w+) ([+-][\d.]+)", line.partition("deviation: ")[2]))
    effects = dict(moe.summary().experts[1].gate_effects)
    assert set(effects) == {"x0", "x1", "base"}
    for name, value in found.items():
        assert_allclose(float(value), effects[name], atol=0.006)
    scale = dict(zip(moe.gate_feature_names_, moe.gate_coef_[1] - moe.gate_coef_[0], strict=True))
    assert_allclose(effects["x0"], scale["x0"] * X[:, 0].std(), rtol=1e-6)


def test_texts_name_experts_gates_and_shares():
    for case in ("one expert", "two experts", "constant gate"):
        moe = fitted_case(case)
        text, n = export_text(moe), moe.n_experts_
        gate = {"one expert": "no gate", "constant gate": "constant gate"}.get(case, "softmax gate")
        assert text.startswith(f"MixtureOfExpertsRegressor: {n} expert{'s' * (n > 1)}, {gate}")
        n_logits = text.count("gate: log odds against expert 0 per unit")
        assert n_logits == (n - 1 if case == "two experts" else 0)
        assert text.count("gate: the same for all rows") == (n if case == "constant gate" else 0)
        assert text.count("noise: standard deviation") == n
        for k in range(n):
            assert f"expert {k} (linear), " in text
    gate = SoftmaxGate(alpha=1.0)
    moe = fit_quietly(regressor(n_experts=2, gate=gate, n_init=1, max_iter=3), X, Y)
    assert "SoftmaxGate gate" in export_text(moe)


# Parameters, and the kinds of the experts in texts.
KINDS_OF_EXPERTS = [
    ({"expert": Ridge()}, ["Ridge", "Ridge"]),
    ({"expert": ["tree", make_pipeline(StandardScaler(), Ridge())]}, ["Tree", "Ridge"]),
    ({"family": ["normal", "student_t"]}, ["normal", "student_t"]),
    ({"family": "poisson"}, ["poisson", "poisson"]),
    ({}, ["linear", "linear"]),
]


@pytest.mark.parametrize(("options", "kinds"), KINDS_OF_EXPERTS)
def test_the_kind_of_an_expert_is_what_was_fitted_or_chosen(options, kinds):
    y = target_of("poisson") if options.get("family") == "poisson" else Y
    moe = fit_quietly(regressor(n_experts=2, n_init=1, max_iter=3, **options), X, y)
    shown = re.findall(r"^expert \d \((\w+)\)", export_text(moe), re.MULTILINE)
    assert [found.removeprefix("Decision").removesuffix("Regressor") for found in shown] == kinds


@pytest.mark.parametrize(
    ("n_rows_of_first", "shown"),
    [(2, ["< 1 %", "> 99 %"]), (5, ["1 %", "99 %"]), (200, ["50 %", "50 %"])],
)
def test_shares_are_never_zero_or_all_unless_they_are(n_rows_of_first, shown):
    rng = np.random.default_rng(0)
    first = np.arange(400) < n_rows_of_first
    y = np.where(first, 1e4, 0.0) + rng.normal(size=400)
    init = np.column_stack([first, ~first]).astype(float)
    moe = regressor(n_experts=2, gate="constant", init=init, n_init=1, max_iter=3)
    text = export_text(fit_quietly(moe, np.zeros((400, 1)), y))
    assert re.findall(r"\(linear\), (.*?) of the rows", text) in (shown, shown[::-1])
    assert "100 %" in export_text(fitted_case("one expert"))


def test_dispersions_are_listed_where_an_expert_has_them():
    moe = fitted_case("a list of families")
    for family, block in zip(moe.families_, export_text(moe).split("\n\n")[1:], strict=True):
        assert ("degrees of freedom" in block) == (family.name == "student_t")
    of_case = {
        "two experts": ("noise", lambda moe: np.sqrt(moe.noise_variance_)),
        "student_t-regressor": ("degrees of freedom", lambda moe: moe.df_),
        "negative_binomial-regressor": ("dispersion", lambda moe: moe.dispersion_),
    }
    for case, (name, values) in of_case.items():
        text, diagram = export_text(fitted_case(case)), export_mermaid(fitted_case(case))
        deviation = "standard deviation " * (name == "noise")
        for value in values(fitted_case(case)).ravel():
            assert f"{name}: {deviation}{three_digits(value)}" in text
            assert f"{name} {three_digits(value)}" in diagram


@pytest.mark.parametrize("family", ["poisson", "zero", "exponential"])
def test_experts_without_a_dispersion_have_no_equation_of_it(family):
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0])) + 0.5 * (family == "exponential")
    other = "weibull" if family == "exponential" else "negative_binomial"
    moe = regressor(n_experts=2, family=[family, other], dispersion_features=[0], max_iter=5)
    first, second = export_text(fit_quietly(moe, X, y)).split("\n\n")[1:]
    assert first.count(" = ") == 1
    assert "dispersion" not in first
    assert "log(dispersion) = " in second


def test_texts_of_estimators_have_their_kind_and_gate():
    table, y = two_regimes(100)
    frame = pd.DataFrame(table, columns=NAMES)
    frame["kind"] = pd.Categorical(np.where(table[:, 1] > -0.5, "often", "rare"))
    frame.loc[3, "width"] = np.nan
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 3}, expert="tree"), frame, y)
    text = export_text(moe, X=frame, max_features=None)
    assert "expert 0 (DecisionTreeRegressor)" in text
    assert "average of 5 models, one for each fold" in text
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
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 2}, expert=["tree", nested]), table, y)
    first, second = export_text(moe, NAMES).split("\n\n")[1:]
    importance = np.mean([tree.feature_importances_ for tree in moe.experts_[0]], axis=0)
    best = int(np.argmax(importance))
    assert f"feature importances: {NAMES[best]} {three_digits(importance[best])}" in first
    assert "itself a mixture of 2 experts" in second
    assert "noise" in first
    assert "noise" not in second  # its density is its own
    assert export_mermaid(moe).count("noise") == 1


def test_names_are_whole_and_printable():
    names = ["education_3._Some_College\x1b[1m", "year\n of  birth"]
    frame = pd.DataFrame(X + np.array([0.0, 2000.0]), columns=names)
    moe = fit_quietly(regressor(n_experts=2), frame, 1e5 * Y)
    for text in (export_text(moe), str(moe.summary(frame, 1e5 * Y))):
        assert text.count("education_3._Some_College\\x1b[1m") >= 2
        assert text.count("year of birth") >= 2
        assert "\x1b" not in text
        assert "…" not in text
    assert "a +" in export_text(fitted_case("two experts"), ["a", "b"]).replace("a -", "a +")


# --- diagrams ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", ["one expert", "two experts", "poisson-regressor", "linear-classifier"]
)
def test_nodes_and_edges_are_those_of_the_mixture(case):
    moe = fitted_case(case)
    lines, n_experts = export_mermaid(moe).split("\n"), moe.n_experts_
    gate = "softmax gate" if n_experts > 1 else "no gate"
    assert lines[:2] == ["flowchart LR", f'    input["2 features"] --> gate{{"{gate}"}}']
    for k in range(n_experts):
        share = "> 99" if 0.99 < moe.weights_[k] < 1.0 else f"{100 * moe.weights_[k]:.0f}"
        kind = "poisson" if "poisson" in case else "linear"
        edge = f'    gate -->|"{share} %"| expert{k}["expert {k}<br/>{kind}'
        assert lines[2 + k].startswith(edge)
        assert ("noise" in lines[2 + k]) == hasattr(moe, "noise_variance_")
    goal = "probabilities of the classes" if case == "linear-classifier" else "mean of y"
    assert lines[2 + n_experts] == f'    expert0 --> output(["{goal}"])'
    rest = [f"    expert{k} --> output" for k in range(1, n_experts)]
    assert lines[3 + n_experts :] == rest


def test_labels_hold_no_character_that_ends_them():
    names = ['say "no"', "<b>[x]{y}|"]
    frame = pd.DataFrame(X, columns=names)
    moe = fit_quietly(regressor(n_experts=2, n_init=1, max_iter=3), frame, Y)
    moe.set_expert_names(['a  b\nc "d"', "calm-ish (1.5 %), c/d: e+f=g_h"])
    diagram = export_mermaid(moe, X=frame)
    for shown in ("say #34;no#34;", "#60;b#62;#91;x#93;#123;y#125;#124;", "a b c #34;d#34;<br/>"):
        assert shown in diagram
    assert '"calm-ish (1.5 %), c/d: e+f=g_h<br/>' in diagram
    for line in diagram.split("\n"):
        assert len(re.findall('"', line)) % 2 == 0


def test_diagrams_of_pipelines_say_whose_features_they_are():
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), regressor(max_iter=3))
    fit_quietly(pipeline, X, Y)
    assert '"5 features<br/>' in export_mermaid(pipeline)


# --- shares of units, arguments ---------------------------------------------------------------


def experts_in_notebook(moe):
    page = moe._repr_html_()
    return page[page.index('class="skmoe-experts"') :]


def test_shares_of_a_fit_with_units_are_those_of_units():
    table, y, units, _ = panel(30, 4, 2)
    moe = fit_quietly(regressor(**SHORT, gate="constant"), table, y, units=units)
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
    assert export_text(moe).count("gate: the same for all units") == 2
    other = fitted_case("constant gate")
    described = [expert.gate_description for expert in other.summary(X, Y).experts]
    assert described[0] == "the same probability for every row"
    for counted, texts in {
        "units": (str(summary), without_data, export_text(moe), experts_in_notebook(moe)),
        "rows": (str(other.summary(X, Y)), export_text(other), experts_in_notebook(other)),
    }.items():
        for text in texts:
            assert ("of the rows" in text, "of the units" in text) == (
                counted == "rows",
                counted == "units",
            )
    one = fit_quietly(regressor(**SHORT | {"n_experts": 1}), table, y, units=units)
    assert one.summary().experts[0].gate_description == "used for every unit"
    assert "expert 0 (linear): 100.0 % of the units" in str(one.summary())


REFUSED = [
    ({"feature_names": "abc"}, "feature_names", "list of names"),
    ({"feature_names": X[:5]}, "feature_names", "X=X"),
    ({"feature_names": ["a"]}, "feature_names", "2"),
    ({"max_features": 0}, "max_features", "integer"),
    ({"digits": 0}, "digits", "integer"),
    ({"X": X[:, :1]}, "", "2 features"),
]


@pytest.mark.parametrize(("given", "name", "words"), REFUSED)
def test_arguments_are_refused_by_name(given, name, words):
    moe = fitted_case("two experts")
    assert_refused(refusal(export_text, moe, **given), name, words)
    if "X" in given:
        assert_refused(refusal(export_mermaid, moe, **given), name, words)


def test_outcomes_of_several_families_have_equations():
    y = pd.DataFrame({"cost": np.exp(Y), "score": Y})
    family = {"cost": "gamma", "score": "student_t"}
    text = export_text(MixtureOfExpertsRegressor(1, family=family).fit(X, y))
    assert "cost" in text
    assert "score" in text


def test_effects_on_a_gate_of_some_features_leave_out_the_others():
    """Indicators of missing values are columns of the fit, and only some are of the gate."""
    holes = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.1, np.nan, X)
    moe = MixtureOfExpertsRegressor(2, expert="tree", gate_features=[1], max_iter=3, random_state=0)
    text = export_text(fit_quietly(moe, holes, Y))
    last = [line for line in text.splitlines() if "log odds against" in line][-1]
    assert "x1" in last
    assert "x0" not in last
