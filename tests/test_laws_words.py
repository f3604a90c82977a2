"""Words of reports: names of parts and features, equations, percentages."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe._inference.labels import (
    base_term,
    counted_noun,
    default_expert_names,
    expert_kinds,
    feature_labels,
    format_percent,
    gate_name,
    link_equation,
    named_dispersions,
    noise_std,
    printable_line,
    printable_name,
)
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate


def test_a_base_enters_on_the_scale_of_the_link():
    assert base_term("identity") == "base"
    assert [base_term(link) for link in ("log", "logit")] == ["log(base)", "logit(base)"]


def test_equations_say_what_is_linear():
    assert link_equation("identity", "y", "1 + x") == "y = 1 + x"
    assert link_equation("log", "y", "1 + x") == "expected y = exp(1 + x)"
    assert link_equation("logit", "class a", "x") == "logit of class a = x"
    assert link_equation("logit", "class a", "x", "log odds") == "log odds of class a = x"
    assert link_equation("cloglog", "y", "x") == "cloglog of expected y = x"


def test_shares_are_of_units_where_there_are_any():
    assert (counted_noun(True), counted_noun(False)) == ("unit", "row")


def test_parts_have_the_names_that_were_given_or_those_of_their_classes():
    assert gate_name("softmax") == "softmax"
    assert gate_name(SoftmaxGate()) == "SoftmaxGate"
    assert default_expert_names(3) == ["expert 0", "expert 1", "expert 2"]
    assert feature_labels(None, 2) == ["x0", "x1"]
    assert feature_labels(["a", 1], 2) == ["a", "1"]


def test_the_kind_of_an_expert_is_what_was_fitted_or_chosen():
    ridge, line = make_pipeline(StandardScaler(), Ridge()), LinearRegression()
    assert expert_kinds("linear", 2) == ["linear", "linear"]
    assert expert_kinds(Ridge(), 2) == ["Ridge", "Ridge"]
    for chosen in (["linear", Ridge()], ("linear", Ridge())):
        assert expert_kinds(chosen, 3) == ["linear", "Ridge", "linear"]
    models = [[ridge, line], [line, ridge]]
    assert expert_kinds("tree", 2, models) == ["Ridge", "LinearRegression"]
    families = [FAMILIES["poisson"](), FAMILIES["gamma"]()]
    assert expert_kinds("linear", 2, models, families) == [family.name for family in families]


def test_dispersions_are_listed_where_an_expert_has_them():
    dispersion = np.array([[0.5, 2.0], [np.nan, np.nan]])
    df = np.array([3.0, 5.0])
    found = [named_dispersions(dispersion, df, k) for k in range(2)]
    assert found[0] == {"dispersion": [0.5, 2.0], "degrees of freedom": [3.0]}
    assert found[1] == {"degrees of freedom": [5.0]}
    assert named_dispersions(None, None, 0) == {}
    assert named_dispersions(dispersion, None, 0) == {"dispersion": [0.5, 2.0]}


def test_noise_is_a_list_for_each_expert():
    variance = np.array([[4.0, 9.0], [np.nan, np.nan]])
    assert noise_std(variance, 2) == [[2.0, 3.0], []]
    assert noise_std(np.array([4.0, 9.0]), 2) == [[2.0], [3.0]]
    assert noise_std(None, 2) is None
    (some,) = noise_std(np.array([[4.0, np.nan]]), 1)
    assert some[0] == 2.0
    assert np.isnan(some[1])
    assert named_dispersions(np.array([[1.0, np.nan]]), None, 0) == {}


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.0, "0 %"),
        (0.0099, "< 1 %"),
        (0.01, "1 %"),
        (0.5, "50 %"),
        (0.99, "99 %"),
        (0.991, "> 99 %"),
        (1.0, "100 %"),
    ],
)
def test_percentages_are_never_and_always_only_where_they_are(fraction, text):
    assert format_percent(fraction) == text


def test_names_and_lines_have_no_characters_that_a_terminal_obeys():
    assert printable_name(" a\n b\t\x1b[1m ") == "a b \\x1b[1m"
    assert printable_line("  a  b \u202e") == "  a  b \\u202e"
