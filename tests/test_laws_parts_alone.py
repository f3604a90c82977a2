"""What gates, families and named estimators are by themselves, without a fit."""

import numpy as np
import pandas as pd
import pytest
from kinds import example, log_density
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._data.scaling import Standardization
from skmoe.experts import EXPERTS, GeneralizedLinearExperts, LogisticExperts
from skmoe.experts._estimator_params import rows_to_fit
from skmoe.experts._named_estimators import resolve_estimators
from skmoe.experts._variance_prior import estimate_noise_variance
from skmoe.families import FAMILIES, Uniform
from skmoe.families._base import sums_of_derivatives
from skmoe.gates import GATES, ConstantGate, SoftmaxGate
from skmoe.gates._averaged import AveragedGate, AverageParams
from skmoe.gates._constant import ConstantParams
from skmoe.gates._softmax import SoftmaxParams
from skmoe.protocols import SupportsReordering, SupportsStreaming, has_capability

DESIGN = np.column_stack([np.random.default_rng(0).normal(size=(6, 2)), np.ones(6)])


# --- gates ----------------------------------------------------------------------------------------


def test_gates_begin_with_equal_probabilities():
    for name, kind in GATES.items():
        gate = kind()
        for n_experts in (1, 2, 5):
            params = gate.init_params(n_experts, 3)
            prob = np.exp(gate.log_prob(params, DESIGN))
            assert_allclose(prob, np.full((n_experts, 6), 1.0 / n_experts), err_msg=name)
            # Coefficients are those of the logits, or log probabilities of all rows.
            coef = gate.coefficients(params, 3)
            assert coef.shape == (n_experts, 3)
            assert_array_equal(coef[:, :-1], 0.0)
            if not gate.depends_on_features:
                assert_allclose(np.exp(coef[:, -1]).sum(), 1.0)


def test_parts_that_stream_store_square_matrices_of_their_coordinates():
    """Those of a constant gate are none, and the bound of their number is none."""
    assert ConstantGate().streaming_size(3, 4) == (0, 0)
    for n_experts in (1, 2, 5):
        for n_columns in (1, 4):
            gate = SoftmaxGate()
            size, most = gate.streaming_size(n_experts, n_columns)
            params = gate.init_params(n_experts, n_columns)
            assert size == len(gate.penalty_hessian(params, n_columns))
            assert size < most
    for name, kind in EXPERTS["linear"].items():
        experts = kind()
        size, most = experts.streaming_size(3, 4)
        assert size == 4
        assert size < most
        assert has_capability(experts, SupportsStreaming), name


def test_gates_of_averages_reorder_within_each_start():
    """Also where the starts have different parameters."""
    gate, rng = AveragedGate(SoftmaxGate(), None), np.random.default_rng(1)
    starts = tuple(SoftmaxParams(rng.normal(size=(3, 3))) for _ in range(2))
    params = AverageParams(starts)
    order = np.array([2, 0, 1, 4, 3, 5])
    moved = gate.reorder(params, order)
    assert_allclose(gate.log_prob(moved, DESIGN), gate.log_prob(params, DESIGN)[order])
    assert gate.n_starts(params) == len(gate.single_gates(params)) == 2
    assert gate.n_parameters(params) == 2 * SoftmaxGate().n_parameters(starts[0])
    assert_array_equal(gate.coefficients(params, 3), np.concatenate([s.coef for s in starts]))
    constant = AveragedGate(ConstantGate(), None)
    priors = AverageParams(tuple(ConstantParams(np.log(p)) for p in ([0.2, 0.8], [0.7, 0.3])))
    coef = constant.coefficients(priors, 3)
    assert_array_equal(coef[:, :-1], 0.0)
    assert_allclose(np.exp(coef[:, -1]), [0.1, 0.4, 0.35, 0.15])
    assert has_capability(gate, SupportsReordering)


