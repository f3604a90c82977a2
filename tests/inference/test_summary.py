"""Summaries show what the other methods of a mixture return, for fits of every kind."""

import html
import re
import sys
import warnings
from copy import copy
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import xlogy
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.labels import format_number
from skmoe.inspection import export_mermaid, export_text
from support.fits import ALL_CASES, DISTINCT_CASES, UNITS, X, fit_quietly, regressor, short_fit
from support.refusals import assert_refused, refusal
from support.tables import two_regimes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}

# Those whose standard errors, at the maximum of the likelihood, do not take long.
QUICK_CASES = [
    case
    for case in DISTINCT_CASES
    if not case.startswith(("negative", "ordinal", "student", "gamma", "lognormal"))
]


def silently(function, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*data, **options)


@cache
def summarised(case):
    """A fit, its target, what else it was given, and its summary."""
    moe, (_, y, given) = short_fit(case), ALL_CASES[case]
    return moe, y, given, silently(moe.summary, X, y, **given)


def has_inference(moe):
    """Whether there is a likelihood of coefficients: of one start, in which all experts see all."""
    parametric = not hasattr(moe, "experts_")
    return parametric and moe.top_k is None and moe.combine != "average" and moe.base is None


# --- facts, experts and notes -----------------------------------------------------------------


@pytest.mark.parametrize("case", QUICK_CASES)
def test_facts_are_what_the_methods_return(case):
    moe, y, given, summary = summarised(case)
    facts = summary.facts
    n_starts, averaged = len(moe.start_lower_bounds_), getattr(moe, "combine", "") == "average"
    mean = f", mean over {n_starts} starts" if averaged else ""
    assert facts["experts"] == f"{moe.n_experts_}{mean}"
    assert facts["features"] == "2"
    state = "converged" if moe.converged_ else "not converged"
    assert facts["iterations"] == f"{moe.n_iter_} ({state})"
    maxima = moe.maxima_
    n_reached = f"{maxima.n_times[0]} of {maxima.n_runs} starts" if maxima.n_times else None
    assert facts.get("best value reached by") == (n_reached if n_starts > 1 else None)
    assert (str(maxima) in summary.notes) == (n_starts > 1 and n_reached is not None)
    by_row = {name: given[name] for name in ("units", "known_experts") if name in given}
    weight = given.get("sample_weight", np.ones(len(X)))
    of_units = np.ones(len(np.unique(UNITS))) if "units" in given else weight
    assert facts.get("units") == (f"{len(of_units)}" if "units" in given else None)
    numbers = {
        "rows": weight.sum(),
        "lower bound per row": moe.lower_bound_,
        "log-likelihood": of_units @ moe.score_samples(X, y, **by_row),
    }
    for name in ("alpha", "gate_alpha"):
        penalties = np.atleast_1d(getattr(moe, f"{name}_", np.nan))
        if not np.isnan(penalties).all():  # their range, without dropped features
            kept = penalties[np.isfinite(penalties)]
            ends = dict.fromkeys([f"{kept.min():.3g}", f"{kept.max():.3g}"]) if len(kept) else ()
            assert facts.get(name) == (" to ".join(ends) or "all features dropped")
    counted = not hasattr(moe, "experts_") and np.isfinite(moe.n_parameters_)
    if counted:
        numbers["parameters"] = moe.n_parameters_
        numbers |= {
            name: getattr(moe, name.lower())(X, y, **given) for name in ("AIC", "BIC", "ICL")
        }
    assert {"parameters", "AIC", "BIC", "ICL"}.isdisjoint(facts) != counted
    resp = moe.responsibilities(X, y, **by_row)
    resp = resp.proba if "units" in given else resp
    numbers["entropy"] = -of_units @ xlogy(resp, resp).sum(axis=1)
    for name, value in numbers.items():
        assert float(facts[name]) == pytest.approx(value, rel=1e-3, abs=1e-5), name
    for k, expert in enumerate(summary.experts):
        assert_allclose([expert.share, expert.load], [moe.weights_[k], moe.load_[k]])
        if "units" not in given:
            assert_allclose(expert.rows, weight @ resp[:, k])
        own = of_units * (resp.argmax(axis=1) == k)
        expected = resp[:, k] @ own / own.sum() if own.any() else np.nan
        assert_allclose(expert.mean_probability, expected)
        noise = getattr(moe, "noise_variance_", np.full(moe.n_experts_, np.nan))[k]
        known = not np.isnan(noise).all()
        assert (expert.noise is not None) == known
        if known:
            assert_allclose(expert.noise, np.sqrt(np.atleast_1d(noise)))


