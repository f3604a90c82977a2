"""From an estimator and the user's data to a fit that is ready to run.

Everything that can be wrong is found here, before any work, and nothing of the estimator changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.utils import check_random_state

from skmoe import _stream_validation, _validation
from skmoe._augment import Added
from skmoe._em import Params, Parts, responsibilities
from skmoe._encoding import (
    category_codes,
    encoded_names,
)
from skmoe._extension import Table as Extended
from skmoe._extension import extend
from skmoe._intake import Data, Options, check_data, check_options, of_classes, present, task_of
from skmoe._lazy import is_lazy
from skmoe._mixture import Mixture, make_rows, raw_table
from skmoe._numerics import Array, Design
from skmoe._routing import make_routes
from skmoe._rows import RawTable, Rows, Scale, distinct_rows, make_design, standard_scale, take
from skmoe._search import Setup
from skmoe._source import make_source, survey
from skmoe._starts import Table, make_table
from skmoe._tables import cross_fit_table, named_estimators
from skmoe.blocks import RowBlocks
from skmoe.experts import EXPERTS
from skmoe.protocols import TableExperts

# Tables of no more distinct rows are reduced to those, and their starts see all of them.
MOST_ROWS = 20_000
# Rows on which starts of larger tables are found: for each coefficient, and at the least.
ROWS_PER_COEFFICIENT = 15
FEWEST_ROWS = 5_000


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
    options = check_options(estimator)
    if isinstance(X, np.memmap) and len(X) > MOST_ROWS and takes_blocks(estimator):
        X, y, sample_weight = RowBlocks.from_arrays(X, y, sample_weight), None, None
    if is_lazy(X):
        X, y, sample_weight = RowBlocks.from_dask(X, y, sample_weight), None, None
    if isinstance(X, RowBlocks):
        return _open_blocks(estimator, options, X, y, sample_weight)
    data = check_data(estimator, options, X, y, sample_weight, groups, metadata or {})
    data = data if classes is None else of_classes(data, classes)
    data = _reduce(_warm(estimator, present(data)), options.n_experts)
    data, added = _extend(estimator, options, data)
    return _lay_out(estimator, options, data, added)


def takes_blocks(estimator: Any) -> bool:
    """Whether rows may come in blocks."""
    plain = _stream_validation.is_plain(estimator)
    return plain and estimator.expert == "linear" and isinstance(estimator.init, str)


def _open_blocks(
    estimator: Any, options: Options, blocks: RowBlocks, y: Any, sample_weight: Any
) -> Problem:
    """A fit that goes through blocks, with starts on a sample of their rows."""
    _stream_validation.check_takes_blocks(estimator, y, sample_weight)
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    found, probe = survey(blocks, estimator, MOST_ROWS, seed)
    X, y, weight = found.sample
    data = check_data(estimator, options, X, y, weight, None, {}, found.names)
    if found.classes is not None:
        data = of_classes(data, found.classes)
    data = _warm(estimator, data._replace(scales=(found.scale, found.target)))
    problem = _lay_out(estimator, options, _reduce(data, options.n_experts), None)
    if data.previous is not None:
        found = found._replace(scale=data.previous.scale, target=data.previous.target)
    rows = make_source(blocks, probe, found, data.columns)
    return problem._replace(setup=problem.setup._replace(rows=rows))


def _warm(estimator: Any, data: Data) -> Data:
    """What a warm start goes on from."""
    previous = getattr(estimator, "_mixture", None) if estimator.warm_start else None
    if previous is None:
        return data
    n_before = len(previous.scale.spread) if previous.added is None else previous.added.n_features
    _validation.check_same_width(data.X.shape[1], n_before)
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


def _extend(estimator: Any, options: Options, data: Data) -> tuple[Data, Added | None]:
    """Add the columns of a base and of the gate's transformer, and leave what the base leaves."""
    transformer = getattr(options.gate, "transformer", None)
    if estimator.base is None and transformer is None:
        return data, None
    in_table = not isinstance(options.experts, str)
    names = data.attributes.get("feature_names_in_")
    if names is None:
        names = [f"x{j}" for j in range(data.attributes["n_features_in_"])]
    if data.encoder is not None:
        names = encoded_names(data.encoder, np.asarray(names, dtype=object))
    codes, classes = data.y, data.attributes.get("classes_")
    if classes is not None:  # that have rows of positive weight
        present, codes = np.unique(data.y, return_inverse=True)
        classes = classes[present]
    raw = data.raw if in_table else data.X
    table = Extended(data.X, raw, codes, data.weight, data.groups, classes, list(names))
    seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
    extension = extend(estimator.base, transformer, table, *data.columns, seed)
    y = data.y
    if extension.told is not None and classes is None:
        y = data.y - extension.told.reshape(data.y.shape)
    columns = extension.gate_columns, data.columns[1] if in_table else extension.expert_columns
    return data._replace(X=extension.X, y=y, columns=columns), extension.added