# --- named estimators -----------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_trees_split_missing_numbers_beside_many_categories(task):
    """A sparse table, as of many indicators, could have no missing values.

    The random state is one in which trees of scikit-learn 1.6.0 put no row into the wrong branch.
    """
    rng = np.random.default_rng(0)
    kinds = [f"kind {i % 15}" for i in range(60)]
    X = pd.DataFrame(
        {"kind": kinds, "number": np.where(rng.uniform(size=60) < 0.3, np.nan, rng.normal(size=60))}
    )
    y = np.isnan(X["number"]).to_numpy().astype(int)
    (tree,) = resolve_estimators(["tree"], task, 1.0, X, [0])
    tree[-1].set_params(random_state=0)
    assert_array_equal(tree.fit(X, y).predict(X), y)
    assert isinstance(tree[:-1].transform(X), np.ndarray)


# --- families -------------------------------------------------------------------------------------


def test_equations_of_a_range_name_its_ends_if_there_is_one_output():
    assert Uniform().equation("y", "x") == "y is uniform over its range"
    assert Uniform((0.0,), (2.5,)).equation("y", "x") == "y is uniform from 0 to 2.5"
    both = Uniform((0.0, 1.0), (2.5, 3.0)).equation("y", "x")
    assert both == "y is uniform over its range"


def test_a_range_without_width_has_a_density_all_the_same():
    """That of a range of width one from its only value on."""
    y = np.full((1, 5), 3.0)
    family = Uniform().fitted_to(y, np.ones(5), Standardization(np.zeros(1), np.ones(1)))
    assert_array_equal(family.log_prob(y, np.zeros((1, 5)), ()), 0.0)
    assert_array_equal(family.in_support(np.array([[2.9, 3.0, 4.0, 4.1]])), [[0, 1, 1, 0]])
    assert_array_equal(family.mean(np.zeros((1, 2)), ()), 3.5)
    part = family.components(np.zeros((1, 2)), ())
    assert_array_equal([part.low, part.high], np.broadcast_to([[[[3.0]]], [[[4.0]]]], (2, 1, 1, 2)))


# --- rows of estimators ---------------------------------------------------------------------------


def test_rows_without_weight_are_not_among_those_of_an_expert():
    resp = np.full((2, 40), 0.5)
    resp[:, ::4] = 0.0
    resp[0, 1::4] = 1e-9  # next to nothing
    rows = np.arange(39)
    assert_array_equal(rows_to_fit(rows, resp, 1), np.flatnonzero(np.arange(39) % 4))
    # Too few are left of the other expert.
    assert_array_equal(rows_to_fit(rows, resp, 0), rows)
    resp[0, 3::4] = 0.5
    assert_array_equal(rows_to_fit(np.arange(40), resp, 0), np.flatnonzero(np.arange(40) % 4 >= 2))


def test_averages_reorder_their_experts_if_the_gate_of_a_start_does():
    class Bare:
        """A gate without any of the methods that are optional."""

    bare = AveragedGate(Bare(), None)
    assert "its gate has no method reorder" in bare.limitation(SupportsReordering)
    assert not has_capability(bare, SupportsReordering)
    for capability in (SupportsStreaming, SupportsReordering):
        assert AveragedGate(SoftmaxGate(), None).limitation(capability) == ""
    assert bare.limitation(SupportsStreaming) == ""


def test_the_penalty_of_a_gate_is_the_one_that_is_given_or_one():
    for alpha in (0.0, 0.25, 7.0):
        gate = SoftmaxGate(alpha)
        assert gate.slope_alpha == gate.penalties["alpha"] == alpha
        assert not gate.has_open_penalty
    assert SoftmaxGate().slope_alpha == SoftmaxGate().penalties["alpha"] == 1.0
    assert SoftmaxGate().has_open_penalty
    # Half of it times the squared slopes is the penalty, of which intercepts have none.
    coef = np.random.default_rng(0).normal(size=(3, 4))
    coef -= coef.mean(axis=0)
    penalty = SoftmaxGate(7.0).penalty(SoftmaxParams(coef))
    assert_allclose(penalty, 3.5 * np.square(coef[:, :-1]).sum())
    assert_array_equal(
        np.diag(SoftmaxGate(7.0).penalty_hessian(SoftmaxParams(coef), 4)), [7.0, 7.0, 7.0, 0.0] * 2
    )


