"""Learning from a stream of batches: what both estimators share of `partial_fit`."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from skmoe import _mixture, _online, _stream_validation, _validation
from skmoe._callbacks import FitTask, SilentContext
from skmoe._door import Problem, open_door
from skmoe._em import Params, Parts
from skmoe._mixture import Mixture, make_rows
from skmoe._numerics import LARGEST_GRAM, Array, Design
from skmoe._online import Stream
from skmoe._progress import Listener
from skmoe._rows import Rows, in_blocks
from skmoe._search import search
from skmoe._softmax import DENSE_NEWTON

# Iterations of EM on the first batch: it is a start, and not the whole of the data.
FIRST_ITERATIONS = 30
# Attributes that the first batch decides.
KNOWN = ("n_features_in_", "n_experts_", "feature_names_in_", "classes_", "_single_output")


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
            known, mixture, stream, rows = self._first_batch(X, y, sample_weight, classes)
        else:
            _stream_validation.check_same_experts(self.n_experts, self.n_experts_)
            known, mixture, stream, rows = self._next_batch(X, y, sample_weight, half_life)
        share, load, _ = _mixture.usage(stream.parts, stream.average, in_blocks(rows))
        make_mixture = partial(mixture._replace, parts=stream.parts)
        bound = stream.bound
        if mixture.target is not None:
            bound -= float(np.log(mixture.target.spread).sum())
        self._adopt(
            self._attributes(make_mixture, known, stream.average)
            | {
                "_memory": None,
                "_place": None,
                "_stream": stream,
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
    ) -> tuple[dict[str, Any], Mixture, Stream, Rows]:
        probe = copy.copy(self)
        probe.warm_start = hasattr(self, "_mixture")  # a fit is gone on from
        problem = open_door(probe, X, y, sample_weight, classes=classes)
        setup = problem.setup
        _check_width(setup.parts, setup.rows, setup.n_experts, classes)
        params = setup.begin if isinstance(setup.begin, Params) else self._start(problem)
        mixture = problem.mixture(params=params)
        for name, value in (problem.attributes | {"_mixture": mixture}).items():
            setattr(probe, name, value)
        X, y, weight = probe._check_batch(X, y, sample_weight)
        features = _online.moments_of(X, weight)
        outputs = None if mixture.target is None else _online.moments_of(y.T, weight)
        stream = _online.begin(setup.parts, params, setup.rows, features, outputs)
        return problem.attributes, mixture, stream, setup.rows

    def _start(self: Any, problem: Problem) -> Params:
        """Parameters that a short search finds on the first batch."""
        setup = problem.setup._replace(max_iter=min(self.max_iter, FIRST_ITERATIONS))
        task = FitTask(self, SilentContext(), {})
        listener = Listener(task, "start", lambda run: {}, problem.bound_shift, 0)
        run, _ = search(setup, [listener] * len(setup.seeds), listener, self.n_jobs)
        return run.params

    def _next_batch(
        self: Any, X, y, sample_weight, half_life: float
    ) -> tuple[dict[str, Any], Mixture, Stream, Rows]:
        X, y, weight = self._check_batch(X, y, sample_weight)
        mixture, stream = self._mixture, self._stream
        keep = 0.5 ** (weight.sum() / half_life)
        features = _online.joined(stream.features, _online.moments_of(X, weight), keep)
        scale = _online.feature_scale(features, X)
        outputs, target, output_move = stream.outputs, mixture.target, None
        if outputs is not None:
            outputs = _online.joined(outputs, _online.moments_of(y.T, weight), keep)
            target = _online.output_scale(outputs)
            output_move = _online.move_between(mixture.target, target)
            y = (y - target.center[:, None]) / target.spread[:, None]
        columns = mixture.gate_columns, mixture.expert_columns
        stream = _online.moved(
            stream._replace(features=features, outputs=outputs),
            _online.move_between(mixture.scale, scale),
            columns,
            output_move,
        )
        rows = make_rows(X, scale, *columns, y, weight)
        known = {name: vars(self)[name] for name in KNOWN if name in vars(self)}
        return (
            known,
            mixture._replace(scale=scale, target=target),
            _online.learn(stream, rows),
            rows,
        )

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


def _check_width(parts: Parts, rows: Rows, n_experts: int, classes: Array | None) -> None:
    """Matrices of the width of the table are kept: they must be small enough to be formed."""
    n_gate, n_columns = rows.gate_design.shape[1], rows.expert_design.shape[1]
    gate_size = (n_experts - 1) * n_gate if hasattr(parts.gate, "alpha") else 0
    expert_size = n_columns if classes is None else (len(classes) - 1) * n_columns
    _stream_validation.check_stream_size("gate_features", gate_size, DENSE_NEWTON)
    most = LARGEST_GRAM if classes is None else DENSE_NEWTON
    _stream_validation.check_stream_size("expert_features", expert_size, most)