def _lay_out(estimator: Any, options: Options, data: Data, added: Added | None) -> Problem:
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
    start_table = _start_table(
        data, target, rows, looks, options.n_experts, np.random.default_rng(sample_seed)
    )
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
    if previous is not None and begin is previous.params:
        setup = _go_on(setup, estimator)
    mixture = partial(
        Mixture,
        parts=parts,
        scale=scale,
        gate_columns=data.columns[0],
        expert_columns=data.columns[1],
        target=target.scale,
        encoder=data.encoder,
        added=added,
    )
    shift = 0.0 if target.scale is None else -float(np.log(target.scale.spread).sum())
    return Problem(mixture, setup, shift, data.attributes | target.attributes, key)


def _go_on(setup: Setup, estimator: Any) -> Setup:
    """From the very place where the last fit ended.

    A fit that is kept as it runs counts the iterations before its interruption as its own.
    """
    place = getattr(estimator, "_place", None)
    kept = getattr(estimator, "_keep", None) is not None
    return setup._replace(place=place, earlier=place.past if kept and place is not None else ())


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
            options.experts, task_of(estimator), estimator._penalty(), table.X, categories
        ),
        seeds=seeds,
        classes=classes,
        routes=make_routes(estimator, data.metadata, options.n_experts),
        out_of_bag=options.cross_fit == "oob",
        n_jobs=estimator.n_jobs,
    )


def _wants_raw_target(estimator: Any, options: Options) -> bool:
    family = EXPERTS[str(options.experts)][task_of(estimator)]
    return getattr(family, "raw_target", False)


def _start_table(
    data: Data,
    target: Target,
    rows: Rows,
    looks: Design | None,
    n_experts: int,
    rng: np.random.Generator,
) -> Table:
    """The rows that starts look at: all, or a sample of the distinct ones."""
    if data.distinct is None:
        return make_table(rows, target.signals, looks)
    index, weight = data.distinct
    # Estimators have no coefficients to count.
    size = MOST_ROWS if looks is not None else _sample_size(rows, target.signals, n_experts)
    chosen = np.sort(rng.permutation(len(index))[:size])
    index, weight = index[chosen], weight[chosen]
    # Penalties are to weigh as much against the sample as against all rows.
    sample = take(rows, index, weight * (target.weight.sum() / weight.sum()))
    return make_table(sample, target.signals[:, index], None if looks is None else looks[index])


def _sample_size(rows: Rows, signals: Array, n_experts: int) -> int:
    """Rows that tell starts apart: as many as the coefficients ask for."""
    n_columns = rows.gate_design.shape[1] + len(signals) * rows.expert_design.shape[1]
    wanted = int(ROWS_PER_COEFFICIENT * n_experts * n_columns)
    return min(max(wanted, FEWEST_ROWS), MOST_ROWS)