def test_the_noise_of_a_target_is_at_most_its_variance():
    """Most predictions of unseen rows are worse than the mean where nothing relates to features."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 8)), rng.normal(size=(20, 40))
    Y -= Y.mean(axis=1, keepdims=True)
    Y /= Y.std(axis=1, keepdims=True)
    found = estimate_noise_variance(X, Y, np.ones(40))
    assert found.max() == np.median(found) == 1.0
    assert (estimate_noise_variance(Y[:8].T, Y[:8], np.ones(40)) < 1e-3).all()


def test_components_of_a_family_are_one_for_each_row():
    rng = np.random.default_rng(0)
    for name in FAMILIES:
        family = example(name)
        for n_outputs in (1,) if name == "ordinal" else (1, 3):
            y = np.concatenate([family.example_target(rng, 5) for _ in range(n_outputs)])
            unit = Standardization(np.zeros(n_outputs), np.ones(n_outputs))
            fitted = family.fitted_to(y, np.ones(5), unit)
            theta = [np.full((n_outputs, 1), -0.5 - i) for i in range(len(fitted.dispersions))]
            predictor = rng.normal(size=(n_outputs, 5))
            part = fitted.components(predictor, theta)
            assert_array_equal(part.weight, np.ones((1, 5)), err_msg=name)
            for field, values in zip(part._fields[1:], part[1:], strict=True):
                if field != "values":
                    assert values.shape[0] == 1
                    assert values.shape[-1] == 5
                    assert values.shape[1] == n_outputs


def fitted_example(name, n_rows=6):
    """A family with what it takes from its example, the example, and predictors and dispersions."""
    family, rng = example(name), np.random.default_rng(3)
    y = family.example_target(rng, n_rows)
    fitted = family.fitted_to(y, np.ones(n_rows), Standardization(np.zeros(1), np.ones(1)))
    theta = [np.full((1, 1), -0.5 - 0.3 * i) for i in range(len(fitted.dispersions))]
    return fitted, y, rng.normal(size=(1, n_rows)), theta


def test_examples_of_targets_are_possible():
    for name in FAMILIES:
        family, y, predictor, theta = fitted_example(name, 40)
        assert y.shape == (1, 40)
        assert example(name).in_support(y).all(), name
        assert family.in_support(y).all(), name
        assert np.isfinite(family.log_prob(y, predictor, theta)).all()
    for kind in (LogisticExperts, GeneralizedLinearExperts):
        target = kind.example_target(np.random.default_rng(0), 200)
        if kind is LogisticExperts:
            assert set(target) == {0, 1}
        else:
            assert kind().in_support(target).all()


def test_derivatives_of_families_are_differences():
    """Of means and log densities; none without a linear predictor."""
    step = 1e-5
    for name in FAMILIES:
        family, y, predictor, theta = fitted_example(name)
        scale = np.exp(-theta[0]) if family.has_scale else 1.0
        up, down = predictor + step, predictor - step
        slope = (family.mean(up, theta) - family.mean(down, theta)) / (2.0 * step)
        found = family.mean_derivative(predictor, theta)
        assert_allclose(found, slope, rtol=1e-6, atol=1e-9, err_msg=name)
        slope = family.log_prob(y, up, theta) - family.log_prob(y, down, theta)
        score = scale * family.predictor_score(y, predictor, theta)
        assert_allclose(score, slope / (2.0 * step), rtol=1e-6, atol=1e-8, err_msg=name)
        information = family.predictor_information(predictor, theta)
        assert information.shape == predictor.shape
        if not family.link:
            assert_array_equal([score, information], 0.0)
            assert_array_equal(found, 0.0)
        else:
            assert (information > 0.0).all()


def test_logistic_experts_begin_with_coefficients_of_zero():
    for n_classes in (2, 3):
        params = LogisticExperts(n_classes=n_classes).init_params(2, 3)
        assert_array_equal(params.coef, np.zeros((2, n_classes, 3)))


def test_second_derivatives_of_families_are_symmetric_and_differences():
    for name in FAMILIES:
        family, y, predictor, theta = fitted_example(name)
        hessian = family.hessian(y, predictor, theta)
        assert hessian.shape == (1 + len(theta), 1 + len(theta), 1, 6)
        assert_array_equal(hessian, np.swapaxes(hessian, 0, 1))
        for i in range(1 + len(theta)):
            sides = []
            for step in (1e-4, -1e-4):
                moved = [predictor, *theta]
                moved[i] = moved[i] + step
                sides.append(family.gradient(y, moved[0], moved[1:]))
            slope = (sides[0] - sides[1]) / 2e-4
            assert_allclose(hessian[i], slope, rtol=1e-5, atol=1e-6, err_msg=name)


def test_sums_of_derivatives_are_those_of_each_row():
    rng = np.random.default_rng(0)
    weight = rng.uniform(size=(3, 1, 7))
    for n_dispersions in (0, 1, 2):
        first = [rng.normal(size=(3, 2, 7)) for _ in range(n_dispersions)]
        second = [[rng.normal(size=(3, 2, 7)) for _ in first] for _ in first]
        gradient, hessian = sums_of_derivatives(first, second, weight)
        leading = (3, 2) if n_dispersions else (3, 1)
        assert gradient.shape == (*leading, n_dispersions)
        assert hessian.shape == (*leading, n_dispersions, n_dispersions)
        for i in range(n_dispersions):
            assert_allclose(gradient[..., i], (weight * first[i]).sum(axis=-1))
            for j in range(n_dispersions):
                wanted = (weight * second[min(i, j)][max(i, j)]).sum(axis=-1)
                assert_allclose(hessian[..., i, j], wanted)


def test_equations_of_families_are_those_of_their_links():
    texts = {"identity": "y = x", "log": "expected y = exp(x)"}
    own = {"lognormal", "zero", "uniform", "ordinal"}
    for name, kind in FAMILIES.items():
        if name not in own:
            assert kind().equation("y", "x") == texts[kind.link], name
    assert FAMILIES["lognormal"]().equation("y", "x") == "median y = exp(x)"
    assert FAMILIES["zero"]().equation("y", "x") == "y = 0"
    assert example("ordinal").equation("y", "x") == "log odds of y > 1 = x"
    assert FAMILIES["ordinal"]().equation("y", "x") == "log odds of y > the first value = x"


def test_targets_of_initialisations_are_logarithms_under_a_log_link():
    """Of one more for counts, and of half the smallest positive value for values of zero."""
    y = np.array([[0.0, 1.0, 4.0, 2.0]])
    for name in FAMILIES:
        family = example(name)
        found = family.working_target(y)
        if family.is_count and family.link:
            assert_allclose(found, np.log1p(y), err_msg=name)
            assert_allclose(family.working_target(-y), np.zeros((1, 4)))
        elif family.link == "log":
            assert_allclose(found, np.log([[0.5, 1.0, 4.0, 2.0]]), err_msg=name)
        else:
            assert_array_equal(found, y, err_msg=name)


def test_initial_predictors_are_links_of_weighted_means():
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.2, 3.0, size=6)
    for name in FAMILIES:
        family, y, _, _ = fitted_example(name)
        found = family.initial_predictor(y[0], weight)
        average = np.average(y[0], weights=weight)
        if name == "lognormal":
            average = np.exp(np.average(np.log(y[0]), weights=weight))
        if name == "ordinal":
            share = np.average(y[0] > family.values[0], weights=weight)
            assert_allclose(found, np.log(share / (1.0 - share)))
        else:
            assert_allclose(found, np.log(average) if family.link == "log" else average)


def moved(theta, i, step):
    return [value + step * (j == i) for j, value in enumerate(theta)]


def test_derivatives_in_the_log_dispersions_are_differences():
    """Of linear predictors and of means that are given, and their sums over the rows."""
    step = 1e-4
    near = {"rtol": 1e-5, "atol": 1e-6}
    for name in FAMILIES:
        family, y, predictor, theta = fitted_example(name, 9)
        weight = np.random.default_rng(0).uniform(size=(1, 9))
        pairs = [(family.dispersion_derivatives, lambda at, predictor=predictor: predictor)]
        if family.link and family.takes_mean:
            mean = family.mean(predictor, theta)
            of_mean = family.predictor_of_mean
            assert_allclose(of_mean(mean, theta), predictor, atol=1e-12)
            pairs.append(
                (family.mean_dispersion_derivatives, lambda at, m=mean, f=of_mean: f(m, at))
            )
        for derivatives, predictor_at in pairs:
            first, second = derivatives(y, predictor, theta)
            assert len(first) == len(second) == len(theta)
            for i in range(len(theta)):
                up, down = moved(theta, i, step), moved(theta, i, -step)
                sides = [family.log_prob(y, predictor_at(at), at) for at in (up, down)]
                slope = (sides[0] - sides[1]) / (2.0 * step)
                assert_allclose(first[i], slope, err_msg=name, **near)
                sides = [derivatives(y, predictor_at(at), at)[0] for at in (up, down)]
                for j in range(len(theta)):
                    slope = (sides[0][j] - sides[1][j]) / (2.0 * step)
                    assert_allclose(second[i][j], slope, err_msg=name, **near)
        first, second = family.dispersion_derivatives(y, predictor, theta)
        gradient, hessian = family.dispersion_sums(y, predictor, theta, weight)
        for i in range(len(theta)):
            assert_allclose(gradient[..., i], (weight * first[i]).sum(axis=-1), rtol=1e-9)
            for j in range(len(theta)):
                wanted = (weight * second[i][j]).sum(axis=-1)
                assert_allclose(hessian[..., i, j], wanted, rtol=1e-7, atol=1e-12)
        cross = family.cross_derivatives(y, predictor, theta)
        for i in range(len(theta) if cross else 0):
            sides = [
                family.predictor_score(y, predictor, moved(theta, i, s)) for s in (step, -step)
            ]
            assert_allclose(cross[i], (sides[0] - sides[1]) / (2.0 * step), **near)


def test_densities_of_families_are_those_of_scipy():
    for name, family in FAMILIES.items():
        if not family.link:
            continue
        fitted, y, predictor, theta = fitted_example(name, 9)
        wanted = log_density(name, y, predictor, [np.exp(value) for value in theta])
        assert_allclose(fitted.log_prob(y, predictor, theta), wanted, rtol=1e-9, err_msg=name)
        part = fitted.components(predictor, theta)
        block, parameters = part.block()
        found = block.log_pdf(y.T, *(values[:, 0] for values in parameters))
        assert_allclose(found[:, 0], wanted[0], rtol=1e-9, err_msg=name)


def test_values_that_no_expert_can_have_made_have_no_density():
    for name in FAMILIES:
        family, y, predictor, theta = fitted_example(name)
        for value in (-3.0, -0.5, 0.0, 0.5, 1.0, 77.0):
            at = np.full((1, 6), value)
            possible = np.isfinite(family.log_prob(at, predictor, theta))
            assert_array_equal(possible, family.in_support(at), err_msg=f"{name} {value}")
        mixed = np.where(np.arange(6) % 2 == 0, y, -0.5)
        logs = family.log_prob(mixed, predictor, theta)
        alone = family.log_prob(y, predictor, theta)
        assert_array_equal(logs[:, ::2], alone[:, ::2])