@pytest.mark.parametrize("case", QUICK_CASES)
def test_notes_are_about_this_fit(case):
    """Data that are needed, errors that are missing, and features that are dropped."""
    moe, _, _, summary = summarised(case)
    notes, before = " ".join(summary.notes), " ".join(moe.summary().notes)
    has_coefficients, known = hasattr(moe, "expert_coef_"), has_inference(moe)
    assert (summary.inference is not None) == known
    assert ("Give the data of the fit" in before) == has_coefficients
    assert "Give the data of the fit" not in notes
    assert ("No standard errors" in notes) == (has_coefficients and not known)
    dropped = any(np.isposinf(getattr(moe, name, 0.0)).any() for name in ("alpha_", "gate_alpha_"))
    assert ("Dropped by" in notes) == dropped
    assert "Other rows" not in notes
    assert ("Gate effects" in notes) == (moe.gate == "softmax" and moe.n_experts_ > 1)


@pytest.mark.parametrize("searched", [False, True])
def test_starts_are_compared_if_they_have_the_same_penalties(searched):
    penalties = {"alpha": "auto", "gate_alpha": "auto"} if searched else {}
    options = {"combine": "average", "max_iter": 300, "n_experts": 2}
    y = ALL_CASES["two experts"][1]
    moe = fit_quietly(regressor(**options | penalties), X, y)
    assert moe.start_converged_.all()
    assert ("best value reached by" in moe.summary().facts) is not searched


@pytest.mark.parametrize("case", ["linear-regressor", "weights", "routing", "trees", "average"])
def test_other_rows_than_those_of_the_fit_are_noticed(case):
    """By their weight, and by the lower bound where that is of the rows themselves."""
    moe, y, given, _ = summarised(case)
    weight = given.get("sample_weight", np.ones(len(X)))
    heavier = silently(moe.summary, X, y, sample_weight=2.0 * weight)
    expected = f"their weight is {2 * weight.sum():g}, in the fit {weight.sum():g}"
    assert expected in " ".join(heavier.notes)
    nearly = silently(moe.summary, X, y, sample_weight=(1.0 + 1e-7) * weight)
    assert "their weight" not in " ".join(nearly.notes)  # sums of weights have round-off
    mirrored = " ".join(silently(moe.summary, -X, y, **given).notes)
    assert ("they have another lower bound" in mirrored) == (case not in ("trees", "average"))


def test_the_gate_is_described_by_its_largest_effects():
    rows, y = two_regimes(n_rows=80)
    frame = pd.DataFrame(rows, columns=["price", "age", "size"])
    moe = MixtureOfExpertsRegressor(2, **FIXED).fit(frame, y)
    up = int(np.argmax(moe.gate_coef_[:, 0]))
    experts = moe.summary().experts
    effects = 2 * moe.gate_coef_ * rows.std(axis=0)
    for k, word in ((up, "high"), (1 - up, "low")):
        names, values = zip(*experts[k].gate_effects, strict=True)
        assert names == ("price", "age", "size")
        assert_allclose(values, effects[k])
        number = format_number(effects[k, 0], sign="+")
        expected = f"more likely for {word} price (log odds {number} per SD)"
        assert experts[k].gate_description == expected
    alone = MixtureOfExpertsRegressor(1).fit(frame, y).summary().experts[0]
    assert alone.gate_description == "used for every row"
    constant = MixtureOfExpertsRegressor(2, gate="constant", **FIXED).fit(frame, y).summary()
    assert "same probability for every row" in constant.experts[0].gate_description
    assert not constant.experts[0].gate_effects
    tiny = MixtureOfExpertsRegressor(2, **FIXED).set_params(gate_alpha=1e7).fit(frame, y).summary()
    assert tiny.experts[0].gate_description == "nearly the same probability for every row"


