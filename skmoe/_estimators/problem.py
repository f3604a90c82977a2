"""From an estimator and the user's data to a fit that is ready to run.

Everything that can be wrong is found here, before any work, and nothing of the estimator changes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skmoe._data.block_source import first_pass, make_block_source
from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_enough_rows
from skmoe._data.dask_chunks import is_dask
from skmoe._data.duplicates import unique_weighted_rows
from skmoe._data.encoding import category_codes, encoded_names
from skmoe._data.extra_features import BaseModelData, ExtraFeatures, fit_extra_features
from skmoe._data.folds import assign_folds
from skmoe._data.rows import Dataset, RawFeatures, make_dataset, select_raw_features, subset
from skmoe._data.scaling import Standardization, design_matrix, fit_standardization
from skmoe._estimators.capabilities import check_blocks_supported, supports_blocks
from skmoe._estimators.metadata_routing import make_routes
from skmoe._estimators.parameters import FitParameters, estimator_type, validate_parameters
from skmoe._estimators.training_data import (
    FitProblem,
    TrainingData,
    TrainingTarget,
    drop_zero_weight,
    validate_training_data,
    with_classes,
)
from skmoe._estimators.warm_start import (
    _add_warm_start,
    _cache_key,
    _cached,
    _resume,
    check_warm_start_params,
)
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.initialization import InitData, make_init_data
from skmoe._mixture.model import MixtureModel, responsibilities
from skmoe._mixture.multistart import EMProblem
from skmoe._numerics.typing import Array, Design
from skmoe.experts._named_estimators import resolve_estimators
from skmoe.experts._registry import EXPERTS
from skmoe.protocols import InMemoryExperts

# Tables of no more distinct rows are reduced to those, and their starts see all of them.
MAX_INIT_ROWS = 20_000

# Rows on which starts of larger tables are found: for each coefficient, and at the least.
INIT_ROWS_PER_COEFFICIENT = 15

MIN_INIT_ROWS = 5_000


def build_problem(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any = None,
    metadata: dict[str, Any] | None = None,
    classes: Array | None = None,
) -> FitProblem:
    """Check parameters and data and lay out the fit; of all `classes`, if given."""
    options = validate_parameters(estimator)
    if isinstance(X, np.memmap) and len(X) > MAX_INIT_ROWS and supports_blocks(estimator):
        X, y, sample_weight = RowBlocks.from_arrays(X, y, sample_weight), None, None
    if is_dask(X):
        X, y, sample_weight = RowBlocks.from_dask(X, y, sample_weight), None, None
    if isinstance(X, RowBlocks):
        return _build_from_blocks(estimator, options, X, y, sample_weight)
    data = validate_training_data(estimator, options, X, y, sample_weight, groups, metadata or {})
    data = data if classes is None else with_classes(data, classes)
    data = _merge_duplicates(_add_warm_start(estimator, drop_zero_weight(data)), options.n_experts)
    data, added = _add_extra_features(estimator, options, data)
    return _assemble(estimator, options, data, added)


def _build_from_blocks(
    estimator: Any, options: FitParameters, blocks: RowBlocks, y: Any, sample_weight: Any
) -> FitProblem:
    """A fit that goes through blocks, with starts on a sample of their rows."""
    check_blocks_supported(estimator, y, sample_weight)
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    found, probe = first_pass(blocks, estimator, MAX_INIT_ROWS, seed)
    X, y, weight = found.sample
    data = validate_training_data(estimator, options, X, y, weight, None, {}, found.names)
    if found.classes is not None:
        data = with_classes(data, found.classes)
    data = _add_warm_start(estimator, data._replace(known_scales=(found.scale, found.target)))
    problem = _assemble(estimator, options, _merge_duplicates(data, options.n_experts), None)
    if data.warm_start_from is not None:
        found = found._replace(scale=data.warm_start_from.scale, target=data.warm_start_from.target)
    rows = make_block_source(blocks, probe, found, data.columns)
    return problem._replace(em_problem=problem.em_problem._replace(rows=rows))


def _merge_duplicates(data: TrainingData, n_experts: int) -> TrainingData:
    """Find distinct rows, and leave those only if they are not many."""
    said = data.y.reshape(len(data.y), -1)
    if data.groups is not None:
        said = np.column_stack([said, np.unique(data.groups, return_inverse=True)[1]])
    if data.encoder is not None:  # rare categories are one to the gate, but not to the experts
        said = np.column_stack([said, category_codes(data.encoder, data.raw_X)])
    distinct, weight = unique_weighted_rows(data.X, said, data.weight)
    check_enough_rows(n_experts, len(distinct))
    if len(distinct) > MAX_INIT_ROWS or isinstance(data.init, np.ndarray) or data.metadata:
        return data._replace(unique_rows=(distinct, weight))
    return data.take(distinct)._replace(weight=weight)


def _add_extra_features(
    estimator: Any, options: FitParameters, data: TrainingData
) -> tuple[TrainingData, ExtraFeatures | None]:
    """Add the columns of a base and of the gate's transformer, and leave what the base leaves."""
    transformer = getattr(options.gate, "transformer", None)
    if estimator.base is None and transformer is None:
        return data, None
    uses_estimators = not isinstance(options.experts, str)
    names = data.attributes.get("feature_names_in_")
    if names is None:
        names = [f"x{j}" for j in range(data.attributes["n_features_in_"])]
    if data.encoder is not None:
        names = encoded_names(data.encoder, np.asarray(names, dtype=object))
    codes, classes = data.y, data.attributes.get("classes_")
    if classes is not None:  # that have rows of positive weight
        present, codes = np.unique(data.y, return_inverse=True)
        classes = classes[present]
    raw = data.raw_X if uses_estimators else data.X
    raw_features = BaseModelData(data.X, raw, codes, data.weight, data.groups, classes, list(names))
    seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
    extension = fit_extra_features(estimator.base, transformer, raw_features, *data.columns, seed)
    y = data.y
    if extension.told is not None and classes is None:
        y = data.y - extension.told.reshape(data.y.shape)
    columns = (
        extension.gate_columns,
        data.columns[1] if uses_estimators else extension.expert_columns,
    )
    return data._replace(X=extension.X, y=y, columns=columns), extension.extra_features


