"""A family and a gate written from the documentation of the protocol alone.

Their fields have unusual names, they have exactly the required methods, and the family also has
methods that are called as those of experts which need all rows once were.
"""

import json
import pickle
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.experts import EXPERTS
from skmoe.gates import GATES
from skmoe.gates._averaged import AveragedGate, AverageParams
from skmoe.onnx import to_onnx
from skmoe.protocols import Experts, Gate


class Speed(NamedTuple):
    """Rate of each expert, (K,)."""

    per_hour: np.ndarray


class Sums(NamedTuple):
    weight: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class ExponentialExperts(Experts):
    """Exponential waiting times with one rate for each expert, whatever the features."""

    standardizes_target = False
    support = "non-negative numbers"

    def in_support(self, y):
        return (y >= 0).all(axis=0)

    def init_params(self, n_experts, n_columns):
        return Speed(np.ones(n_experts))

    def log_prob(self, params, design, y):
        rate = params.per_hour[:, None]
        return np.log(rate) - rate * y[0]

    def mean(self, params, design):
        return np.repeat(1.0 / params.per_hour[:, None, None], design.shape[0], axis=2)

    def statistics(self, params, design, y, resp):
        return Sums(resp.sum(axis=1), resp @ y[0])

    def m_step(self, statistics, factor, params, step):
        return Speed((statistics.weight + 1e-3) / (statistics.time + 1e-3))

    def project(self, params):
        return Speed(np.maximum(params.per_hour, 1e-9))

    def n_parameters(self, params):
        return len(params.per_hour)

    def release(self, params):
        raise AssertionError("not part of the protocol")

    def join(self, params):
        raise AssertionError("not part of the protocol")


class Pie(NamedTuple):
    """Logits of the slices in one row, (1, K)."""

    slices: np.ndarray


@dataclass(frozen=True)
class PieGate(Gate):
    """The same probabilities for all rows, with a weak Dirichlet prior of strength `alpha`."""

    alpha: float = 1.0

    def init_params(self, n_experts, n_columns):
        return Pie(np.zeros((1, n_experts)))

    def log_prob(self, params, design):
        logits = params.slices[0] - np.logaddexp.reduce(params.slices[0])
        return np.repeat(logits[:, None], design.shape[0], axis=1)

    def statistics(self, params, design, resp, log_prob):
        return Pie(resp.sum(axis=1)[None])

    def m_step(self, statistics, factor, params, step):
        return Pie(np.log(statistics.slices + self.alpha))

    def penalty(self, params):
        return -self.alpha * float((self.log_prob(params, np.ones((1, 1)))).sum())

    def n_parameters(self, params):
        return params.slices.shape[1] - 1


RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2))
Y = np.where(X[:, 0] > 0, 10.0, 0.5) * RNG.exponential(size=400)


def mixture(**options):
    options = {"expert": ExponentialExperts(), "random_state": 0, "alpha": 1.0} | options
    return MixtureOfExpertsRegressor(2, **options)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(EXPERTS, "exponential", {"regressor": ExponentialExperts})
    monkeypatch.setitem(GATES, "pie", PieGate)


@pytest.mark.parametrize("gate", ["softmax", PieGate()])
def test_minimal_parts_fit_and_predict(gate):
    moe = mixture(gate=gate).fit(X, Y)
    assert min(np.diff(moe.lower_bounds_)) > -1e-9
    assert np.isfinite(moe.score_samples(X, Y)).all()
    means = np.sort(moe.predict_experts(X[:1])[0])
    assert means[0] < 1.5
    assert means[1] > 5.0
    assert_allclose(moe.predict_gate(X).sum(axis=1), 1.0)
    assert_allclose(moe.responsibilities(X, Y).sum(axis=1), 1.0)
    assert np.isfinite([moe.aic(X, Y), moe.bic(X, Y), moe.icl(X, Y)]).all()
    same = pickle.loads(pickle.dumps(moe))
    assert (same.predict(X) == moe.predict(X)).all()


def test_minimal_parts_have_a_summary_and_an_explanation():
    moe = mixture(gate=PieGate()).fit(X, Y)
    text = str(moe.summary(X, Y))
    assert "ExponentialExperts" in text
    assert "PieGate" in text
    assert moe.explain(X).experts.shape == (400, 2)
    assert not hasattr(moe, "expert_coef_")
    assert not hasattr(moe, "link_")


def test_weights_are_repeats():
    weight = np.random.default_rng(1).integers(1, 4, size=400)
    weighted = mixture(gate=PieGate()).fit(X, Y, sample_weight=weight)
    repeated = mixture(gate=PieGate()).fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight))
    assert_allclose(weighted.predict(X), repeated.predict(X))


def test_several_fits_are_averaged():
    moe = mixture(gate=PieGate(), combine="average", n_init=3).fit(X, Y)
    assert moe.n_experts_ == 6
    assert_allclose(moe.predict_gate(X).sum(axis=1), 1.0)