@pytest.mark.parametrize("case", QUICK_CASES)
def test_gate_effects_have_the_sign_of_their_effects_on_mean_probabilities(case):
    """A statement that an expert is more likely for a high feature is true on average."""
    moe = short_fit(case)
    effects = [[value for _, value in expert.gate_effects] for expert in moe.summary().experts]
    if list(moe.gate_feature_names_) != ["x0", "x1"] or not any(effects):
        return
    rows = np.array([X[unit == UNITS][0] for unit in np.unique(UNITS)]) if "unit" in case else X
    step = 1e-5 * np.eye(2)
    change = [(moe.predict_gate(rows + s) - moe.predict_gate(rows - s)).mean(axis=0) for s in step]
    changed = np.abs(change) > 1e-9  # not where each row is routed to a single expert
    assert_array_equal(np.sign(effects).T[changed], np.sign(change)[changed])


def test_gate_effects_of_averaged_starts_are_those_within_a_start():
    moe = short_fit("average")  # of three experts in each start
    for start in (slice(0, 3), slice(3, 6)):
        g, coef = 2.0 * moe.predict_gate(X)[:, start], moe.gate_coef_[start] * X.std(axis=0)
        overlap = g.T @ g - np.diag(np.square(g).sum(axis=0))
        effects = coef - overlap @ coef / overlap.sum(axis=1, keepdims=True)
        for k, expert in enumerate(moe.summary().experts[start]):
            assert_allclose([value for _, value in expert.gate_effects], effects[k])
    for k, expert in enumerate(moe.summary().experts):
        assert expert.kind == f"linear, start {k // 3}"
    y = ALL_CASES["average"][1]
    alone = fit_quietly(regressor(n_experts=1, combine="average"), X, y)
    assert "per SD" not in str(alone.summary())


def test_estimators_are_described_by_their_importances():
    moe = fit_quietly(regressor(expert=RandomForestRegressor(2), max_iter=1), X, X[:, 0])
    summary = moe.summary()
    text = str(summary)
    assert "RandomForestRegressor, average of 5" in text
    for k, expert in enumerate(summary.experts):
        means = np.mean([model.feature_importances_ for model in moe.experts_[k]], axis=0)
        order = np.argsort(-means)
        expected = [(f"importance of x{j}", pytest.approx(means[j])) for j in order]
        assert expert.importances == expected
        for name, value in expert.importances:
            assert re.search(rf"^  {name} +{format_number(value)}$", text, re.MULTILINE)
    assert_refused(refusal(summary.to_frame), "what", "experts", "coefficients")


@pytest.mark.parametrize(
    ("expert", "words"),
    [
        (DecisionTreeClassifier(max_depth=2), "DecisionTreeClassifier, 1.8 leaves, average of 5"),
        (LogisticRegression(), "LogisticRegression, average of 5"),
    ],
)
def test_constants_among_the_models_of_an_expert_count_as_one_leaf(expert, words):
    """One of five folds lacks the row of the second class."""
    moe = MixtureOfExpertsClassifier(1, expert=expert, random_state=0)
    moe.fit(np.arange(20.0)[:, None], np.arange(20) == 19)
    assert f"({words})" in str(moe.summary())


# --- tables of coefficients -------------------------------------------------------------------

COLUMNS = ["estimate", "std. error", "z", "p", "2.5 %", "97.5 %"]


def printed_tables(text):
    """Printed cells of each term by column, from the part and response above them."""
    part, response, ends, found = None, "", {}, {}
    for line in text.splitlines():
        if re.match(r"\S.* \(.*\): .* % of the", line):
            part, response, ends = line.split(" (")[0], "", {}
        elif line.startswith(("Gate: ", "Common to ")):
            part, response = line.removeprefix("Common to "), ""
            part = "gate" if line.startswith("Gate") else part
        elif line.split()[:1] == ["estimate"]:
            matches = [*re.finditer(r"std\. error|[\d.]+ %|\S+", line)]
            ends = {match.group(): match.end() for match in matches}
            width = matches[1].end() - matches[0].end() if len(matches) > 1 else 11
        elif line.startswith("  ") and part is not None and ends:
            begin = ends["estimate"] - width
            cells = {name: line[end - width : end].strip() for name, end in ends.items()}
            if any(cells.values()):
                found[part, response, line[:begin].strip()] = cells
            else:
                response = line.strip()
    return found