def _assemble(
    estimator: Any, options: FitParameters, data: TrainingData, added: ExtraFeatures | None
) -> FitProblem:
    uses_estimators = not isinstance(options.experts, str)
    raw_target = uses_estimators or uses_raw_target(estimator, options)
    target = estimator._make_target(data, standardise=not raw_target)
    warm_start_from = data.warm_start_from
    scale = _feature_standardization(data, target)
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    *seeds, sample_seed, fit_seed = np.random.SeedSequence(seed).spawn(options.n_init + 2)
    raw_features = (
        _raw_features(estimator, options, data, target, fit_seed) if uses_estimators else None
    )
    key = _cache_key(options, data, target) if uses_estimators and estimator.warm_start else None
    cache = _cached(estimator, key)
    if raw_features is not None and cache is not None:
        raw_features = raw_features._replace(fold=cache.fold)
    rows = make_dataset(data.X, scale, *data.columns, target.y, target.weight, raw_features)
    init_design = design_matrix(data.X, scale, None) if uses_estimators else None
    init_data = _make_init_data(
        data, target, rows, init_design, options.n_experts, np.random.default_rng(sample_seed)
    )
    experts = (
        _make_cross_fitted(
            estimator,
            options,
            data,
            raw_features,
            init_data,
            target.attributes.get("classes_"),
            fit_seed,
        )
        if raw_features is not None
        else estimator._make_experts(EXPERTS[str(options.experts)], init_data)
    )
    parts = MixtureModel(options.gate, experts, options.top_k, options.balance)
    init = data.init
    if warm_start_from is not None:
        check_warm_start_params(warm_start_from.params, parts, rows, options.n_experts)
        if cache is not None:
            init = cache.params
        elif isinstance(experts, InMemoryExperts):
            init = responsibilities(
                parts._replace(experts=warm_start_from.parts.experts), warm_start_from.params, rows
            )
    em_problem = EMProblem(
        parts, rows, init_data, options.n_experts, init, seeds, options.max_iter, options.tol
    )
    if warm_start_from is not None and init is warm_start_from.params:
        em_problem = _resume(em_problem, estimator)
    mixture = partial(
        FittedMixture,
        parts=parts,
        scale=scale,
        gate_columns=data.columns[0],
        expert_columns=data.columns[1],
        target=target.scale,
        encoder=data.encoder,
        extra_features=added,
    )
    shift = 0.0 if target.scale is None else -float(np.log(target.scale.scale).sum())
    return FitProblem(mixture, em_problem, shift, data.attributes | target.attributes, key)


