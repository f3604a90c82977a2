"""Covariances, criteria and tables of inference, against sums and inverses written out here."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from cases import ALL_CASES, N_ROWS, X, Y, classifier, fitted_case, short_fit
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import stats

from skmoe._inference.bootstrap import (
    MAX_DRAWS,
    Refit,
    bootstrap_inference,
    match_experts,
    sample_classes,
)
from skmoe._inference.coefficients import Coefficients, Term
from skmoe._inference.information import (
    ClusterScores,
    Information,
    _coordinate_index,
    covariance,
)
from skmoe._inference.labels import (
    default_expert_names,
    expert_kinds,
    feature_labels,
    format_percent,
    named_dispersions,
    noise_std,
    printable_line,
    printable_name,
)
from skmoe._inference.maximum import SAME_ROWS_RTOL, is_same_lower_bound
from skmoe._inference.monte_carlo import BATCHES_PER_JOB, SequentialRule, _batch_size
from skmoe._inference.requirements import check_reference
from skmoe._inference.tables import exponential, format_number, two_columns
from skmoe._inference.unit_responsibilities import UnitResponsibilities

SIZE = 6


def information_of(observed, scores=None, rows=100.0):
    size = len(observed)
    scores = np.eye(size) if scores is None else scores
    return Information(
        observed, scores, [], np.zeros((0, 0)), np.array([0.25, 0.75]) * rows, [], np.arange(size)
    )


def positive_definite(seed, size=SIZE):
    """A matrix whose rows have scales from 1e-3 to 1e3."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, 2 * size)) * 10.0 ** rng.uniform(-3, 3, size=(size, 1))
    return root @ root.T


# --- covariances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("bound", [[], [2], [0, 5]])
@pytest.mark.parametrize("gone", [[], [3], [2, 4]])
def test_a_covariance_is_the_inverse_of_the_free_coordinates(bound, gone, robust):
    """Of any scale; those at a bound and those that are dropped are known."""
    at_bound, dropped = (np.isin(np.arange(SIZE), chosen) for chosen in (bound, gone))
    observed, scores = positive_definite(0), positive_definite(1)
    found = covariance(information_of(observed, scores), at_bound, dropped, robust)
    free = [j for j in range(SIZE) if j not in {*bound, *gone}]
    inverse = np.linalg.inv(observed[np.ix_(free, free)])
    if robust:
        inverse = inverse @ scores[np.ix_(free, free)] @ inverse
    expected = np.zeros((SIZE, SIZE))
    expected[np.ix_(free, free)] = inverse
    unit = np.sqrt(np.where(np.diag(expected) > 0.0, np.diag(expected), 1.0))
    assert_allclose(found.matrix / unit / unit[:, None], expected / unit / unit[:, None], atol=1e-6)
    assert not found.not_identified.any()
    assert not found.indefinite
    assert_array_equal(found.at_bound, at_bound)
    assert_array_equal(found.dropped, dropped)


@pytest.mark.parametrize("n_copies", [1, 2, 3])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_coordinates_that_only_sums_determine_are_not_identified(scale, n_copies):
    """Some coordinates enter by their sum; the others have the variances of a regression."""
    design = np.random.default_rng(0).normal(size=(50, 3))
    design = np.column_stack([design, *[design[:, 2]] * n_copies]) * scale
    copied = np.arange(3 + n_copies) >= 2
    nothing = np.zeros(len(copied), dtype=bool)
    found = covariance(information_of(design.T @ design), nothing, nothing, False)
    assert_array_equal(found.not_identified, copied)
    assert not found.indefinite
    expected = np.linalg.inv(design[:, :3].T @ design[:, :3])
    assert_allclose(found.matrix[:2, :2], expected[:2, :2], rtol=1e-6)
    assert_allclose(copied @ found.matrix @ copied, expected[2, 2], rtol=1e-6)


