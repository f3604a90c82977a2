"""What is published is what is printed: summaries, frames, texts and pictures agree.

This holds for experts and gates of every kind.
"""

import re
import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.inspection import CoefficientsDisplay, SegmentProfileDisplay, export_text
from support.fits import ALL_CASES, X, short_fit
from support.printed_tables import assert_printed, printed_tables

plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@cache
def summarised(case):
    """A fit, its target, what else it was given, and its summary."""
    moe, (_, y, given) = short_fit(case), ALL_CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return moe, y, given, moe.summary(X, y, **given)


def has_errors(case):
    return summarised(case)[3].inference is not None


# Experts with coefficients, which are no estimators.
WITH_COEFFICIENTS = [
    case for case, (moe, *_) in ALL_CASES.items() if getattr(moe, "expert", "models") == "linear"
]


@pytest.mark.parametrize("case", WITH_COEFFICIENTS)
def test_printed_tables_are_the_frame(case):
    """Number by number; dispersions are left out where the noise is in the heading."""
    moe, _, _, summary = summarised(case)
    text, frame = str(summary), summary.to_frame()
    if not has_errors(case):
        assert frame.columns.intersection(["standard error", "lower"]).empty
        return
    assert "nan" not in text
    tables = printed_tables(text)
    numbers = frame.drop(columns=["reference", "reason"], errors="ignore")
    dependent = dict(zip(frame.index, summary.inference.is_dependent, strict=True))
    for term, cells in tables.items():
        row = numbers.loc[term]
        known = row[[name for name in row.index if name in cells]]
        assert row.drop(known.index).isna().all()  # such as ratios of an intercept
        for name, number in known.items():
            assert_printed(cells[name], number)
        expected = frame.loc[term, "reason"] or "dependent" * int(dependent[term])
        assert cells["remark"] == expected
    hidden = set(frame.index) - set(tables)
    logs = {tuple(t) for t in frame.index[summary.inference.is_dispersion]}
    assert not hidden - logs or hasattr(moe, "expert_covariance_")
    assert not hidden or hasattr(moe, "noise_variance_")


@pytest.mark.parametrize("case", WITH_COEFFICIENTS)
def test_frames_of_summary_and_inference_are_equal(case):
    moe, y, given, summary = summarised(case)
    if not has_errors(case):
        assert summary.to_frame().equals(moe.summary().to_frame())
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = moe.inference(X, y, **given).to_frame()
    frame, before = summary.to_frame(), moe.summary().to_frame()
    assert frame.equals(expected)
    assert_array_equal(before.index, frame.index)
    for name in before:
        assert before[name].equals(frame[name])


@pytest.mark.parametrize("case", WITH_COEFFICIENTS)
def test_written_tables_have_the_numbers_of_the_frame(case):
    pytest.importorskip("jinja2")
    frame = summarised(case)[3].to_frame()
    written = frame.to_latex(float_format="%.17g")
    cells = {cell.strip() for line in written.splitlines() for cell in line.split("&")[1:]}
    numbers = frame.select_dtypes(float).to_numpy()
    assert {f"{v:.17g}" for v in numbers[np.isfinite(numbers)]} <= {
        cell.removesuffix("\\\\").strip() for cell in cells
    }


@pytest.mark.parametrize("case", WITH_COEFFICIENTS)
@pytest.mark.parametrize("reference", [0, -1])
def test_coefficients_of_the_gate_are_log_odds_against_the_reference(case, reference):
    """Differences of `gate_coef_`. Odds ratios are their exponentials, and so are their ends."""
    moe, y, given, _ = summarised(case)
    n = moe.n_experts_
    if n == 1:
        assert "gate" not in moe.summary().to_frame().index
        return
    reference %= n
    summary = moe.summary(gate_reference=reference)
    if has_errors(case):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            summary = moe.summary(X, y, **given, gate_reference=reference)
        assert summary.inference.gate_reference == reference
    frame = summary.to_frame().loc["gate"]
    experts = [k for k in range(n) if k != reference]
    assert list(dict.fromkeys(frame.index.get_level_values(0))) == [f"expert {k}" for k in experts]
    names = list(moe.gate_feature_names_)
    for k in experts:
        rows = frame.loc[f"expert {k}"]
        assert (rows["reference"] == f"expert {reference}").all()
        intercept = moe.gate_intercept_[k] - moe.gate_intercept_[reference]
        assert_allclose(rows.loc["(Intercept)", "estimate"], intercept)
        slopes = rows.drop("(Intercept)")
        columns = [names.index(name) for name in slopes.index]
        expected = (moe.gate_coef_[k] - moe.gate_coef_[reference])[columns]
        assert_allclose(slopes["estimate"], expected)
        unused = np.delete(np.arange(len(names)), columns)
        assert not moe.gate_coef_[:, unused].any()
        if len(slopes):
            assert_allclose(slopes["odds ratio"], np.exp(slopes["estimate"]))
        if len(slopes) and has_errors(case):
            for end in ("lower", "upper"):
                assert_allclose(slopes[f"odds ratio {end}"], np.exp(slopes[end]))
            # Where there are few rows, or features separate experts, a term is marked.
            assert_array_equal(slopes["lower"].isna(), slopes["reason"] != "")
    assert "sum to zero" not in str(summary)