def assert_printed(text, number):
    """A printed number is the number, but for its rounding."""
    if np.isnan(number):
        assert text == ""
    elif text.startswith("<"):
        assert number < float(text[1:])
    else:
        digits = len(text.partition("e")[0].partition(".")[2])
        exponent = int(text.partition("e")[2] or 0)
        rounding = 0.51 * 10.0 ** (exponent - digits)
        assert abs(float(text) - number) <= rounding + 6e-4 * abs(number)


@pytest.mark.parametrize("case", QUICK_CASES)
def test_printed_tables_are_the_estimates_and_their_errors(case):
    """The table of a single logit has the log odds, which are twice the logit."""
    _, _, _, summary = summarised(case)
    text, result = str(summary), summary.inference
    assert "nan" not in text
    rule = text.splitlines()[0]
    assert rule == "=" * len(rule)
    if result is None:
        return
    tables = printed_tables(text)
    exact = [result.estimates, result.standard_errors, result.z_values, result.p_values]
    exact = np.column_stack([*exact, result.conf_int(0.95)])
    for (part, response, name), cells in tables.items():
        single = part == "gate" and summary.gate.startswith("log odds of")
        (i,) = [
            i
            for i, term in enumerate(result.terms)
            if (term.part, term.name) == (part, name)
            and (response in ("", term.response))
            and (not single or term.response == f"expert {summary.gate.split()[4]}")
        ]
        factor = 2.0 if single else 1.0
        for column, number in zip(COLUMNS, exact[i], strict=True):
            assert_printed(cells[column], number if column in ("z", "p") else factor * number)
        if cells.get("ratio"):
            assert_printed(cells["ratio"], np.exp(exact[i, 0]))
    assert {part for part, _, _ in tables} == {term.part for term in result.terms}
    # The rule is as long as the longest table.
    widths = [len(line) for line in text.splitlines() if line.split()[:1] == ["estimate"]]
    assert len(rule) == max(widths)


def test_tables_name_each_response_once():
    moe, _, _, summary = summarised("outputs")
    lines = str(summary).splitlines()
    for response in ("  y0", "  y1"):
        assert lines.count(response) == moe.n_experts_


def test_summaries_without_the_data_have_estimates_only():
    moe, *_ = summarised("two experts")
    summary = moe.summary()
    assert summary.inference is None
    assert "std. error" not in str(summary)
    assert "AIC" not in summary.facts
    frame = summary.to_frame()
    assert list(frame.columns) == ["estimate"]
    assert_allclose(frame.loc[("expert 0", "", "x1"), "estimate"], moe.expert_coef_[0, 1])
    assert repr(summary) == str(summary)
    assert_refused(refusal(moe.summary, X), "summary", "X and y", "neither")
    assert_refused(refusal(moe.summary, method="sandwich"), "summary", "needs X and y")


def test_frames_are_those_of_inference():
    moe, y, _, _ = summarised("two experts")
    summary = moe.summary(X, y, level=0.5, method="sandwich")
    expected = moe.inference(X, y, method="sandwich").to_frame(0.5)
    pd.testing.assert_frame_equal(summary.to_frame(), expected)
    experts = summary.to_frame("experts")
    assert_allclose(experts["share"], moe.weights_)
    assert experts.index.tolist() == list(moe.expert_names_)
    text = str(summary)
    assert "sandwich covariance" in text
    assert "25 %" in text
    assert_refused(refusal(summary.to_frame, "gate"), "what", "experts", "gate")


@pytest.mark.parametrize("level", [0.0, 1, 95, -0.5, True, "0.9", None, [0.9]])
def test_the_level_is_checked(level):
    message = refusal(summarised("two experts")[0].summary, level=level)
    assert_refused(message, "level must be in (0, 1);", level, "0.95")