def test_without_information_nothing_is_identified():
    nothing = np.zeros(2, dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = covariance(information_of(np.zeros((2, 2))), nothing, nothing, False)
    assert found.not_identified.all()
    assert_array_equal(found.matrix, np.zeros((2, 2)))
    assert not found.indefinite


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_information_with_a_negative_direction_is_indefinite(sign):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    observed = rotation @ np.diag([5.0, 2.0, sign]) @ rotation.T
    nothing = np.zeros(3, dtype=bool)
    found = covariance(information_of(observed), nothing, nothing, False)
    assert found.indefinite == (sign < 0.0)
    assert found.not_identified.any() == (sign < 0.0)


@pytest.mark.parametrize("cuts", [[12], [5, 12], [1, 2, 7, 12]])
def test_scores_are_summed_over_clusters_in_whatever_parts_they_come(cuts):
    rng = np.random.default_rng(0)
    scores, clusters = rng.normal(size=(3, 12)), np.array([2, 0, 1, 1, 2, 0, 0, 3, 2, 2, 1, 3])
    sums = ClusterScores(clusters, 3)
    for a, b in zip([0, *cuts[:-1]], cuts, strict=True):
        sums.add(scores[:, a:b])
    expected = sum(
        np.outer(total, total)
        for total in (scores[:, clusters == c].sum(axis=1) for c in np.unique(clusters))
    )
    assert_allclose(sums.outer_products(), expected)
    none = ClusterScores(None, 3)
    none.add(scores)
    assert not none.outer_products().any()


@pytest.mark.parametrize("n_experts", [1, 3])
@pytest.mark.parametrize("shared", [[], [1], [0, 2], [0, 1, 2, 3]])
@pytest.mark.parametrize("n_gate", [0, 5])
def test_every_coordinate_has_one_place_and_shared_ones_have_it_in_common(
    n_experts, shared, n_gate
):
    is_shared = np.isin(np.arange(4), shared)
    experts, gate = _coordinate_index(n_experts, is_shared, n_gate)
    own = [index[~is_shared] for index in experts]
    places = np.concatenate([*own, experts[0][is_shared], gate])
    assert_array_equal(
        np.sort(places), np.arange(n_experts * (4 - len(shared)) + len(shared) + n_gate)
    )
    for index in experts:
        assert_array_equal(index[is_shared], experts[0][is_shared])


# --- methods of the covariance --------------------------------------------------------------------


def test_an_inference_says_how_its_errors_were_found():
    moe, clusters = fitted_case("two experts"), np.arange(N_ROWS) % 7
    methods = {
        "observed information": {},
        "sandwich covariance": {"method": "sandwich"},
        "sandwich covariance, 7 clusters": {"method": "sandwich", "cluster": clusters},
        "parametric bootstrap, 2 refits": {"method": "bootstrap", "n_bootstrap": 2},
    }
    for said, options in methods.items():
        result = quietly(lambda o=options: moe.inference(X, Y, random_state=0, **o))
        assert result.method == said
        assert repr(result) == f"<Inference on {len(result.terms)} terms: {said}>"
        assert (result.replicates is None) == (options.get("method") != "bootstrap")


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5, 95, np.nan])
def test_levels_beyond_probabilities_are_refused_everywhere(level):
    moe = fitted_case("two experts")
    inference = moe.inference(X, Y)
    for call in (
        lambda: inference.conf_int(level),
        lambda: inference.to_frame(level),
        lambda: str(moe.summary(X, Y, level=level)),
    ):
        with pytest.raises(ValueError, match=r"level must be in \(0, 1\)"):
            call()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_intervals_hold_the_probability_of_their_level(level):
    result = fitted_case("linear-regressor").inference(X, Y)
    known = np.isfinite(result.standard_errors)
    lower, upper = result.conf_int(level)[known].T
    errors, estimates = result.standard_errors[known], result.estimates[known]
    held = stats.norm.cdf(upper, estimates, errors) - stats.norm.cdf(lower, estimates, errors)
    assert_allclose(held, level)
    assert_allclose(upper - estimates, estimates - lower)
    coefficients = known & ~result.is_dispersion
    z = result.estimates[coefficients] / result.standard_errors[coefficients]
    assert_allclose(result.p_values[coefficients], 2 * stats.norm.sf(np.abs(z)))
    assert np.isnan(result.z_values[result.is_dispersion]).all()
    assert np.isnan(result.p_values[result.is_dispersion]).all()


