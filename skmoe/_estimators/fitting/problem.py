"""Build the EM problem (model, data, initial values) from an estimator and user data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from skmoe._data.blocks import RowBlocks
from skmoe._data.encoding import numeric_names
from skmoe._data.extra_features import ExtraFeatureOptions, ExtraFeatures, fit_extra_features
from skmoe._data.first_pass import BlockChecker, first_pass, make_block_source
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import Dataset, Rows, has_bounds, select_raw_features, subset_units
from skmoe._data.scaling import (
    design_matrix,
    fit_feature_range,
    fit_standardization,
    keeping_sparse,
)
from skmoe._data.sklearn_adapter import with_standardised_target
from skmoe._estimators.parameters.conflicts import SIGNS, check_conflicts, chosen_options
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.tasks import Regression, TrainingTarget, identity_scaling
from skmoe._estimators.rows.target_values import check_support
from skmoe._estimators.rows.training_data import (
    MAX_INIT_ROWS,
    NO_OPTIONS,
    FitOptions,
    TrainingData,
    chosen_rows,
    make_init_rows,
    merge_copies,
    present_rows,
    rows_in_blocks,
    validate_offset,
    validate_training_data,
    with_class_weights,
    with_classes,
)
from skmoe._estimators.rows.units_and_known_experts import (
    check_known_experts,
    check_rows_are_possible,
    check_units_of_block,
)
from skmoe._estimators.rows.warm_start import (
    CrossFitCache,
    PreviousFit,
    cache_key,
    cached_fit,
    check_continued,
    check_warm_start,
)
from skmoe._mixture.data import Data
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.learners import LearnedExperts
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe._mixture.partitions import InitData
from skmoe._mixture.starts import Problem
from skmoe._numerics.typing import Array
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._named_estimators import resolve_estimators
from skmoe.protocols import Experts, Gate

# Seeds are drawn below this number.
MAX_SEED = np.iinfo(np.int32).max


class FitProblem(NamedTuple):
    """EM problem, preprocessor and fitted attributes of a fit."""

    em_problem: Problem
    preprocessor: Preprocessor
    attributes: dict[str, Any]  # fitted attributes that do not depend on EM
    cache_key: str | None  # of the out-of-fold predictions; None without warm start
    # Experts of new rows, where those of the EM problem are given densities.
    stacked_experts: Any = None
    penalties: tuple[Penalty, ...] = ()

    def make_fitted(self, theta: Array, mixture: Mixture | None = None) -> FittedMixture:
        """The fitted mixture with given coefficients, and optionally another mixture."""
        mixture = mixture or self.em_problem.mixture
        if self.stacked_experts is not None:
            mixture = mixture.with_part("experts", self.stacked_experts)
        if mixture.experts.needs_all_rows:
            mixture = mixture.with_part("experts", mixture.experts.without_training_state())
        return FittedMixture(mixture, theta, self.preprocessor)


def build_problem(
    estimator: Any,
    params: FitParameters,
    given: Rows | TrainingData,
    options: FitOptions = NO_OPTIONS,
) -> FitProblem:
    """The EM problem of rows, which are validated here unless they are training data already.

    The estimator is not changed.
    """
    if isinstance(given, Rows):
        if type(given.X) is not np.ndarray:
            given = rows_in_blocks(estimator, params, given)
        if isinstance(given.X, RowBlocks):
            check_conflicts(chosen_options(estimator) | chosen_rows(params, given))
            return _build_from_blocks(estimator, params, given.X, options)
        given = validate_training_data(estimator, params, given)
    data, extra_features = present_rows(params, given._replace(options=options)), None
    if options.previous is not None:
        data = _continue(data, options.previous)
    data = merge_copies(params, data)
    if params.base is not None or params.gate.transformer is not None:
        data, extra_features = add_extra_features(params, data)
    return _assemble(params, data, extra_features)


def _build_from_blocks(
    estimator: Any, params: FitParameters, blocks: RowBlocks, options: FitOptions
) -> FitProblem:
    """EM problem for row blocks, with initialisation on a sample of the rows."""
    task = params.task
    checks = (
        partial(check_support, params),
        partial(validate_offset, params),
        partial(check_units_of_block, params),
        partial(check_known_experts, n_experts=params.n_experts),
    )
    checker = BlockChecker(task.is_classification, *checks)
    summary = first_pass(blocks, checker, task.class_weight, MAX_INIT_ROWS)
    data = validate_training_data(estimator, params, summary.sample, summary.names)
    if summary.classes is not None:
        data = with_classes(data, summary.classes)
    else:  # the sample may hold values only, where the target of all rows has bounds
        data = data._replace(rows=data.rows._replace(y=summary.sample.y))
    data = with_class_weights(replace(task, class_weight=summary.class_weights), data)
    has_units = params.standardizes_target and not has_bounds(summary.sample.y)
    if summary.target_scaling is not None and not has_units:
        identity = identity_scaling(len(summary.target_scaling.center))
        summary = summary._replace(target_scaling=identity)
    if sparse.issparse(data.X):
        scaling = keeping_sparse(summary.feature_scaling, data.dispersion_features)
        summary = summary._replace(feature_scaling=scaling)
    n_units = {} if summary.n_units is None else {"n_units_": summary.n_units}
    n_known = {"n_known_": summary.n_known} if summary.n_known else {}
    attributes = data.attributes | n_units | n_known
    attributes["_row_arguments"] = tuple(sorted(summary.row_arguments))
    data = data._replace(first_pass=summary, attributes=attributes, options=options)
    if options.previous is not None:
        data = _continue(data, options.previous)
    problem = _assemble(params, merge_copies(params, data), None)
    rows = make_block_source(blocks, checker, problem.preprocessor, summary)
    return problem._replace(em_problem=problem.em_problem._replace(rows=rows))


def _continue(data: TrainingData, previous: PreviousFit) -> TrainingData:
    """Data of a warm start, with the parameters of the previous fit in the place of `init`."""
    check_continued(data, previous)
    names = previous.expert_names
    attributes = data.attributes | ({} if names is None else {"_expert_names": names})
    return data._replace(init=previous.fitted.theta, attributes=attributes)


def add_extra_features(
    params: FitParameters, data: TrainingData
) -> tuple[TrainingData, ExtraFeatures]:
    """Append the outputs of base model and gate transformer to the features.

    The outputs y of a regression are replaced by the residuals of the base model; under a log link
    the logs of its predictions are added to the offset instead.
    """
    transformer, rows = params.gate.transformer, data.rows
    classes, n_features = data.attributes.get("classes_"), data.attributes["n_features_in_"]
    X, prediction, columns, extra_features = fit_extra_features(
        params.base,
        transformer,
        rows if params.uses_estimators else rows._replace(X=data.X),
        data.X,
        ExtraFeatureOptions(
            data.columns,
            classes,
            numeric_names(data.attributes.get("feature_names_in_"), data.encoder, n_features),
            "log" if params.family is not None and params.family.takes_offset else "identity",
            int(check_random_state(params.random_state).randint(MAX_SEED)),
        ),
    )
    if prediction is not None and extra_features.link == "log":
        offset = prediction + (0.0 if rows.offset is None else rows.offset[:, None])
        rows = rows._replace(offset=offset)
    elif prediction is not None and classes is None:
        rows = rows._replace(y=rows.y - prediction.reshape(rows.y.shape))
    if params.uses_estimators:
        columns = columns | {"mean": data.columns["mean"]}
    return data._replace(rows=rows, X=X, columns=columns), extra_features


def _assemble(
    params: FitParameters, data: TrainingData, extra_features: ExtraFeatures | None
) -> FitProblem:
    """Standardise the data and assemble model, data set and initial values."""
    blocks, classes, options = data.first_pass, data.attributes.get("classes_"), data.options
    previous = options.previous
    target_scaling = None if blocks is None else blocks.target_scaling
    if previous is not None and params.standardizes_target:
        target_scaling = previous.fitted.preprocessor.target_scaling
    target = params.task.make_target(data.rows, params.density, classes, target_scaling)
    if blocks is not None:
        feature_scaling, feature_range = blocks.feature_scaling, blocks.feature_range
    else:
        feature_range = fit_feature_range(data.rows.X, data.encoder)
        if previous is None:
            feature_scaling = fit_standardization(data.X, data.rows.weight)
            if sparse.issparse(data.X):
                feature_scaling = keeping_sparse(feature_scaling, data.dispersion_features)
    if previous is not None:
        feature_scaling = previous.fitted.preprocessor.feature_scaling
    preprocessor = Preprocessor(
        feature_scaling,
        target.scaling,
        data.columns["gate"],
        data.columns["mean"],
        uses_raw_features=params.uses_estimators,
        encoder=data.encoder,
        extra_features=extra_features,
        feature_range=feature_range,
    )
    seed = int(check_random_state(params.random_state).randint(MAX_SEED))
    *seeds, fit_seed = np.random.SeedSequence(seed).spawn(params.n_init + 1)
    key, cache, raw_features, init_design = None, None, None, None
    if params.uses_estimators:
        key = cache_key(params, data, target) if params.warm_start else None
        cache = cached_fit(previous, key)
        raw_features = select_raw_features(data.rows, data.columns["mean"])
        codes = target.y if params.task.is_classification else None
        fold_seed = int(fit_seed.generate_state(1)[0] % MAX_SEED)
        raw_features = params.assign_folds(raw_features, codes, params.cross_fit, fold_seed)
        if cache is not None:
            raw_features = raw_features._replace(fold=cache.fold)
        init_design = design_matrix(data.X, feature_scaling, None)
    rows = preprocessor.assemble(data.X, target.y, data.rows, raw_features)
    init, unit = data.init, data.rows.unit
    if unit is not None:
        rows = preprocessor.group_by_unit(rows, unit)
        _, first = np.unique(unit, return_index=True)
        init = init[:, first] if not isinstance(init, str) and init.ndim == 2 else init
        if blocks is not None and blocks.sample_factor != 1.0:
            rows = subset_units(rows, np.arange(len(first)), blocks.sample_factor)
    init_data = make_init_rows(params, target, rows, init_design)
    experts = _make_experts(params, data, target, rows, init_data, fit_seed)
    if rows.units is not None or rows.possible is not None:
        check_rows_are_possible(params, experts, rows)
    gate, of_gate = params.gate, (params.n_experts, rows.gate_design.shape[1])
    own_gate = OwnGate(gate, *of_gate) if isinstance(gate, Gate) else gate.gate_of(*of_gate)
    mixture = Mixture(experts, own_gate, top_k=gate.top_k, balance=gate.balance)
    em_problem = Problem(
        *(mixture, rows, init_data, init, seeds, params.max_iter, params.tol),
        penalties=tuple(penalty for penalty in params.penalties if penalty.search),
        ends_at_maximum=options.ends_at_maximum,
    )
    if previous is not None:
        em_problem = _warm_start(em_problem, params.penalties, previous, cache)
    attributes = data.attributes | {"n_experts_": params.n_experts}
    of_fit = em_problem, preprocessor, attributes, key
    return FitProblem(*of_fit, penalties=params.penalties)


def _warm_start(
    problem: Problem,
    penalties: tuple[Penalty, ...],
    previous: PreviousFit,
    cache: CrossFitCache | None,
) -> Problem:
    """EM problem with the initial values of a previous fit.

    Penalties that it has found are kept if it has converged, and else their search goes on.
    """
    fitted = previous.fitted
    check_warm_start(fitted, problem.mixture)
    searches = zip(penalties, previous.training_state.penalty_searches, strict=True)
    new = [penalty for penalty, search in searches if penalty.search != search]
    known = tuple(penalty for penalty in problem.penalties if penalty not in new)
    mixture = problem.mixture
    if cache is not None:  # what the experts have learned goes with the penalties that were found
        mixture = mixture.with_part("experts", cache.experts)
    for name in ("gate", "experts"):
        part, found = getattr(mixture, name), getattr(fitted.mixture, name).penalties
        fields = [field for p in known if p.part == name for field in p.fields if field in found]
        mixture = mixture.with_part(
            name, part.with_penalties({field: found[field] for field in fields})
        )
    if previous.converged:
        others = tuple(penalty for penalty in new if penalty.search)
        problem = problem._replace(mixture=mixture, penalties=others)
    if problem.penalties:  # their search goes on from the penalties that were found
        problem = problem._replace(previous=mixture)
    if cache is not None:
        mixture = problem.mixture.with_part("experts", cache.experts)
        return problem._replace(mixture=mixture, init=cache.theta)
    if problem.mixture.experts.needs_all_rows:
        mixture = problem.mixture.with_part("experts", fitted.mixture.experts)
        resp = mixture.responsibilities(fitted.theta[None], Data(problem.rows))[0]
        return problem._replace(init=resp[:, 0])
    # Where other slopes or signs are chosen now, the fit begins at the nearest coefficients.
    return problem._replace(init=problem.mixture.projected(fitted.theta))


def _make_experts(
    params: FitParameters,
    data: TrainingData,
    target: TrainingTarget,
    rows: Dataset,
    init_data: InitData,
    seed: np.random.SeedSequence,
) -> Any:
    """The family with options estimated from the data, or cross-fitted estimators."""
    noise_variance = data.options.noise_variance
    family: Any = params.family
    n_classes = len(data.attributes.get("classes_", ()))
    if data.signs and n_classes > 2:
        check_conflicts({SIGNS: SIGNS, "more than two classes": f"{n_classes} classes"})
    if family is not None and not isinstance(family, Experts):
        names = ("noise_variance", "variance_floor") if family.has_scale else ("n_classes",)
        estimates = params.task.estimates(init_data, names, noise_variance)
        own = {"slopes": data.slopes, "signs": data.signs}
        own["dispersion_columns"] = data.dispersion_columns
        own = {option: values for option, values in own.items() if values}
        return family.experts_of(rows, target.scaling, params.n_experts, estimates, own)
    if family is not None:
        estimates = params.task.estimates(init_data, family.estimated_options, noise_variance)
        family = family.with_estimates(estimates)
        family = family.fitted_to(rows.expert_design, rows.y, rows.weight, target.scaling)
        return OwnExperts(family, params.n_experts, rows.expert_design.shape[1])
    assert params.estimators is not None
    estimators, routes = params.estimators, data.routes
    if len(estimators) == 1:
        estimators, routes = estimators * params.n_experts, routes * params.n_experts
    raw_features = rows.expert_design
    categories = [] if data.encoder is None else data.encoder.categorical_columns
    columns = data.columns["mean"]
    if columns is not None:
        categories = [i for i, j in enumerate(columns) if j in categories]
    n_folds = 1 if raw_features.fold is None else int(raw_features.fold.max()) + 1
    shape = params.n_experts, n_folds + params.estimator_experts.n_fits_to_all_rows
    resolved = resolve_estimators(
        estimators, params.task.name, params.alpha, raw_features.X, categories
    )
    options: dict[str, Any] = dict(
        estimators=resolved,
        seeds=np.random.default_rng(seed).integers(2**31 - 1, size=shape),
        classes=data.attributes.get("classes_"),
        routes=routes,
        n_jobs=params.n_jobs,
    )
    if isinstance(params.task, Regression):
        names = ("noise_variance", "variance_floor")
        of_task = {
            "shared_dispersion": params.task.shared_dispersion,
            "dispersion_prior": params.task.dispersion_prior,
        } | params.task.estimates(init_data, names, noise_variance)
        exposure = None if raw_features.offset is None else np.exp(raw_features.offset)
        mean_family = params.mean_family or MeanFamily()
        options["mean_family"] = mean_family.fitted_to(rows.y, rows.weight, of_task, exposure)
        if mean_family.link == "identity":
            options["estimators"] = tuple(map(with_standardised_target, resolved))
    return LearnedExperts(params.estimator_experts(**options), params.n_experts)