def test_the_reference_of_the_gate_is_not_listed():
    moe, y, _, _ = summarised("two experts")
    text = str(moe.summary(X, y, gate_reference=0))
    _, gate = text.split("Gate: log odds against expert 0\n")
    assert "expert 1" in gate
    assert "expert 0" not in gate
    assert "Gate: log odds of expert 1 against expert 0\n" in str(moe.summary())
    assert "Gate: logits, which sum to zero" in str(short_fit("linear-regressor").summary())
    assert "Gate: log probabilities" in str(short_fit("constant gate").summary())


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("linear-classifier", "log odds of class 1 against class 0"),
        ("poisson-regressor", "expected y = exp(linear predictor)"),
        ("base", "y = base + linear predictor"),
        ("a list of families", "expert 0: y = linear predictor"),
    ],
)
def test_the_equation_of_the_experts_is_written(case, words):
    assert words in str(short_fit(case).summary())


# --- ratios -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["poisson-regressor", "lognormal-regressor", "ordinal-regressor"])
def test_ratios_are_exponentials_of_slopes(case):
    moe, y = short_fit(case), ALL_CASES[case][1]
    found = moe.inference(X, y)
    frame = found.to_frame(0.8)
    slopes = np.array([term.part != "gate" and term.name in ("x0", "x1") for term in found.terms])
    ratios = frame[["ratio", "ratio lower", "ratio upper"]].to_numpy()
    assert np.isnan(ratios[~slopes]).all()
    expected = np.exp(np.column_stack([found.estimates, found.conf_int(0.8)]))
    assert_allclose(ratios[slopes], expected[slopes])
    estimates = moe.summary().to_frame()
    assert_allclose(estimates["ratio"], np.where(slopes, np.exp(estimates["estimate"]), np.nan))


def test_ratios_of_a_bootstrap_are_those_of_its_intervals():
    moe, y = short_fit("poisson-regressor"), ALL_CASES["poisson-regressor"][1]
    found = moe.inference(X, y, method="bootstrap", n_bootstrap=3, random_state=0)
    ratios = found.to_frame(0.8)[["ratio lower", "ratio upper"]].to_numpy()
    assert_allclose(ratios[found.has_ratio], np.exp(found.conf_int(0.8)[found.has_ratio]))
    assert found.has_ratio.sum() == 3 * 2


@pytest.mark.parametrize(
    ("family", "shared", "own"),
    [
        (["poisson", "negative_binomial"], True, True),
        (["poisson", "zero"], True, True),
        (["gamma", "normal"], False, True),
    ],
)
def test_a_shared_slope_is_a_ratio_if_all_experts_have_ratios(family, shared, own):
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0])) + 0.5 * ("gamma" in family)
    moe = fit_quietly(regressor(n_experts=2, family=family, shared_features=[1], max_iter=5), X, y)
    frame = moe.summary().to_frame()
    sharing = "expert 0" if "zero" in family else "all experts"
    assert bool(frame["ratio"].notna()[(sharing, "", "x1")]) is shared
    assert bool(frame["ratio"].notna()[("expert 0", "", "x0")]) is own
    heads = [line for line in str(moe.summary()).splitlines() if line.split()[:1] == ["estimate"]]
    assert heads[0].endswith("ratio")
    assert "ratio" not in heads[-1]  # of the gate
    assert "Ratio: one unit more of a feature multiplies the mean by it." in str(moe.summary())


def test_a_slope_shared_with_an_expert_without_slopes_is_that_of_its_own():
    y = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0] + 1.0))
    y[::3] = 0
    options = {"n_experts": 2, "family": ["poisson", "zero"], "tol": 1e-9, "max_iter": 500}
    shared = regressor(**options, shared_features=[1]).fit(X, y).inference(X, y).to_frame()
    plain = regressor(**options).fit(X, y).inference(X, y).to_frame()
    for term in ("(Intercept)", "x0", "x1"):
        error = shared.loc[("expert 0", "", term), "standard error"]
        assert_allclose(error, plain.loc[("expert 0", "", term), "standard error"], rtol=1e-3)


# --- notebooks, terminals and refusals --------------------------------------------------------