@pytest.mark.parametrize("case", WITH_COEFFICIENTS)
def test_texts_have_the_coefficients_of_the_frame(case):
    """Log odds of the gate, and slopes of the equations of the experts."""
    moe, frame = short_fit(case), short_fit(case).summary().to_frame()
    blocks = export_text(moe, digits=9).split("\n\n")[1:]
    for k in range(moe.n_experts_):
        name = moe.expert_names_[k]
        line = re.search(r"^  gate: (.*)$", blocks[k], re.MULTILINE)
        if line is not None and (match := re.match(r"log odds against (.*) per unit: ", line[1])):
            rows = frame.loc["gate"].loc[name]
            assert (rows["reference"] == match[1]).all()
            for feature, number in re.findall(r"(x\d) ([+-][\d.e+-]+)", line[1]):
                assert_allclose(rows.loc[feature, "estimate"], float(number), rtol=1e-7)
        if "families_" in vars(moe) and not moe.families_[k].link:
            continue
        equations = re.findall(r"^  (?!gate).* = (.*)$", blocks[k], re.MULTILINE)
        terms = re.findall(r"([+-]) ([\d.e+-]+) x\d", " ".join(equations))
        own = [
            row["estimate"]
            for (part, _, term), row in frame.iterrows()
            if (part == "all experts" or name in part.split(", ")) and term.endswith(("x0", "x1"))
        ]
        found = sorted(float(sign + number) for sign, number in terms)
        assert_allclose(found, sorted(value for value in own if value), rtol=1e-7)


@pytest.mark.parametrize("case", WITH_COEFFICIENTS)
def test_pictures_have_the_coefficients_of_the_frame(case):
    """Per unit of the feature, of the last class or output; the gate's against the first expert."""
    moe, y, given, summary = summarised(case)
    frame = summary.to_frame()
    labels = getattr(moe, "classes_", None)
    n_outputs = moe.predict_experts(X[:1]).size // moe.n_experts_
    options = {"target": labels[-1] if labels is not None else n_outputs - 1, "features": [0, 1]}
    options |= {"standardize": False, **given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        profile = SegmentProfileDisplay.from_estimator(moe, X, y, **options)
        drawn = [profile]
        if np.any(moe.expert_coef_):
            drawn.append(CoefficientsDisplay.from_estimator(moe, X, y, by="expert", **options))
    plt.close("all")
    response = {1: ""}.get(n_outputs, f"y{n_outputs - 1}") if labels is None else ""
    for k, j in np.ndindex(moe.n_experts_, 2):
        name, feature = moe.expert_names_[k], f"x{j}"
        terms = [("gate", name, feature)]
        if terms[0] in frame.index and profile.gate_effects is not None:
            found = np.nan_to_num(profile.gate_effects[j, k])
            assert_allclose(found, frame.loc[terms[0], "estimate"])
        parts = [part for part, *_ in frame.index if name in part.split(", ")]
        for part in dict.fromkeys([*parts, "all experts"]):
            if (part, response, feature) not in frame.index:
                continue
            row = frame.loc[(part, response, feature)]
            for display in drawn:
                if np.isfinite(display.coefficients[j, k]):
                    assert_allclose(display.coefficients[j, k], row["estimate"])
                if has_errors(case) and np.isfinite(display.coefficients[j, k]):
                    assert_allclose(display.intervals[j, k], row[["lower", "upper"]].tolist())
