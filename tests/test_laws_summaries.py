"""Summaries show what the other methods of a mixture return, for fits of every kind."""

import html
import re
import warnings
from functools import cache

import numpy as np
import pytest
from cases import ALL_CASES, UNITS, X, short_fit
from numpy.testing import assert_allclose
from scipy.special import xlogy

from skmoe._inference.tables import COLUMN_WIDTH

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Those whose standard errors, at the maximum of the likelihood, do not take long.
QUICK_CASES = [case for case in ALL_CASES if not case.startswith(("negative", "ordinal"))]

CRITERIA = {"AIC": "aic", "BIC": "bic", "ICL": "icl"}


def silently(function, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*data, **options)


@cache
def summarised(case):
    """A fit, its target, what else it was given, and its summary."""
    moe = short_fit(case)
    _, y, given = ALL_CASES[case]
    return moe, y, given, silently(moe.summary, X, y, **given)


def has_inference(moe):
    """Whether there is a likelihood of coefficients: of one start, in which all experts see all."""
    parametric = not hasattr(moe, "experts_")
    return parametric and moe.top_k is None and moe.combine != "average" and moe.base is None


@pytest.mark.parametrize("case", QUICK_CASES)
def test_facts_are_those_of_the_methods(case):
    moe, y, given, summary = summarised(case)
    facts, n_experts = summary.facts, moe.n_experts_
    averaged = moe.combine == "average"
    n_starts = len(moe.start_lower_bounds_)
    mean = f", mean over {n_starts} starts" if averaged else ""
    assert facts["experts"] == f"{n_experts}{mean}"
    assert facts["features"] == f"{X.shape[1]}"
    state = "converged" if moe.converged_ else "not converged"
    assert facts["iterations"] == f"{moe.n_iter_} ({state})"
    n_ended = f"{moe.start_converged_.sum()} of {n_starts}" if n_starts > 1 else None
    assert facts.get("starts run to the end") == n_ended
    weight = given.get("sample_weight", np.ones(len(X)))
    assert float(facts["rows"]) == pytest.approx(weight.sum(), rel=1e-5)
    by_unit = {"units": given["units"]} if "units" in given else {}
    of_units = np.ones(len(np.unique(UNITS))) if by_unit else weight
    assert facts.get("units") == (f"{len(of_units)}" if by_unit else None)
    log_likelihood = of_units @ moe.score_samples(X, y, **by_unit)
    assert float(facts["log-likelihood"]) == pytest.approx(log_likelihood, rel=1e-5)
    counted = not hasattr(moe, "experts_") and np.isfinite(moe.n_parameters_)
    assert ("parameters" in facts) == counted
    for name, method in CRITERIA.items():
        assert (name in facts) == counted
        if counted:
            value = getattr(moe, method)(X, y, **given)
            assert float(facts[name]) == pytest.approx(value, rel=1e-5)
    if not by_unit and not averaged:
        resp = moe.responsibilities(X, y)
        entropy = -weight @ xlogy(resp, resp).sum(axis=1)
        assert float(facts["entropy"]) == pytest.approx(entropy, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("case", QUICK_CASES)
def test_experts_are_described_by_the_attributes_of_the_fit(case):
    moe, _, _, summary = summarised(case)
    assert len(summary.experts) == moe.n_experts_
    noise = getattr(moe, "noise_variance_", None)
    for k, expert in enumerate(summary.experts):
        assert_allclose(expert.load, moe.load_[k])
        if moe.combine != "average":
            assert_allclose(expert.share, moe.weights_[k])
        known = noise is not None and not np.isnan(noise[k]).all()
        assert (expert.noise is not None) == known
        if known:
            assert_allclose(expert.noise, np.sqrt(np.atleast_1d(noise[k])))


@pytest.mark.parametrize("case", QUICK_CASES)
def test_notes_are_about_this_fit(case):
    """Data that are needed, errors that are missing, and features that are dropped."""
    moe, _, _, summary = summarised(case)
    notes, before = " ".join(summary.notes), " ".join(moe.summary().notes)
    has_coefficients = hasattr(moe, "expert_coef_")
    known = has_inference(moe)
    assert (summary.inference is not None) == known
    assert ("Give the data of the fit" in before) == has_coefficients
    assert "Give the data of the fit" not in notes
    assert ("No standard errors" in notes) == (has_coefficients and not known)
    dropped = any(np.isposinf(getattr(moe, name, 0.0)).any() for name in ("alpha_", "gate_alpha_"))
    assert ("Dropped by" in notes) == dropped
    assert "Other rows" not in notes
    has_gate = moe.gate == "softmax" and moe.n_experts_ > 1
    assert ("Gate effects" in notes) == has_gate


OTHERS = ["linear-regressor", "linear-classifier", "weights", "routing", "trees", "average", "base"]


@pytest.mark.parametrize("case", OTHERS)
def test_rows_of_another_fit_are_noticed(case):
    """By their weight, and by the lower bound where that is of the rows themselves."""
    moe, y, given, _ = summarised(case)
    weight = given.get("sample_weight", np.ones(len(X)))
    heavier = silently(moe.summary, X, y, sample_weight=2.0 * weight)
    expected = f"their weight is {2 * weight.sum():g}, in the fit {weight.sum():g}"
    assert expected in " ".join(heavier.notes)
    nearly = silently(moe.summary, X, y, sample_weight=(1.0 + 1e-7) * weight)
    assert "their weight" not in " ".join(nearly.notes)  # sums of weights have round-off
    mirrored = " ".join(silently(moe.summary, -X, y, **given).notes)
    compared = case not in ("trees", "average", "base")
    assert ("Other rows than those of the fit: they have another" in mirrored) == compared


def cells_of(row, tag):
    cells = re.findall(rf"<{tag}.*?</{tag}>", row, flags=re.DOTALL)
    return [html.unescape(re.sub("<.*?>", "", cell)) for cell in cells]


@pytest.mark.parametrize("case", ALL_CASES)
def test_notebooks_show_each_expert(case):
    """Its name, share, rows and dispersions, if it has any."""
    moe = short_fit(case)
    table = moe._repr_html_().split("<table")[-1]
    head, *rows = re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
    names = cells_of(head, "th")
    counted = "units" if hasattr(moe, "n_units_") else "rows"
    assert names[:4] == ["expert", "kind", f"share of the {counted}", "rows routed to it"]
    noise = getattr(moe, "noise_variance_", None)
    has_noise = noise is not None and not np.isnan(noise).all()
    assert ("noise (std. deviation)" in names) == has_noise
    assert len(rows) == moe.n_experts_
    for k, row in enumerate(rows):
        shown = dict(zip(names, cells_of(row, "td"), strict=True))
        assert shown["expert"] == moe.expert_names_[k]
        assert float(shown[names[2]].rstrip(" %")) == pytest.approx(100 * moe.weights_[k], abs=0.51)
        widths = re.findall(r"width:([\d.e-]+)%", row)
        assert_allclose([float(width) for width in widths], [100 * moe.weights_[k]], atol=0.1)
        assert float(shown["rows routed to it"]) == pytest.approx(moe.load_[k], rel=1e-5)
        if has_noise and not np.isnan(noise[k]).all():
            values = [float(value) for value in shown["noise (std. deviation)"].split(",")]
            assert_allclose(values, np.sqrt(np.atleast_1d(noise[k])), rtol=0.006)


def test_notebooks_show_no_experts_before_the_fit():
    assert "rows routed to it" not in ALL_CASES["trees"][0]._repr_html_()


# --- printed tables -----------------------------------------------------------------------------

COLUMNS = ["estimate", "std. error", "z", "p", "2.5 %", "97.5 %"]


def printed_tables(text):
    """Printed cells of each term by column, from the part and response above them."""
    part, response, ends, found = None, "", {}, {}
    for line in text.splitlines():
        if re.match(r"\S.* \(.*\): .* % of the", line):
            part, response, ends = line.split(" (")[0], "", {}
        elif line.startswith(("Gate: ", "Common to all experts")):
            part, response = ("gate" if line.startswith("Gate") else "all experts"), ""
        elif line.split()[:1] == ["estimate"]:
            matches = re.finditer(r"std\. error|[\d.]+ %|\S+", line)
            ends = {match.group(): match.end() for match in matches}
        elif line.startswith("  ") and part is not None and ends:
            begin = ends["estimate"] - COLUMN_WIDTH
            cells = {name: line[end - COLUMN_WIDTH : end].strip() for name, end in ends.items()}
            if any(cells.values()):
                found[part, response, line[:begin].strip()] = cells
            else:
                response = line.strip()
    return found


def headings(text):
    return [line for line in text.splitlines() if line.split()[:1] == ["estimate"]]


def close(text, number):
    """Whether a printed number is the number, but for its rounding."""
    if text.startswith("<"):
        return number < float(text[1:])
    digits = len(text.partition("e")[0].partition(".")[2])
    exponent = int(text.partition("e")[2] or 0)
    return abs(float(text) - number) <= 0.51 * 10.0 ** (exponent - digits) + 6e-4 * abs(number)


@pytest.mark.parametrize("case", QUICK_CASES)
def test_printed_tables_are_the_estimates_and_their_errors(case):
    """The table of a single logit has the log odds, which are twice the logit."""
    _, _, _, summary = summarised(case)
    text, result = str(summary), summary.inference
    assert "nan" not in text
    rule = len(text.splitlines()[0])
    assert text.splitlines()[0] == "=" * rule
    if result is None:
        return
    tables = printed_tables(text)
    exact = [result.estimates, result.standard_errors, result.z_values, result.p_values]
    exact = np.column_stack([*exact, result.conf_int(0.95)])
    ratios = []
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
            number = number if column in ("z", "p") else factor * number
            assert (cells[column] == "") == np.isnan(number)
            assert np.isnan(number) or close(cells[column], number), (part, name, column)
        if cells.get("ratio"):
            ratios.append(part)
            assert close(cells["ratio"], np.exp(exact[i, 0]))
    assert {part for part, _, _ in tables} == {term.part for term in result.terms}
    # The rule is as long as the longest table.
    widths = [
        line.rindex(" %") + 2 + COLUMN_WIDTH * line.endswith("ratio") for line in headings(text)
    ]
    assert rule == max(widths)


def test_tables_name_each_response_once():
    moe, _, _, summary = summarised("outputs")
    lines = str(summary).splitlines()
    for response in ("  y0", "  y1"):
        assert lines.count(response) == moe.n_experts_
