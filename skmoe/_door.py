"""From an estimator and the user's data to a fit that is ready to run.

Everything that can be wrong is found here, before any work, and nothing of the estimator changes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import joblib
import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skmoe import _expert_validation, _stream_validation, _validation
from skmoe._em import Params, Parts, responsibilities
from skmoe._encoding import (
    Encoder,
    category_codes,
    encode,
    encoded_columns,
    is_frame,
    make_encoder,
)
from skmoe._mixture import Mixture, make_rows, raw_table
from skmoe._numerics import Array, Design
from skmoe._routing import make_routes
from skmoe._rows import RawTable, Rows, Scale, distinct_rows, make_design, standard_scale, take
from skmoe._rows import take_rows as take_table
from skmoe._search import Setup
from skmoe._source import make_source, survey
from skmoe._starts import STARTS, Table, make_table
from skmoe._tables import cross_fit_table, named_estimators
from skmoe.blocks import RowBlocks
from skmoe.experts import ESTIMATORS, EXPERTS
from skmoe.gates import GATES
from skmoe.protocols import Gate, TableExperts

# Rows on which starts are found; tables of no more distinct rows are reduced to those.
MOST_ROWS = 20_000


class Options(NamedTuple):
    """Checked parameters of the estimator."""

    n_experts: int
    experts: str | list[Any]  # a parametric family, or K names or estimators
    gate: Gate
    n_init: int
    max_iter: int
    tol: float
    cross_fit: int | str | bool
    top_k: int | None
    balance: float


class Data(NamedTuple):
    """Checked rows of positive weight."""

    X: Design  # in numbers
    y: Array  # numbers (n,) or (n, m), or codes of labels (n,)
    weight: Array
    begin: str | Array | Params
    raw: Any  # the table as given, for experts that take it so
    encoder: Encoder | None
    groups: Array | None
    metadata: dict[str, Array]
    distinct: tuple[Array, Array] | None  # rows of each kind and their weights, if many
    columns: tuple[Array | None, Array | None]  # of gate and experts
    previous: Mixture | None  # that a warm start goes on from
    attributes: dict[str, Any]
    all_classes: bool = False  # whether classes without rows are to stay
    scales: tuple[Scale, Scale | None] | None = None  # of features and outputs, if known

    def take(self, index: Array) -> Data:
        """Rows at an index."""
        return self._replace(
            X=self.X[index],
            y=self.y[index],
            weight=self.weight[index],
            begin=self.begin[:, index] if isinstance(self.begin, np.ndarray) else self.begin,
            raw=None if self.raw is None else take_table(self.raw, index),
            groups=None if self.groups is None else self.groups[index],
            metadata={name: values[index] for name, values in self.metadata.items()},
        )


class Target(NamedTuple):
    """The target as the parts want it."""

    y: Array  # outputs (m, n), or class codes (n,)
    signals: Array  # what starts look at: standardised outputs or class indicators (m, n)
    weight: Array
    scale: Scale | None  # of the outputs
    attributes: dict[str, Any]


class Memory(NamedTuple):
    """What experts that are estimators said in a fit, for the next one of the same data."""

    key: str | None  # of data and experts
    fold: Array | None
    params: Params


class Problem(NamedTuple):
    """A fit that is ready to run."""

    mixture: Callable[..., Mixture]  # of its `params`
    setup: Setup
    bound_shift: float  # from the lower bound of standardised outputs to the user's
    attributes: dict[str, Any]  # known before the fit
    key: str | None  # of data and experts, where a warm start may want to know them again


def open_door(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any = None,
    metadata: dict[str, Any] | None = None,
    classes: Array | None = None,
) -> Problem:
    """Check parameters and data and lay out the fit; of all `classes`, if given."""
    options = _check_options(estimator)
    if isinstance(X, np.memmap) and len(X) > MOST_ROWS and takes_blocks(estimator):
        X, y, sample_weight = RowBlocks.from_arrays(X, y, sample_weight), None, None
    if callable(getattr(X, "__dask_graph__", None)):
        X, y, sample_weight = RowBlocks.from_dask(X, y, sample_weight), None, None
    if isinstance(X, RowBlocks):
        return _open_blocks(estimator, options, X, y, sample_weight)
    data = _check_data(estimator, options, X, y, sample_weight, groups, metadata or {})
    data = data if classes is None else _of_classes(data, classes)
    data = _reduce(_warm(estimator, _present(data)), options.n_experts)
    return _lay_out(estimator, options, data)


def takes_blocks(estimator: Any) -> bool:
    """Whether rows may come in blocks."""
    return estimator.expert == "linear" and isinstance(estimator.init, str)


def _open_blocks(
    estimator: Any, options: Options, blocks: RowBlocks, y: Any, sample_weight: Any
) -> Problem:
    """A fit that goes through blocks, with starts on a sample of their rows."""
    _stream_validation.check_takes_blocks(estimator, y, sample_weight)
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    found, probe = survey(blocks, estimator, MOST_ROWS, np.random.default_rng(seed))
    X, y, weight = found.sample
    data = _check_data(estimator, options, X, y, weight, None, {}, found.names)
    if found.classes is not None:
        data = _of_classes(data, found.classes)
    data = _warm(estimator, data._replace(scales=(found.scale, found.target)))
    problem = _lay_out(estimator, options, _reduce(data, options.n_experts))
    if data.previous is not None:
        found = found._replace(scale=data.previous.scale, target=data.previous.target)
    rows = make_source(blocks, probe, found, data.columns)
    return problem._replace(setup=problem.setup._replace(rows=rows))


def _check_options(estimator: Any) -> Options:
    n_experts = _validation.check_integer("n_experts", estimator.n_experts, least=1)
    gate_alpha = _validation.check_real("gate_alpha", estimator.gate_alpha)
    _validation.check_real("alpha", estimator.alpha)
    _validation.check_flag("warm_start", estimator.warm_start)
    _validation.check_verbose(estimator.verbose)
    n_init = _validation.check_integer("n_init", estimator.n_init, least=1)
    _validation.check_combine(estimator.combine, n_init, estimator.init, estimator.warm_start)
    estimator._check_own_parameters()
    experts = _expert_validation.check_experts(
        estimator.expert, n_experts, _task(estimator), list(EXPERTS), list(ESTIMATORS)
    )
    cross_fit = _expert_validation.check_cross_fit(estimator.cross_fit)
    _expert_validation.check_out_of_bag(cross_fit, experts)
    return Options(
        n_experts,
        experts,
        _validation.resolve_gate(estimator.gate, GATES, gate_alpha, n_experts),
        n_init,
        _validation.check_integer("max_iter", estimator.max_iter, least=1),
        _validation.check_real("tol", estimator.tol),
        cross_fit,
        _validation.check_top_k(estimator.top_k, n_experts),
        _validation.check_real("balance", estimator.balance),
    )


def _check_data(
    estimator: Any,
    options: Options,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    metadata: dict[str, Any],
    names: Array | None = None,
) -> Data:
    probe = copy.copy(estimator)  # takes what scikit-learn's validation writes
    in_table = not isinstance(options.experts, str)
    if in_table and is_frame(X):
        X = validate_data(probe, X, skip_check_array=True)
        stand_in = np.zeros((X.shape[0], 1))
        _, y, attributes = estimator._validate_fit_data(copy.copy(estimator), stand_in, y)
    else:
        X, y, attributes = estimator._validate_fit_data(probe, X, y)
        X = _validation.as_csr(X)
    weight = _validation.check_weights(sample_weight, len(y))
    raw = X if in_table else None
    encoder = _make_encoder(estimator, X, weight) if in_table else None
    if encoder is not None:
        X = encode(encoder, X)
    n_features, names = probe.n_features_in_, getattr(probe, "feature_names_in_", names)
    gate_columns, expert_columns = (
        _validation.check_columns(name, getattr(estimator, name), n_features, names)
        for name in ("gate_features", "expert_features")
    )
    if encoder is not None:
        gate_columns = encoded_columns(encoder, gate_columns)
    begin = _validation.check_init(estimator.init, list(STARTS), len(y), options.n_experts)
    extras = _expert_validation.check_metadata({"groups": groups, **metadata}, len(y))
    _expert_validation.check_unused(extras, options.experts)
    attributes |= {"n_features_in_": n_features, "n_experts_": options.n_experts}
    if names is not None:
        attributes["feature_names_in_"] = names
    return Data(
        X,
        y,
        weight,
        begin if isinstance(begin, str) else begin.T,
        raw,
        encoder,
        extras.pop("groups", None),
        extras,
        None,
        (gate_columns, expert_columns),
        None,
        attributes,
    )


def _of_classes(data: Data, classes: Array) -> Data:
    """Rows of a part of the data, whose classes are known."""
    codes = _validation.class_codes(data.attributes["classes_"][data.y], classes)
    attributes = data.attributes | {"classes_": classes}
    return data._replace(y=codes, attributes=attributes, all_classes=True)


def _make_encoder(estimator: Any, X: Any, weight: Array) -> Encoder | None:
    """What makes numbers for the gate of a table that may hold other things."""
    takes_missing = _expert_validation.accepts_missing(estimator.expert)
    if not is_frame(X) and (sparse.issparse(X) or not takes_missing):
        return None
    encoder = make_encoder(X, weight, takes_missing)
    _expert_validation.check_numbers(estimator, X, encoder)
    return encoder


def _present(data: Data) -> Data:
    """Rows of positive weight: zero weight is absence."""
    present = np.flatnonzero(data.weight > 0.0)
    return data if len(present) == len(data.weight) else data.take(present)


def _warm(estimator: Any, data: Data) -> Data:
    """What a warm start goes on from."""
    previous = getattr(estimator, "_mixture", None) if estimator.warm_start else None
    if previous is None:
        return data
    _validation.check_same_width(data.X.shape[1], len(previous.scale.spread))
    return data._replace(previous=previous, begin=previous.params)


def _reduce(data: Data, n_experts: int) -> Data:
    """Find distinct rows, and leave those only if they are not many."""
    said = data.y.reshape(len(data.y), -1)
    if data.groups is not None:
        said = np.column_stack([said, np.unique(data.groups, return_inverse=True)[1]])
    if data.encoder is not None:  # rare categories are one to the gate, but not to the experts
        said = np.column_stack([said, category_codes(data.encoder, data.raw)])
    distinct, weight = distinct_rows(data.X, said, data.weight)
    _validation.check_enough_rows(n_experts, len(distinct))
    if len(distinct) > MOST_ROWS or isinstance(data.begin, np.ndarray) or data.metadata:
        return data._replace(distinct=(distinct, weight))
    return data.take(distinct)._replace(weight=weight)


def _lay_out(estimator: Any, options: Options, data: Data) -> Problem:
    in_table = not isinstance(options.experts, str)
    raw_target = in_table or _wants_raw_target(estimator, options)
    target = estimator._make_target(data, standardise=not raw_target)
    previous = data.previous
    scale = _scale(data, target)
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    *seeds, sample_seed, fit_seed = np.random.SeedSequence(seed).spawn(options.n_init + 2)
    table = _raw_rows(estimator, options, data, target, fit_seed) if in_table else None
    key = _key(options, data, target) if in_table and estimator.warm_start else None
    memory = _remembered(estimator, key)
    if table is not None and memory is not None:
        table = table._replace(fold=memory.fold)
    rows = make_rows(data.X, scale, *data.columns, target.y, target.weight, table)
    looks = make_design(data.X, scale, None) if in_table else None
    start_table = _start_table(data, target, rows, looks, np.random.default_rng(sample_seed))
    experts = (
        _table_experts(
            estimator,
            options,
            data,
            table,
            start_table,
            target.attributes.get("classes_"),
            fit_seed,
        )
        if table is not None
        else estimator._make_experts(EXPERTS[str(options.experts)], start_table)
    )
    parts = Parts(options.gate, experts, options.top_k, options.balance)
    begin = data.begin
    if previous is not None:
        _validation.check_continues(previous.params, parts, rows, options.n_experts)
        if memory is not None:
            begin = memory.params
        elif isinstance(experts, TableExperts):
            begin = responsibilities(
                parts._replace(experts=previous.parts.experts), previous.params, rows
            )
    setup = Setup(
        parts, rows, start_table, options.n_experts, begin, seeds, options.max_iter, options.tol
    )
    mixture = partial(
        Mixture,
        parts=parts,
        scale=scale,
        gate_columns=data.columns[0],
        expert_columns=data.columns[1],
        target=target.scale,
        encoder=data.encoder,
    )
    shift = 0.0 if target.scale is None else -float(np.log(target.scale.spread).sum())
    return Problem(mixture, setup, shift, data.attributes | target.attributes, key)


def _scale(data: Data, target: Target) -> Scale:
    if data.previous is not None:
        return data.previous.scale
    return standard_scale(data.X, target.weight) if data.scales is None else data.scales[0]


def _key(options: Options, data: Data, target: Target) -> str | None:
    """A digest of all that decides what experts say out of fold."""
    try:
        return joblib.hash(
            (
                (data.X, target.y, target.weight, data.groups, data.metadata, data.columns[1]),
                (options.experts, options.cross_fit),
            )
        )
    except Exception:  # experts that cannot be pickled are not known again
        return None


def _remembered(estimator: Any, key: str | None) -> Memory | None:
    memory = getattr(estimator, "_memory", None)
    return memory if key is not None and memory is not None and memory.key == key else None


def make_memory(problem: Problem, params: Params) -> Memory | None:
    """What is kept for a warm start, if there may be one."""
    if problem.key is None:
        return None
    return Memory(problem.key, problem.setup.rows.expert_design.fold, params)


def _raw_rows(
    estimator: Any, options: Options, data: Data, target: Target, seed: np.random.SeedSequence
) -> RawTable:
    """The table of experts that are estimators, with the folds of cross-fitting."""
    codes = target.y if target.scale is None else None
    table = raw_table(data.raw, data.columns[1])._replace(metadata=data.metadata)
    fold_seed = int(seed.generate_state(1)[0] % np.iinfo(np.int32).max)
    return cross_fit_table(table, options.cross_fit, codes, data.groups, fold_seed)


def _table_experts(
    estimator: Any,
    options: Options,
    data: Data,
    table: RawTable,
    start_table: Table,
    classes: Array | None,
    seed: np.random.SeedSequence,
) -> TableExperts:
    """Experts that are estimators."""
    assert isinstance(options.experts, list)
    categories = [] if data.encoder is None else data.encoder.categories
    if data.columns[1] is not None:
        categories = [i for i, j in enumerate(data.columns[1]) if j in categories]
    n_folds = 1 if table.fold is None else int(table.fold.max()) + 1
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=(options.n_experts, n_folds))
    return estimator._make_table_experts(
        start_table,
        estimators=named_estimators(
            options.experts, _task(estimator), float(estimator.alpha), table.X, categories
        ),
        seeds=seeds,
        classes=classes,
        routes=make_routes(estimator, data.metadata, options.n_experts),
        out_of_bag=options.cross_fit == "oob",
        n_jobs=estimator.n_jobs,
    )


def _wants_raw_target(estimator: Any, options: Options) -> bool:
    family = EXPERTS[str(options.experts)][_task(estimator)]
    return getattr(family, "raw_target", False)


def _task(estimator: Any) -> str:
    return "classifier" if is_classifier(estimator) else "regressor"


def _start_table(
    data: Data, target: Target, rows: Rows, looks: Design | None, rng: np.random.Generator
) -> Table:
    """The rows that starts look at: all, or a sample of the distinct ones."""
    if data.distinct is None:
        return make_table(rows, target.signals, looks)
    index, weight = data.distinct
    chosen = np.sort(rng.permutation(len(index))[:MOST_ROWS])
    index, weight = index[chosen], weight[chosen]
    # Penalties are to weigh as much against the sample as against all rows.
    sample = take(rows, index, weight * (target.weight.sum() / weight.sum()))
    return make_table(sample, target.signals[:, index], None if looks is None else looks[index])
