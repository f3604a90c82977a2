"""What summaries and texts print is what the mixture computes."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import flipping_classes, two_regimes
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import export_text


def value_of(equation, row):
    """Value of an equation such as "1.00 - 2.00 x0", without "base"."""
    total = 0.0
    for sign, number, name in re.findall(r"([+-]?) ?(\d[\d.]*)(?: (x\d))?", equation):
        factor = row[int(name[1:])] if name else 1.0
        total += (-1.0 if sign == "-" else 1.0) * float(number) * factor
    return total


def equations(text, start):
    return [line.strip() for line in text.splitlines() if line.strip().startswith(start)]


def test_an_equation_on_a_base_contains_the_base():
    X, y = two_regimes(n_rows=300)
    moe = MixtureOfExpertsRegressor(2, base=LinearRegression(), random_state=0).fit(X, 500 + y)
    text = export_text(moe, decimals=6)
    lines = equations(text, "y = ")
    assert all(line.startswith("y = base + ") for line in lines)
    row = X[:1]
    for line, mean in zip(lines, moe.predict_experts(row)[0], strict=True):
        found = moe.base_.predict(row)[0] + value_of(line.removeprefix("y = base + "), row[0])
        assert_allclose(found, mean, atol=1e-4)
    summary = str(moe.summary(X, 500 + y))
    assert "Experts: y = base + linear predictor." in summary
    assert "Give the data" not in summary
    X, codes = flipping_classes(n_rows=200)
    moe = MixtureOfExpertsClassifier(2, base=LogisticRegression(), random_state=0).fit(X, codes)
    assert "= terms of the base + " in export_text(moe)


def test_effects_on_a_derived_gate_are_per_standard_deviation_of_the_fit():
    X, y = two_regimes(n_rows=300)
    moe = MixtureOfExpertsRegressor(2, base=LinearRegression(), random_state=0).fit(X, y)
    line = equations(export_text(moe, X=X, max_features=4), "gate: ")[0]
    assert line.startswith("gate: log odds per standard deviation: ")
    found = dict(re.findall(r"(\w+) ([+-][\d.]+)", line.partition("deviation: ")[2]))
    effects = dict(moe.summary().experts[0].gate_effects)
    assert set(effects) == {"x0", "x1", "x2", "base"}
    for name, value in found.items():
        assert float(value) == pytest.approx(effects[name], abs=0.006)
    scale = dict(zip(moe.gate_feature_names_, moe.gate_coef_[0], strict=True))
    assert effects["x0"] == pytest.approx(2 * scale["x0"] * X[:, 0].std(), rel=1e-6)
    assert "per unit" in export_text(moe)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_of_the_coefficients_are_named(n_classes):
    X, codes = flipping_classes(n_rows=300, n_classes=n_classes)
    y = np.array(["CH", "MM", "XX"])[codes]
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    line = "Experts: logits of the classes, which sum to zero over the classes."
    if n_classes == 2:
        line = "Experts: log odds of class MM against class CH."
    assert line in str(moe.summary(X, y))
    assert line in str(moe.summary())


def test_linear_experts_of_a_list_show_their_lines():
    X, y = two_regimes(n_rows=300)
    trees = DecisionTreeRegressor(max_depth=3, random_state=0)
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2"])
    for rows, first in ((X, "linear"), (X, Ridge()), (frame, "linear")):
        moe = MixtureOfExpertsRegressor(2, expert=[first, trees], max_iter=4, random_state=0)
        with pytest.warns():
            moe.fit(rows, y)
        (line,) = equations(export_text(moe, decimals=5), "y = ")
        for i in (0, 7):
            mean = moe.predict_experts(rows[i : i + 1])[0, 0]
            assert_allclose(value_of(line.removeprefix("y = "), X[i]), mean, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Experts have collapsed")
def test_two_logits_of_a_gate_are_printed_once():
    X, y = two_regimes(n_rows=300)
    X = pd.DataFrame(X, columns=["price", "age", "size"])
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    reference = str(moe.summary(X, y, gate_reference=0))
    text = str(moe.summary(X, y))
    gate = text[text.index("Gate: ") : text.index("\n====", text.index("Gate: "))]
    assert gate.startswith("Gate: log odds of expert 1 against expert 0\n")
    rows = [line.split() for line in gate.splitlines() if " price " in line]
    expected = [line.split() for line in reference.splitlines() if line.startswith("  price ")][-1]
    assert rows == [expected]
    assert len(moe.summary().to_frame().loc["gate"]) == 8
    three = MixtureOfExpertsRegressor(3, random_state=0).fit(X, y)
    assert "Gate: logits, which sum to zero over the experts\n" in str(three.summary())


def test_names_are_whole_and_large_numbers_have_no_false_precision():
    X, y = two_regimes(n_rows=300)
    names = ["education_3._Some_College", "education_4._College_Grad", "year"]
    frame = pd.DataFrame(X + np.array([0, 0, 2000]), columns=names)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(frame, y * 1e5)
    text = str(moe.summary(frame, y * 1e5))
    assert "…" not in text
    for name in names:
        assert text.count(f"\n  {name} ") >= 3
    large = [number for number in re.findall(r"\d[\d.]*", export_text(moe)) if "." in number]
    assert all(float(number) < 1e5 for number in large)


@pytest.mark.filterwarnings("ignore:Experts have collapsed")
def test_rows_that_are_not_those_of_the_fit_are_noted():
    X, y = two_regimes(n_rows=400)
    weight = np.tile([1.0, 2.0], 100)
    other = "Other rows than those of the fit"
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:200], y[:200], weight)
    assert other not in str(moe.summary(X[:200], y[:200], weight))
    assert f"{other}: their weight is 200, in the fit 300." in str(moe.summary(X[:200], y[:200]))
    assert f"{other}: they have another lower bound." in str(moe.summary(X[200:], y[200:], weight))
    trees = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(max_depth=2), max_iter=3)
    with pytest.warns():
        trees.fit(X[:200], y[:200])
    assert other not in str(trees.summary(X[:200], y[:200]))
    assert other in str(trees.summary(X, y))
    routed = MixtureOfExpertsRegressor(3, top_k=2, random_state=0).fit(X, y)
    assert other not in str(routed.summary(X, y))
    mean = MixtureOfExpertsRegressor(2, combine="average", n_init=2, random_state=0).fit(X, y)
    assert other not in str(mean.summary(X, y))
    codes = (y > 0).astype(int)
    balanced = MixtureOfExpertsClassifier(2, class_weight="balanced", random_state=0)
    assert other not in str(balanced.fit(X, codes).summary(X, codes))