def _feature_standardization(data: TrainingData, target: TrainingTarget) -> Standardization:
    if data.warm_start_from is not None:
        return data.warm_start_from.scale
    return (
        fit_standardization(data.X, target.weight)
        if data.known_scales is None
        else data.known_scales[0]
    )


def _raw_features(
    estimator: Any,
    options: FitParameters,
    data: TrainingData,
    target: TrainingTarget,
    seed: np.random.SeedSequence,
) -> RawFeatures:
    """The table of experts that are estimators, with the folds of cross-fitting."""
    codes = target.y if target.scale is None else None
    raw_features = select_raw_features(data.raw_X, data.columns[1])._replace(metadata=data.metadata)
    fold_seed = int(seed.generate_state(1)[0] % np.iinfo(np.int32).max)
    return assign_folds(raw_features, options.cross_fit, codes, data.groups, fold_seed)


def _make_cross_fitted(
    estimator: Any,
    options: FitParameters,
    data: TrainingData,
    raw_features: RawFeatures,
    init_data: InitData,
    classes: Array | None,
    seed: np.random.SeedSequence,
) -> InMemoryExperts:
    """Experts that are estimators."""
    assert isinstance(options.experts, list)
    categories = [] if data.encoder is None else data.encoder.categories
    if data.columns[1] is not None:
        categories = [i for i, j in enumerate(data.columns[1]) if j in categories]
    n_folds = 1 if raw_features.fold is None else int(raw_features.fold.max()) + 1
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=(options.n_experts, n_folds))
    return estimator._make_table_experts(
        init_data,
        estimators=resolve_estimators(
            options.experts,
            estimator_type(estimator),
            estimator._effective_alpha(),
            raw_features.X,
            categories,
        ),
        seeds=seeds,
        classes=classes,
        routes=make_routes(estimator, data.metadata, options.n_experts),
        out_of_bag=options.cross_fit == "oob",
        n_jobs=estimator.n_jobs,
    )


def uses_raw_target(estimator: Any, options: FitParameters) -> bool:
    family = EXPERTS[str(options.experts)][estimator_type(estimator)]
    return getattr(family, "raw_target", False)


def _make_init_data(
    data: TrainingData,
    target: TrainingTarget,
    rows: Dataset,
    init_design: Design | None,
    n_experts: int,
    rng: np.random.Generator,
) -> InitData:
    """The rows that starts look at: all, or a sample of the distinct ones."""
    if data.unique_rows is None:
        return make_init_data(rows, target.init_targets, init_design)
    index, weight = data.unique_rows
    # Estimators have no coefficients to count.
    size = (
        MAX_INIT_ROWS
        if init_design is not None
        else _init_sample_size(rows, target.init_targets, n_experts)
    )
    chosen = np.sort(rng.permutation(len(index))[:size])
    index, weight = index[chosen], weight[chosen]
    # Penalties are to weigh as much against the sample as against all rows.
    sample = subset(rows, index, weight * (target.weight.sum() / weight.sum()))
    return make_init_data(
        sample, target.init_targets[:, index], None if init_design is None else init_design[index]
    )


def _init_sample_size(rows: Dataset, init_targets: Array, n_experts: int) -> int:
    """Rows that tell starts apart: as many as the coefficients ask for."""
    n_columns = rows.gate_design.shape[1] + len(init_targets) * rows.expert_design.shape[1]
    wanted = int(INIT_ROWS_PER_COEFFICIENT * n_experts * n_columns)
    return min(max(wanted, MIN_INIT_ROWS), MAX_INIT_ROWS)