def cells_of(row, tag):
    cells = re.findall(rf"<{tag}.*?</{tag}>", row, flags=re.DOTALL)
    return [html.unescape(re.sub("<.*?>", "", cell)) for cell in cells]


@pytest.mark.parametrize(
    "case", ["linear-regressor", "outputs", "units", "trees", "poisson-regressor", "average"]
)
def test_notebooks_show_each_expert(case):
    """Its name, share, rows and dispersions, if it has any."""
    moe = short_fit(case)
    table = moe._repr_html_().split("<table")[-1]
    head, *rows = re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
    names = cells_of(head, "th")
    counted = "units" if hasattr(moe, "n_units_") else "rows"
    assert names[:4] == ["expert", "kind", f"share of the {counted}", "rows routed to it"]
    noise = getattr(moe, "noise_variance_", None)
    assert ("noise (std. deviation)" in names) == (noise is not None)
    assert len(rows) == moe.n_experts_
    for k, row in enumerate(rows):
        shown = dict(zip(names, cells_of(row, "td"), strict=True))
        assert shown["expert"] == moe.expert_names_[k]
        if case == "trees":
            assert shown["kind"] == type(moe.experts_[k][0]).__name__
        assert float(shown[names[2]].rstrip(" %")) == pytest.approx(100 * moe.weights_[k], abs=0.51)
        (width,) = re.findall(r"width:([\d.e-]+)%", row)
        assert float(width) == pytest.approx(100 * moe.weights_[k], abs=0.1)
        assert float(shown["rows routed to it"]) == pytest.approx(moe.load_[k], rel=1e-5)
        if noise is not None:
            values = [float(value) for value in shown["noise (std. deviation)"].split(",")]
            assert_allclose(values, np.sqrt(np.atleast_1d(noise[k])), rtol=0.006)
    assert "rows routed to it" not in ALL_CASES[case][0]._repr_html_()  # before the fit