# --- the bootstrap --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_experts_of_a_refit_are_matched_by_the_largest_overlap(seed):
    rng = np.random.default_rng(seed)
    ours, theirs = (rng.dirichlet(np.ones(4) * 0.3, size=30).T for _ in range(2))
    values = {"a": np.arange(4), "b": rng.normal(size=(4, 2))}
    best = max(
        itertools.permutations(range(4)),
        key=lambda order: sum(ours[k] @ theirs[j] for k, j in enumerate(order)),
    )
    matched = match_experts(Refit(values, theirs), ours)
    assert_array_equal(matched["a"], best)
    assert_array_equal(matched["b"], values["b"][list(best)])


def test_the_covariance_of_a_bootstrap_is_that_of_its_replicates():
    rng = np.random.default_rng(0)
    for n_terms in (1, 3):
        replicates = rng.normal(size=(9, n_terms))
        terms = [Term("gate", "", str(i)) for i in range(n_terms)]
        flags = np.zeros(n_terms, dtype=bool)
        result = bootstrap_inference(
            Coefficients(terms, np.ones(n_terms), flags, flags), replicates
        )
        centred = replicates - replicates.mean(axis=0)
        assert_allclose(result.covariance, centred.T @ centred / 8)
        assert_array_equal(result.reasons, [""] * n_terms)


class Uniforms:
    """A generator that gives rows of given numbers in turn."""

    def __init__(self, *rows):
        self.rows = iter(rows)

    def uniform(self, size):
        return np.reshape(next(self.rows), size)


def test_classes_are_drawn_until_all_are_there():
    probs = np.tile([0.2, 0.3, 0.5], (3, 1))
    rng = Uniforms([0.1, 0.15, 0.9], [0.1, 0.9, 0.4], [0.9, 0.9, 0.9])
    assert_array_equal(sample_classes(probs, rng), [0, 2, 1])
    assert_array_equal(next(rng.rows), [0.9] * 3)  # nothing is drawn beyond
    never = Uniforms(*[[0.1, 0.1, 0.1]] * MAX_DRAWS)
    assert_array_equal(sample_classes(probs, never), [0, 0, 0])
    assert next(never.rows, None) is None


# --- what is compared -----------------------------------------------------------------------------


def test_bounds_of_the_same_rows_differ_by_round_off():
    for bound in (-1e4, -3.0, 0.0, 2.0):
        apart = SAME_ROWS_RTOL * (1.0 + abs(bound))
        for sign in (-1.0, 1.0):
            assert is_same_lower_bound(bound + 0.99 * sign * apart, bound)
            assert not is_same_lower_bound(bound + 1.01 * sign * apart, bound)


@pytest.mark.parametrize("n_experts", [1, 3])
def test_references_are_experts(n_experts):
    assert check_reference(None, n_experts) is None
    for k in range(n_experts):
        assert check_reference(np.int64(k), n_experts) == k
        assert type(check_reference(np.int64(k), n_experts)) is int
    for bad in (-1, n_experts, 0.0, True, False, np.True_, "0"):
        with pytest.raises(ValueError, match="gate_reference must be None or an expert"):
            check_reference(bad, n_experts)


@pytest.mark.parametrize("n_exceedances", [None, 1, 3, 40])
@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_jobs_are_given_work_that_is_not_likely_to_be_in_vain(n_exceedances, n_jobs):
    rule = SequentialRule(1.0, n_exceedances)
    for n_larger in range(3 if n_exceedances is None else min(n_exceedances, 3)):
        drawn = [SimpleNamespace(statistic=s) for s in [2.0] * n_larger + [0.0] * 5]
        size = _batch_size(rule, drawn, n_jobs)
        if n_jobs == 1:
            assert size == 1
            continue
        assert n_jobs <= size <= BATCHES_PER_JOB * n_jobs
        missing = np.inf if n_exceedances is None else n_exceedances - n_larger
        # As many as may be needed at least, within the bounds.
        assert size == min(max(missing, n_jobs), BATCHES_PER_JOB * n_jobs)


# --- texts ----------------------------------------------------------------------------------------


