"""Diagrams lead from the features through the gate to the prediction."""

import re

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skmoe._inference.labels import format_number
from skmoe.inspection import export_mermaid
from support.fits import X, Y, fit_quietly, fitted_case, regressor


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


def test_noise_and_dispersions_stand_in_the_nodes():
    moe = fitted_case("two experts")
    for line, std in zip(
        export_mermaid(moe).split("\n")[2:], np.sqrt(moe.noise_variance_).ravel(), strict=False
    ):
        assert f"noise {format_number(std)}" in line
    moe = fitted_case("student_t-regressor")
    for line, df in zip(export_mermaid(moe).split("\n")[2:], moe.df_.ravel(), strict=False):
        assert f"degrees of freedom {format_number(df)}" in line
    moe = fitted_case("negative_binomial-regressor")
    dispersions = moe.dispersion_.ravel()
    for line, value in zip(export_mermaid(moe).split("\n")[2:], dispersions, strict=False):
        assert f"dispersion {format_number(value)}" in line


def test_features_of_the_largest_effects_are_named_first():
    moe = fitted_case("two experts")
    strength = np.ptp(moe.gate_coef_, axis=0) * X.std(axis=0)
    ranked = [f"x{j}" for j in np.argsort(-strength)]
    for n in (1, 2, 3):
        gate = export_mermaid(moe, X=X, max_features=n).split("\n")[1]
        assert gate.endswith(f'largest effects: {", ".join(ranked[:n])}"}}')
    named = export_mermaid(moe, ["age", "size"], X=X, max_features=1)
    assert f"largest effects: {['age', 'size'][int(ranked[0][1:])]}" in named
    assert "largest effects" not in export_mermaid(fitted_case("constant gate"), X=X)


def test_labels_hold_no_character_that_ends_them():
    names = ['say "no"', "<b>[x]{y}|"]
    moe = fit_quietly(regressor(n_experts=2, n_init=1, max_iter=3), X, Y)
    moe.set_expert_names(['a  b\nc "d"', "calm-ish (1.5 %), c/d: e+f=g_h"])
    diagram = export_mermaid(moe, names, X=X)
    for shown in ("say #34;no#34;", "#60;b#62;#91;x#93;#123;y#125;#124;", "a b c #34;d#34;<br/>"):
        assert shown in diagram
    assert '"calm-ish (1.5 %), c/d: e+f=g_h<br/>' in diagram
    for line in diagram.split("\n"):
        assert len(re.findall('"', line)) % 2 == 0


def test_diagrams_of_pipelines_say_whose_features_they_are():
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), regressor(max_iter=3))
    fit_quietly(pipeline, X, Y)
    assert '"5 features<br/>' in export_mermaid(pipeline)