HOSTILE = ["red\x1b[31m", "back\x08wards\u202e", "two\n\tlines"]


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_names_cannot_control_a_terminal(kind):
    """Escape sequences of names are shown, and not obeyed."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 3)), columns=HOSTILE)
    y = np.abs(frame.to_numpy()).sum(axis=1)
    moe = MixtureOfExpertsRegressor(2, **FIXED, max_iter=3)
    if kind == "classifier":
        moe = MixtureOfExpertsClassifier(2, **FIXED, max_iter=3)
        y = np.array(["low", "ring\x07"])[(y > 2.5) * 1]
    fit_quietly(moe, frame, y)
    summary = silently(moe.summary, frame, y)
    texts = [str(moe.summary()), str(summary)]
    texts += [export_text(moe), export_text(moe, X=frame), export_mermaid(moe, X=frame)]
    for text in texts:
        for line in text.split("\n"):
            assert line.isprintable(), repr(line)
    assert all(name in texts[1] for name in ("red\\x1b[31m", "back\\x08wards\\u202e", "two lines"))
    assert kind == "regressor" or "class ring\\x07" in texts[2]
    assert HOSTILE[0] in {term.name for term in summary.inference.terms}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("summary", ()),
        ("inference", ([[0.0]], [0.0])),
        ("explain", ([[0.0]],)),
        ("aic", ([[0.0]], [0.0])),
    ],
)
def test_methods_need_a_fit(method, arguments):
    with pytest.raises(NotFittedError):
        getattr(MixtureOfExpertsRegressor(), method)(*arguments)


def test_pandas_is_optional(monkeypatch):
    _, _, _, summary = summarised("two experts")
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "expert 0" in str(summary)
    message = refusal(summary.to_frame)
    assert_refused(message, "Summary.to_frame", "pandas", 'pip install "skmoe[frames]"')


def test_indicators_in_the_gate_have_log_odds_from_zero_to_one():
    rows, y = two_regimes(n_rows=80)
    frame = pd.DataFrame({"high": (rows[:, 0] > 0).astype(float), "age": rows[:, 1]})
    moe = MixtureOfExpertsRegressor(2, **FIXED).fit(frame, y)
    up = int(np.argmax(moe.gate_coef_[:, 0]))
    number = format_number(2 * moe.gate_coef_[up, 0], sign="+")
    for k, value in ((up, 1), (1 - up, 0)):
        start = f"more likely for high = {value} (log odds {number})"
        assert moe.summary().experts[k].gate_description.startswith(start)


@pytest.mark.parametrize("case", QUICK_CASES)
def test_texts_have_the_slopes_of_inference(case):
    moe, *_, summary = summarised(case)
    if summary.inference is None or not hasattr(moe, "expert_coef_"):
        return
    result = summary.inference
    blocks = export_text(moe, digits=9).split("\n\n")[1:]
    for k in range(moe.n_experts_):
        equations = re.findall(r"^  (?!gate).* = (.*)$", blocks[k], re.MULTILINE)
        terms = re.findall(r"([+-]) ([\d.e+-]+) x\d", " ".join(equations))
        name = moe.expert_names_[k]
        of_expert = [
            estimate
            for term, estimate in zip(result.terms, result.estimates, strict=True)
            if (term.part == "all experts" or name in term.part.split(", "))
            and term.name.endswith(("x0", "x1"))
            and estimate
        ]
        found = sorted(float(sign + number) for sign, number in terms)
        if equations and "families_" in vars(moe) and not moe.families_[k].link:
            continue
        assert_allclose(found, sorted(of_expert), rtol=1e-7)


@pytest.mark.parametrize(("slope", "text"), [(1.54e-4, "1.000154"), (-0.0243, "0.9760")])
def test_ratios_near_one_have_the_digits_of_their_difference_from_it(slope, text):
    rows = np.random.default_rng(0).normal(size=(400, 1)) / 0.05
    y = np.exp(2.0 + slope * rows[:, 0])
    moe = MixtureOfExpertsRegressor(1, family="lognormal", alpha=1e-9).fit(rows, y)
    assert f" {text}" in str(moe.summary(rows, y))


@pytest.mark.parametrize("case", QUICK_CASES)
def test_estimates_are_penalised_if_a_penalty_counts(case):
    moe = short_fit(case)
    first = moe.summary().notes[0]
    penalties = [getattr(moe, f"{name}_", 0.0) for name in ("alpha", "gate_alpha")]
    if any(np.any(np.greater(penalty, 0.0)) for penalty in penalties):
        assert first.startswith("Penalised estimates (")
    elif not hasattr(moe, "experts_") and getattr(moe, "combine", "best") == "best":
        assert first.startswith("Maximum likelihood") == (not moe.dispersion_prior)


@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_estimates_without_penalties_are_maximum_likelihood(gate):
    none = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
    moe = fit_quietly(regressor(n_experts=2, gate=gate, max_iter=2, **none), X, X[:, 0])
    assert moe.summary().notes[0] == "Maximum likelihood estimates, in the units of the data."


def test_log_probabilities_have_no_test():
    """That a class has probability one is no hypothesis; that two are equal is one."""
    first = np.random.default_rng(0).random(len(X)) < 0.3
    y = np.where(first, 5.0, -5.0) + X[:, 0] + 0.5 * X[:, 1] ** 2
    moe = fit_quietly(regressor(n_experts=2, gate="constant", max_iter=200), X, y)
    for reference, is_tested in ((None, False), (0, True)):
        found = moe.inference(X, y, gate_reference=reference)
        of_gate = [i for i, term in enumerate(found.terms) if term.part == "gate"][1:]
        assert np.isfinite(found.standard_errors[of_gate]).all()
        assert np.isfinite(found.z_values[of_gate]).all() == is_tested
        assert np.isfinite(found.p_values[of_gate]).all() == is_tested


def test_experts_of_an_earlier_release_compete_by_their_shares():
    moe = copy(short_fit("linear-regressor"))
    del moe.gate_overlap_
    others = moe.weights_ * (1.0 - np.eye(3))
    log_odds = moe.gate_coef_ - others @ moe.gate_coef_ / others.sum(axis=1, keepdims=True)
    for expert, expected in zip(moe.summary().experts, log_odds * X.std(axis=0), strict=True):
        assert_allclose([value for _, value in expert.gate_effects], expected)
