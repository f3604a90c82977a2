"""Learning from a stream of batches: what both estimators share of `partial_fit`."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.utils.validation import validate_data

from skmoe import _mixture, _online, _stream_validation, _validation
from skmoe._callbacks import FitTask, SilentContext
from skmoe._door import Problem, open_door
from skmoe._em import Params, Parts
from skmoe._mixture import Mixture, make_rows
from skmoe._numerics import LARGEST_GRAM, Array, Design, log_normalise
from skmoe._online import Stream
from skmoe._progress import Listener
from skmoe._rows import Rows, in_blocks
from skmoe._search import search
from skmoe._softmax import DENSE_NEWTON

# Iterations of EM on the first batch: it is a start, and not the whole of the data.
FIRST_ITERATIONS = 30
# Rows with which starts are looked for: a stream is kept as a table until it has as many, and
# begins anew whenever it has twice as many rows as at the last search.
EARLY_ROWS = 4000
# Log-likelihood of these rows that a new start must gain: less is luck.
LEAST_GAIN = 10.0
# Attributes that the first batch decides.
KNOWN = ("n_features_in_", "n_experts_", "feature_names_in_", "classes_", "_single_output")


class Early(NamedTuple):
    """All rows of a stream that is still short, as `_check_batch` gives them."""

    X: Design
    y: Array
    weight: Array
    searched: int = 0  # rows at the last search for starts

    def joined(self, other: Early) -> Early:
        """With the rows of another batch."""
        stack = sparse.vstack if sparse.issparse(self.X) else np.concatenate
        return self._replace(
            X=stack([self.X, other.X]),
            y=np.concatenate([self.y, other.y], axis=-1),
            weight=np.concatenate([self.weight, other.weight]),
        )


class State(NamedTuple):
    """What `partial_fit` has come to."""

    known: dict[str, Any]  # fitted attributes
    mixture: Mixture  # its parameters are not those of the stream
    stream: Stream
    rows: Rows  # of the last batch


def can_stream(estimator: Any) -> bool:
    """Whether `partial_fit` is on offer; its absence says why."""
    if not isinstance(estimator.expert, str) or estimator.expert != "linear":
        raise AttributeError(
            f'partial_fit needs expert="linear"; got {estimator.expert!r}. Experts that are '
            "estimators need all rows at once: use fit, on a sample of the rows if need be."
        )
    weights = getattr(estimator, "class_weight", None)
    if isinstance(weights, str) and weights == "balanced":
        raise AttributeError(
            'partial_fit cannot know class_weight="balanced" before the end of the stream. Pass '
            "the weights of the classes as a dict."
        )
    return True


class StreamingMixin:
    """The work of `partial_fit`, whose arguments differ between the estimators."""

    _stream: Stream | None
    _mixture: Mixture

    def _learn(self: Any, X, y, sample_weight, classes: Array | None = None):
        half_life = _stream_validation.check_half_life(self.half_life)
        _stream_validation.check_streams(self)
        if getattr(self, "_stream", None) is None:
            state, early = self._first_batch(X, y, sample_weight, classes)
        else:
            _stream_validation.check_same_experts(self.n_experts, self.n_experts_)
            batch = Early(*self._check_batch(X, y, sample_weight))
            state, early = self._next_batch(batch, half_life), getattr(self, "_early", None)
            if early is not None:
                state, early = self._search_again(state, early.joined(batch), batch)
        if early is not None and len(early.weight) >= min(EARLY_ROWS, half_life):
            early = None
        known, mixture, stream, rows = state
        share, load, _ = _mixture.usage(stream.parts, stream.average, in_blocks(rows))
        make_mixture = partial(mixture._replace, parts=stream.parts)
        bound = stream.bound - _log_spread(mixture)
        self._adopt(
            self._attributes(make_mixture, known, stream.average)
            | {
                "_memory": None,
                "_place": None,
                "_stream": stream,
                "_early": early,
                "weights_": share,
                "load_": load,
                "lower_bound_": bound,
                "lower_bounds_": np.array([bound]),
                "start_lower_bounds_": np.array([bound]),
                "start_traces_": [np.array([bound])],
                "n_iter_": stream.n_batches,
                "converged_": False,
            }
        )
        return self

    def _first_batch(
        self: Any, X, y, sample_weight, classes: Array | None
    ) -> tuple[State, Early | None]:
        probe = copy.copy(self)
        probe.warm_start = hasattr(self, "_mixture")  # a fit is gone on from
        state, batch = self._begin(probe, X, y, sample_weight, classes, None)
        searched = batch._replace(searched=len(batch.weight))
        return state, None if probe.warm_start else searched

    def _search_again(self: Any, state: State, early: Early, batch: Early) -> tuple[State, Early]:
        """A stream that begins anew with all of its rows, if that explains them better."""
        n_rows = len(early.weight)
        if n_rows < min(2 * early.searched, EARLY_ROWS):
            return state, early
        known, mixture, stream, _ = state
        before = mixture._replace(params=stream.average)
        probe = copy.copy(self)
        for name in ("_mixture", "feature_names_in_"):  # the rows are arrays now
            vars(probe).pop(name, None)
        probe.warm_start = False
        probe.gate_features, probe.expert_features = mixture.gate_columns, mixture.expert_columns
        X, y, weight, _ = early
        classes = known.get("classes_")
        if classes is None:
            y = y[0] if self._single_output else y.T
        else:  # whose weights are in those of the rows
            y, probe.class_weight = classes[y], None
        anew, _ = self._begin(probe, X, y, weight, classes, before)
        early = early._replace(searched=n_rows)
        if _log_likelihood(anew, early) < _log_likelihood(state, early) + LEAST_GAIN:
            return state, early
        bound = stream.bound - _log_spread(mixture) + _log_spread(anew.mixture)
        stream = anew.stream._replace(n_batches=stream.n_batches, bound=bound)
        return State(known, anew.mixture, stream, _rows_of(anew.mixture, batch)), early

    def _begin(
        self: Any, probe: Any, X, y, sample_weight, classes: Array | None, before: Mixture | None
    ) -> tuple[State, Early]:
        """A stream of the rows so far, by parameters of a probe, which may know a fit.

        Experts are numbered like those of a mixture before.
        """
        problem = open_door(probe, X, y, sample_weight, classes=classes)
        setup = problem.setup
        _check_width(setup.parts, setup.rows, setup.n_experts, classes)
        params = setup.begin if isinstance(setup.begin, Params) else self._start(problem)
        mixture = problem.mixture(params=params)
        for name, value in (problem.attributes | {"_mixture": mixture}).items():
            setattr(probe, name, value)
        batch = Early(*probe._check_batch(X, y, sample_weight))
        X, y, weight, _ = batch
        if before is not None:
            params = _renumbered(params, _explained(mixture, batch), _explained(before, batch))
            mixture = mixture._replace(params=params)
        features = _online.moments_of(X, weight)
        outputs = None if mixture.target is None else _online.moments_of(y.T, weight)
        stream = _online.begin(setup.parts, params, setup.rows, features, outputs)
        return State(problem.attributes, mixture, stream, setup.rows), batch

    def _start(self: Any, problem: Problem) -> Params:
        """Parameters that a short search finds on the first batch."""
        setup = problem.setup._replace(max_iter=min(self.max_iter, FIRST_ITERATIONS))
        task = FitTask(self, SilentContext(), {})
        listener = Listener(task, "start", lambda run: {}, problem.bound_shift, 0)
        run, _ = search(setup, [listener] * len(setup.seeds), listener, self.n_jobs)
        return run.params

    def _next_batch(self: Any, batch: Early, half_life: float) -> State:
        X, y, weight, _ = batch
        mixture, stream = self._mixture, self._stream
        keep = 0.5 ** (weight.sum() / half_life)
        features = _online.joined(stream.features, _online.moments_of(X, weight), keep)
        scale = _online.feature_scale(features, X)
        outputs, target, output_move = stream.outputs, mixture.target, None
        if outputs is not None:
            outputs = _online.joined(outputs, _online.moments_of(y.T, weight), keep)
            target = _online.output_scale(outputs)
            output_move = _online.move_between(mixture.target, target)
        columns = mixture.gate_columns, mixture.expert_columns
        stream = _online.moved(
            stream._replace(features=features, outputs=outputs),
            _online.move_between(mixture.scale, scale),
            columns,
            output_move,
        )
        known = {name: vars(self)[name] for name in KNOWN if name in vars(self)}
        mixture = mixture._replace(scale=scale, target=target)
        rows = _rows_of(mixture, batch)
        return State(known, mixture, _online.learn(stream, rows), rows)

    def _check_batch(self: Any, X, y, sample_weight) -> tuple[Design, Array, Array]:
        """Rows of positive weight: features, outputs (m, n) or class codes (n,), and weights."""
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64)
        X = _validation.as_csr(X)
        y = _validation.check_same_length(X, self._validate_new_target(y))
        weight = _validation.check_weights(sample_weight, X.shape[0])
        if hasattr(self, "classes_"):
            weight = _validation.class_weights(self.class_weight, self.classes_, y, weight)
        present = np.flatnonzero(weight > 0.0)
        return X[present], y[..., present], weight[present]


def _log_spread(mixture: Mixture) -> float:
    """From log densities of the standardised target to those in its own units, to be subtracted."""
    return 0.0 if mixture.target is None else float(np.log(mixture.target.spread).sum())


def _rows_of(mixture: Mixture, batch: Early) -> Rows:
    """The rows of a batch on the scale of the mixture."""
    X, y, weight, _ = batch
    if mixture.target is not None:
        center, spread = mixture.target
        y = (y - center[:, None]) / spread[:, None]
    columns = mixture.gate_columns, mixture.expert_columns
    return make_rows(X, mixture.scale, *columns, y, weight)


def _explained(mixture: Mixture, early: Early) -> Array:
    """Responsibilities of the experts for the early rows, times the roots of weights, (K, n)."""
    resp, _ = log_normalise(_mixture.log_joint(mixture, early.X, early.y))
    return resp * np.sqrt(early.weight)


def _renumbered(params: Params, explained: Array, before: Array) -> Params:
    """Parameters in the order in which experts explain most of the rows that they did before."""
    _, order = linear_sum_assignment(before @ explained.T, maximize=True)
    return Params(*(type(part)(*(values[order] for values in part)) for part in params))


def _log_likelihood(state: State, early: Early) -> float:
    """Log-likelihood of the early rows."""
    said = state.mixture._replace(parts=state.stream.parts, params=state.stream.average)
    return float(early.weight @ _mixture.log_density(said, early.X, early.y))


def _check_width(parts: Parts, rows: Rows, n_experts: int, classes: Array | None) -> None:
    """Matrices of the width of the table are kept: they must be small enough to be formed."""
    n_gate, n_columns = rows.gate_design.shape[1], rows.expert_design.shape[1]
    gate_size = (n_experts - 1) * n_gate if hasattr(parts.gate, "alpha") else 0
    expert_size = n_columns if classes is None else (len(classes) - 1) * n_columns
    _stream_validation.check_stream_size("gate_features", gate_size, DENSE_NEWTON)
    most = LARGEST_GRAM if classes is None else DENSE_NEWTON
    _stream_validation.check_stream_size("expert_features", expert_size, most)
