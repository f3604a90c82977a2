"""The EM problem of a fit: model, data and initial values, from an estimator and its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import joblib
import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from skmoe._data.blocks import RowBlocks
from skmoe._data.censored_targets import point_values
from skmoe._data.encoding import numeric_names
from skmoe._data.extra_features import ExtraFeatures, append_columns
from skmoe._data.preprocessing import (
    Preprocessor,
    design_matrix,
    fit_feature_range,
    fit_standardization,
    keeping_sparse,
)
from skmoe._data.row_checks import check_same_outputs, check_two_classes
from skmoe._data.rows import (
    SAMPLE_SEED,
    Dataset,
    Rows,
    has_bounds,
    select_raw_features,
)
from skmoe._estimators.parameters.conflicts import SIGNS, check_conflicts, chosen_options
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.tasks import Regression, TrainingTarget
from skmoe._estimators.rows.first_pass import MAX_INIT_ROWS, first_pass, rows_in_blocks
from skmoe._estimators.rows.training_data import (
    NO_OPTIONS,
    CrossFitCache,
    FitOptions,
    TrainingData,
    chosen_rows,
    merge_copies,
    present_rows,
    validate_training_data,
)
from skmoe._mixture.data import Data
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe._mixture.partitions import InitData, make_init_data, possible_experts, sample_of
from skmoe._mixture.starts import Problem
from skmoe._numerics.typing import Array, Design
from skmoe.experts._cross_fitted import Fits
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._named_estimators import resolve_estimators
from skmoe.protocols import Experts, Gate

# Number of rows for the initialisation on larger data sets: per coefficient, and minimum.
INIT_ROWS_PER_COEFFICIENT = 15
MIN_INIT_ROWS = 5_000

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
            theta = np.append(self.stacked_experts.start, theta)
        if mixture.experts.needs_all_rows:
            mixture = mixture.with_part("experts", mixture.experts.without_training_state())
        return FittedMixture(mixture, theta, self.preprocessor)


def build_problem(
    estimator: Any,
    params: FitParameters,
    given: Rows | TrainingData,
    options: FitOptions = NO_OPTIONS,
) -> FitProblem:
    """The EM problem of rows, which are checked here unless they are training data already.

    The estimator is not changed.
    """
    extra_features = None
    if isinstance(given, Rows):
        if type(given.X) is not np.ndarray:
            given = rows_in_blocks(given)
        if isinstance(given.X, RowBlocks):
            check_conflicts(chosen_options(estimator) | chosen_rows(params, given))
            return _build_from_blocks(estimator, params, given.X, options)
        given = validate_training_data(estimator, params, given)
    data = present_rows(params, given._replace(options=options))
    if options.previous is not None:
        data = _continue(params, data)
    data = merge_copies(params, data)
    if params.base is not None or params.gate.transformer is not None:
        data, extra_features = add_extra_features(params, data)
    return _assemble(params, data, extra_features)


def _build_from_blocks(
    estimator: Any, params: FitParameters, blocks: RowBlocks, options: FitOptions
) -> FitProblem:
    """EM problem for row blocks, with initialisation on a sample of the rows."""
    data, source = first_pass(estimator, params, blocks)
    data = data._replace(options=options)
    if options.previous is not None:
        data = _continue(params, data)
    problem = _assemble(params, merge_copies(params, data), None)
    source.preprocessor = problem.preprocessor
    return problem._replace(em_problem=problem.em_problem._replace(rows=source))


def add_extra_features(
    params: FitParameters, data: TrainingData
) -> tuple[TrainingData, ExtraFeatures]:
    """Append the outputs of base model and gate transformer to the features.

    The outputs y of a regression are replaced by the residuals of the base model; under a log link
    the logs of its predictions are added to the offset instead.
    """
    rows, X, attributes, prediction = data.rows, data.X, data.attributes, None
    names = numeric_names(
        attributes.get("feature_names_in_"), data.encoder, attributes["n_features_in_"]
    )
    is_log = params.family is not None and params.family.takes_offset
    extra = ExtraFeatures(
        X.shape[1],
        attributes.get("classes_"),
        transformer_columns=data.columns["gate"],
        link="log" if is_log else "identity",
    )
    seed = int(check_random_state(params.random_state).randint(MAX_SEED))
    if params.gate.transformer is not None:
        extra = extra.with_transformer(params.gate.transformer, rows, X, names)
    if params.base is not None:
        of_base = rows if params.uses_estimators else rows._replace(X=X)
        extra, prediction = extra.with_base(params.base, of_base, seed)
        if is_log:
            offset = prediction + (0.0 if rows.offset is None else rows.offset[:, None])
            rows = rows._replace(offset=offset)
        elif extra.classes is None:
            rows = rows._replace(y=rows.y - prediction.reshape(rows.y.shape))
    columns = extra.columns_of(data.columns, params.uses_estimators)
    X = append_columns(extra, X, prediction)
    return data._replace(rows=rows, X=X, columns=columns), extra


def _assemble(
    params: FitParameters, data: TrainingData, extra_features: ExtraFeatures | None
) -> FitProblem:
    """Standardise the data and assemble model, data set and initial values."""
    classes, previous = data.attributes.get("classes_"), data.options.previous
    target = params.task.make_target(data.rows, params.density, classes, data.target_scaling)
    feature_scaling, feature_range = data.feature_scaling, data.feature_range
    if feature_range is None:
        feature_range = fit_feature_range(data.rows.X, data.encoder)
    if feature_scaling is None:
        feature_scaling = fit_standardization(data.X, data.rows.weight)
    if sparse.issparse(data.X) and previous is None:
        feature_scaling = keeping_sparse(feature_scaling, data.dispersion_features)
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
        cache = None if previous is None else previous._training_state.cross_fit_cache
        cache = cache if key is not None and cache is not None and cache.key == key else None
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
        if data.unit_factor != 1.0:
            rows = rows.take(np.arange(len(first)), data.unit_factor)
    init_data = _make_init_data(params, target, rows, init_design)
    experts = _make_experts(params, data, target, rows, init_data, fit_seed)
    if rows.units is not None or rows.possible is not None:
        check_rows_are_possible(params, experts, rows)
    gate, of_gate = params.gate, (params.n_experts, rows.gate_design.shape[1])
    own_gate = OwnGate(gate, *of_gate) if isinstance(gate, Gate) else gate.gate_of(*of_gate)
    mixture = Mixture(experts, own_gate, top_k=gate.top_k, balance=gate.balance)
    em_problem = Problem(
        *(mixture, rows, init_data, init, seeds, params.max_iter, params.tol),
        penalties=tuple(penalty for penalty in params.penalties if penalty.search),
        ends_at_maximum=data.options.ends_at_maximum,
    )
    if previous is not None:
        em_problem = _warm_start(em_problem, params.penalties, previous, cache)
    attributes = data.attributes | {"n_experts_": params.n_experts}
    of_fit = em_problem, preprocessor, attributes, key
    return FitProblem(*of_fit, penalties=params.penalties)


def _make_init_data(
    params: FitParameters, target: TrainingTarget, rows: Dataset, init_design: Design | None
) -> InitData:
    """Rows for the initialisation: all rows, or a sample of many."""
    signed, targets, size = not params.task.is_classification, target.init_targets, MAX_INIT_ROWS
    if init_design is None:  # estimators have no coefficients
        n_columns = rows.gate_design.shape[1] + len(targets) * rows.expert_design.shape[1]
        wanted = int(INIT_ROWS_PER_COEFFICIENT * params.n_experts * n_columns)
        size = min(max(wanted, MIN_INIT_ROWS), MAX_INIT_ROWS)
    if rows.n_rows <= size:
        return make_init_data(rows, targets, init_design, signed=signed)
    kept = sample_of(rows, size, np.random.default_rng(SAMPLE_SEED))
    index = rows.rows_of(kept)
    # Penalties must have the same weight relative to the sample as to all rows.
    sample = rows.take(kept, rows.weight.sum() / rows.weight[index].sum())
    design = None if init_design is None else init_design[index]
    return make_init_data(sample, targets[:, index], design, signed=signed)


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
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=shape)
    fits = Fits(resolved, seeds, routes, data.attributes.get("classes_"), params.n_jobs)
    mean_family, estimates = params.mean_family or MeanFamily(), {}
    if isinstance(params.task, Regression):
        mean_family = replace(
            mean_family,
            shared_dispersion=params.task.shared_dispersion,
            dispersion_prior=params.task.dispersion_prior,
        )
        names = ("noise_variance", "variance_floor")
        estimates = params.task.estimates(init_data, names, noise_variance)
    return params.estimator_experts.of_rows(fits, rows, mean_family, estimates)


def check_rows_are_possible(params: FitParameters, experts: Experts, rows: Dataset) -> None:
    """Some expert must be possible for all rows of a unit, and for a row of which one is known."""
    possible = possible_experts(experts, rows)
    if possible is None or possible.any(axis=0).all():
        return
    impossible = ~possible.any(axis=0)
    first = int(impossible.argmax())
    codes = np.arange(rows.n_rows) if rows.units is None else rows.units.codes
    of_unit = np.unique(point_values(rows.y)[0, codes == first])
    values = ", ".join(f"{value:g}" for value in of_unit[:4])
    alone = possible_experts(experts, rows._replace(possible=None))
    if rows.possible is not None and (alone is None or alone[:, first].any()):
        named = ", ".join(str(k) for k in np.flatnonzero(rows.possible[:, first]))
        raise ValueError(
            f"known_experts must be experts that can have generated y; rows whose y is {values} "
            f"are of expert {named}, but these values are outside the support of its family. "
            "Correct known_experts, or set them to -1."
        )
    raise ValueError(
        f"units must have rows that are all possible under one expert; those of a unit whose y "
        f"has the values {values} are not for {params.family_name}. Use a family of all these "
        'values, such as family="negative_binomial" for counts with zeros, or no units.'
    )


# --- warm starts ------------------------------------------------------------------------------


# Private fitted attributes, which not every fit has.
PRIVATE_ATTRIBUTES = (
    *("_fitted", "_training_state", "_single_output"),
    *("_expert_names", "_row_arguments", "_load", "_gate_overlap", "_model_names"),
)


def cache_key(params: FitParameters, data: Any, target: Any) -> str | None:
    """Digest of everything that determines the out-of-fold predictions of the experts."""
    X, rows = data.X, data.rows
    # Sparse matrices also remember which of their properties were looked up.
    features = (X.shape, X.data, X.indices, X.indptr) if sparse.issparse(X) else X
    try:
        of_experts = params.estimators, params.cross_fit, params.mean_family
        return joblib.hash(
            (*rows._replace(X=features, y=target.y), data.columns["mean"], *of_experts)
        )
    except Exception:  # experts that cannot be pickled cannot be compared
        return None


def _continue(params: FitParameters, data: TrainingData) -> TrainingData:
    """Data of a warm start, with coefficients and scaling of the previous fit.

    Features and target must be of the kind of those of that fit.
    """
    previous, y, reason = data.options.previous, data.rows.y, ""
    before = previous._fitted.preprocessor
    scaling, classes = before.target_scaling, data.attributes.get("classes_")
    if data.X.shape[1] != before.n_features:
        reason = f"with {before.n_features} features; X has {data.X.shape[1]}"
    elif scaling is not None:
        # The target of a fit to censored y is in its own units.
        if has_bounds(y) and not ((scaling.center == 0.0) & (scaling.scale == 1.0)).all():
            reason = "to values of y, and y is censored"
        check_same_outputs(1 if y.ndim == 1 else y.shape[1], len(scaling.center))
    elif classes is not None:
        check_two_classes(classes)
        seen = previous.classes_.tolist()
        if classes.tolist() != seen:  # numbers and texts may be compared
            reason = f"with classes {seen}; y has {classes.tolist()}"
    if reason:
        raise ValueError(
            f"warm_start=True continues a fit {reason}. Set warm_start=False to start again."
        )
    names = {name: vars(previous)[name] for name in ("_expert_names",) if hasattr(previous, name)}
    return data._replace(
        init=previous._fitted.theta,
        attributes=data.attributes | names,
        feature_scaling=before.feature_scaling,
        target_scaling=scaling if params.standardizes_target else data.target_scaling,
    )


def _warm_start(
    problem: Problem,
    penalties: tuple[Penalty, ...],
    previous: Any,
    cache: CrossFitCache | None,
) -> Problem:
    """EM problem with the initial values of a previous fit.

    Penalties that it has found are kept if it has converged, and else their search goes on.
    """
    fitted = previous._fitted
    for name in ("experts", "gate"):
        one, other = getattr(fitted.mixture, name), getattr(problem.mixture, name)
        if type(one) is not type(other) or one.size != other.size:
            raise ValueError(
                f"warm_start=True continues a fit whose {name} had parameters of shapes "
                f"{one.size}; n_experts={problem.mixture.n_experts} and the data want "
                f"{other.size}. Set warm_start=False to start again."
            )
    searches = zip(penalties, previous._training_state.penalty_searches, strict=True)
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
    if previous.converged_:
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