def test_rows_come_in_blocks_and_fits_are_kept_in_a_file(tmp_path):
    whole = mixture(gate=PieGate()).fit(X, Y)
    blocks = RowBlocks(lambda: ((X[i : i + 90], Y[i : i + 90]) for i in range(0, 400, 90)))
    in_blocks = mixture(gate=PieGate()).fit(blocks)
    assert_allclose(in_blocks.lower_bound_, whole.lower_bound_, atol=1e-3)
    kept = fit_with_checkpoints(mixture(gate=PieGate()), X, Y, path=tmp_path / "fit", every=1)
    assert (kept.predict(X) == whole.predict(X)).all()


def test_the_number_of_experts_is_selected():
    moe = mixture(gate="softmax").set_params(n_experts="auto").fit(X, Y)
    assert moe.n_experts_ >= 2


@pytest.mark.usefixtures("registered")
def test_names_of_registered_parts_get_the_options_of_the_estimator():
    moe = mixture(expert="exponential", gate="pie", gate_alpha=50.0).fit(X, Y)
    weak = mixture(expert="exponential", gate="pie", gate_alpha=1e-3).fit(X, Y)
    assert abs(moe.weights_[0] - 0.5) < abs(weak.weights_[0] - 0.5)
    with pytest.raises(ValueError, match='expert="exponential" is a family for a regressor'):
        MixtureOfExpertsClassifier(2, expert="exponential").fit(X, Y > 1)


def test_an_average_of_gates_without_coefficients_has_none():
    gate = AveragedGate(PieGate(), None)
    params = AverageParams((gate.gate.init_params(3, 2),) * 2)
    assert gate.coefficients(params, 2) is None


def test_parts_that_are_no_dataclasses_have_no_options():
    class Plain(Experts):
        init_params = ExponentialExperts.init_params
        log_prob, mean = ExponentialExperts.log_prob, ExponentialExperts.mean
        statistics, m_step = ExponentialExperts.statistics, ExponentialExperts.m_step
        n_parameters = ExponentialExperts.n_parameters

    assert isinstance(Plain.from_options({"alpha": 3.0}), Plain)
    assert PieGate.from_options({"alpha": 3.0, "other": 1}) == PieGate(alpha=3.0)


def test_the_error_names_the_family_and_the_first_bad_row():
    bad = np.where(np.arange(400) == 17, -2.5, Y)
    with pytest.raises(ValueError, match=r"non-negative numbers .* row 17 holds -2.5"):
        mixture().fit(X, bad)
    # A row of weight zero is absent.
    mixture().fit(X, bad, sample_weight=(np.arange(400) != 17).astype(float))


@pytest.mark.parametrize(
    ("method", "missing"),
    [
        ("predict_dist", "components"),
        ("predict_interval", "components"),
        ("sample", "components"),
        ("inference", "score_rows"),
    ],
)
def test_what_a_family_cannot_do_is_refused_by_name(method, missing):
    moe = mixture().fit(X, Y)
    arguments = (X, Y) if method == "inference" else (X,)
    with pytest.raises(ValueError, match=rf"ExponentialExperts has no methods? {missing}"):
        getattr(moe, method)(*arguments)


def test_what_a_gate_cannot_do_is_refused_by_name():
    moe = MixtureOfExpertsRegressor(2, gate=PieGate(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"PieGate has no methods? score_rows"):
        moe.inference(X, Y)
    with pytest.raises(ValueError, match="PieGate"):
        to_onnx(moe, X[:1])
    with pytest.raises(ValueError, match="PieGate"):
        MixtureOfExpertsRegressor(2, gate=PieGate()).partial_fit(X, Y)


def test_streams_onnx_and_documents_are_refused_by_name():
    moe = mixture().fit(X, Y)
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as refusal:
        mixture().partial_fit(X, Y)
    assert "has no method streaming_size" in str(refusal.value.__cause__)
    with pytest.raises(ValueError, match="ExponentialExperts has no method to_onnx"):
        to_onnx(moe, X[:1])
    with pytest.raises(ValueError, match="ExponentialExperts"):
        moe.to_dict()
    with pytest.raises(ValueError, match="base needs experts with an identity link"):
        mixture(base=MixtureOfExpertsRegressor(1)).fit(X, Y)


def test_a_registered_family_with_named_parameters_is_written_and_read(monkeypatch):
    @dataclass(frozen=True)
    class SavedExperts(ExponentialExperts):
        @property
        def params_types(self):
            return (Speed,)

    monkeypatch.setitem(EXPERTS, "saved", {"regressor": SavedExperts})
    moe = mixture(expert="saved").fit(X, Y)
    same = MixtureOfExpertsRegressor.from_dict(json.loads(json.dumps(moe.to_dict())))
    assert (same.predict(X) == moe.predict(X)).all()
    assert (same.score_samples(X, Y) == moe.score_samples(X, Y)).all()


def test_parts_that_do_not_derive_from_the_protocol_are_refused():
    class Duck:
        def log_prob(self, params, design):
            raise AssertionError

    with pytest.raises(ValueError, match=r"gate must be one of .* derives"):
        MixtureOfExpertsRegressor(2, gate=Duck()).fit(X, Y)
    with pytest.raises(ValueError, match="expert must be one of"):
        MixtureOfExpertsRegressor(2, expert=Duck()).fit(X, Y)
    with pytest.raises(ValueError, match="expert must be a family for a classifier"):
        MixtureOfExpertsClassifier(2, expert=ExponentialExperts()).fit(X, Y > 1)