def test_percentages_are_rounded_but_not_to_never_and_always():
    for thousandths in range(1001):
        text = format_percent(thousandths / 1000)
        if 0 < thousandths < 10:
            assert text == "< 1 %"
        elif 990 < thousandths < 1000:
            assert text == "> 99 %"
        else:
            assert abs(int(text.removesuffix(" %")) - thousandths / 10) <= 0.5


def test_names_are_printed_on_one_line_without_controls():
    for code in [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066]:
        line = printable_line(f"a{chr(code)}b")
        assert line.isprintable()
        assert line[0] + line[-1] == "ab"
        assert line.encode().decode("unicode_escape") == f"a{chr(code)}b"
    assert printable_name("  a \n\t b ") == "a b"
    assert printable_line("plain é") == "plain é"


def test_experts_and_features_have_names_in_their_order():
    assert default_expert_names(3) == [f"expert {k}" for k in range(3)]
    assert feature_labels(None, 2) == ["x0", "x1"]
    assert feature_labels(["a", 3], 2) == ["a", "3"]
    assert expert_kinds("linear", 3) == ["linear"] * 3
    assert expert_kinds(["linear", SimpleNamespace()], 2) == ["linear", "SimpleNamespace"]
    assert expert_kinds("tree", 2, [[3], [0.5]]) == ["int", "float"]
    families = [SimpleNamespace(name=name) for name in "ab"]
    assert expert_kinds("linear", 2, families=families) == ["a", "b"]


def test_noise_is_the_root_of_its_variance_where_there_is_one():
    assert noise_std(None, 2) is None
    assert noise_std(np.array([4.0, np.nan]), 2) == [[2.0], []]
    assert noise_std(np.array([[4.0, np.nan], [9.0, 1.0]]), 2)[1] == [3.0, 1.0]
    assert len(noise_std(np.array([[4.0, np.nan], [9.0, 1.0]]), 2)[0]) == 2
    assert named_dispersions(None, None, 0) == {}
    dispersion, df = np.array([[0.5, 1.0], [np.nan, 2.0]]), np.array([3.0, 4.0])
    assert named_dispersions(dispersion, df, 0) == {
        "dispersion": [0.5, 1.0],
        "degrees of freedom": [3.0],
    }
    assert named_dispersions(dispersion, df, 1) == {"degrees of freedom": [4.0]}


def test_numbers_of_tables_can_be_read_back():
    widths = set()
    for value in (0.0, 1e-5, 9.9e-5, 1e-4, 0.5, -3.14159, 123456.0):
        for column in ("estimate", "z", "p"):
            text = format_number(value, column)
            widths.add(len(text))
            if column == "p" and value < 1e-4:
                assert text.strip() == "<0.0001"
            else:
                tolerance = {"z": 0.005, "p": 5e-5}.get(column, 5e-4 * abs(value))
                assert abs(float(text) - value) <= tolerance * 1.001
        assert not format_number(np.nan, "z").strip()
    widths.add(len(format_number(np.nan, "p")))
    assert len(widths) == 1


@pytest.mark.parametrize("n_facts", range(6))
def test_facts_are_listed_once_and_down_the_columns(n_facts):
    facts = {f"name {i}": f"value {i}" for i in range(n_facts)}
    lines = two_columns(facts)
    n_lines = (n_facts + 1) // 2
    assert len(lines) == n_lines
    for i in range(n_facts):
        line, place = lines[i % n_lines], i // n_lines
        part = line[46:] if place else line[:46]
        assert part.split() == ["name", f"{i}", "value", f"{i}"]


def test_exponentials_are_those_of_chosen_values():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = exponential(np.array([0.0, 1.0, 1e4]), np.array([True, False, True]))
    assert_array_equal(found, [1.0, np.nan, np.inf])


# --- units ----------------------------------------------------------------------------------------


def test_rows_of_units_have_their_probabilities_and_new_units_those_given():
    rng = np.random.default_rng(0)
    labels, proba = np.array(["a", "b", "c"]), rng.dirichlet(np.ones(2), size=3)
    table = UnitResponsibilities(labels, proba, ["one", "two"])
    assert len(table) == 3
    wanted, new = ["c", "z", "a", "c"], rng.dirichlet(np.ones(2), size=4)
    rows = table.rows(wanted, new)
    for label, row, prior in zip(wanted, rows, new, strict=True):
        assert_array_equal(row, prior if label == "z" else proba[list(labels).index(label)])
    assert_array_equal(table.rows(["b", "b"]), proba[[1, 1]])
    assert table.rows([]).shape == (0, 2)
    with pytest.raises(ValueError, match="units must be in the table; 'z' is not"):
        table.rows(wanted)
    with pytest.raises(ValueError, match=r"new must have shape .* \(4, 2\); got \(3, 2\)"):
        table.rows(wanted, new[:3])
    frame = table.to_frame()
    assert_array_equal(frame.loc["b"], proba[1])
    assert frame.columns.tolist() == ["one", "two"]
    assert UnitResponsibilities(labels, proba).expert_names == default_expert_names(2)


# --- the choice of a null hypothesis --------------------------------------------------------------


def test_criteria_of_one_expert_are_those_of_a_logistic_regression():
    """Of a classifier, whose number of parameters and entropy are known."""
    labels = (X[:, 0] + 0.5 * np.random.default_rng(3).normal(size=N_ROWS) > 0).astype(int)
    moe = quiet(classifier(n_experts=1), X, labels)
    log_likelihood = np.log(moe.predict_proba(X))[np.arange(N_ROWS), labels].sum()
    assert_allclose(moe.aic(X, labels), 2 * 3 - 2 * log_likelihood)
    assert_allclose(moe.bic(X, labels), 3 * np.log(N_ROWS) - 2 * log_likelihood)
    assert_allclose(moe.icl(X, labels), moe.bic(X, labels))


# --- the terms of a mixture -----------------------------------------------------------------------


def value_of(moe, term):
    """The attribute that a term names; for dispersions its logarithm."""
    names, features = moe.expert_names_, ["(Intercept)", "x0", "x1"]
    if term.part == "gate":
        k = names.index(term.response)
        gate = np.append(moe.gate_intercept_[k], moe.gate_coef_[k])
        columns = ["(Intercept)", *moe.gate_feature_names_]
        return gate[columns.index(term.name)]
    k = 0 if term.part == "all experts" else names.index(term.part)
    responses = moe._response_names()
    response = responses.index(term.response) if term.response else 0
    if term.name in features:
        shape = moe.n_experts_, len(responses), -1
        slopes = moe.expert_coef_.reshape(shape)
        if term.part == "all experts":
            owners = ~np.isnan(slopes[:, 0, 0]) & slopes.any(axis=(1, 2))
            k = int(np.flatnonzero(owners)[0])
        intercepts = moe.expert_intercept_.reshape(shape)
        return np.append(intercepts[k, response], slopes[k, response])[features.index(term.name)]
    attributes = {
        "log(noise variance)": "noise_variance_",
        "log(dispersion)": "dispersion_",
        "log(degrees of freedom)": "df_",
    }
    if term.name not in attributes:
        return None  # of thresholds
    return np.log(np.reshape(getattr(moe, attributes[term.name])[k], -1)[response])


WITH_TERMS = [
    case
    for case, (moe, *_) in ALL_CASES.items()
    if moe.expert == "linear" and not isinstance(moe.n_experts, str) and moe.base is None
]


@pytest.mark.parametrize("case", WITH_TERMS)
def test_each_coefficient_is_a_term_once(case):
    moe = short_fit(case)
    found = moe._coefficients(None)
    assert len(set(found.terms)) == len(found.terms) == len(found.values)
    for term, value, is_dispersion in zip(
        found.terms, found.values, found.is_dispersion, strict=True
    ):
        expected = value_of(moe, term)
        assert expected is None or value == pytest.approx(expected), term
        assert is_dispersion == term.name.startswith("log(") or expected is None, term
    # The shared slopes, and all that gate and experts have else.
    shared = {term.name for term in found.terms if term.part == "all experts"}
    assert shared == {f"x{j}" for j in getattr(moe, "shared_features", None) or []}
    of_gate = [term for term in found.terms if term.part == "gate"]
    n_gate = moe.gate_coef_.shape[1] if moe.n_experts_ > 1 and moe.gate == "softmax" else 0
    assert len(of_gate) == (moe.n_experts_ > 1) * moe.n_experts_ * (1 + n_gate)
