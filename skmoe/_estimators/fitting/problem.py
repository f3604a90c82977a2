"""The EM problem of a fit: model, data and initial values; and the attributes of what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skmoe._data import preprocessing
from skmoe._data import rows as row_data
from skmoe._data.blocks import RowBlocks
from skmoe._data.censored_targets import has_entry, point_values
from skmoe._data.checks import has_bounds
from skmoe._data.preprocessing import ExtraFeatures, Preprocessor
from skmoe._data.rows import SAMPLE_SEED, Dataset, Rows, assign_folds, is_dask, select_raw_features
from skmoe._data.series import cut_series, make_series
from skmoe._data.sklearn_adapter import LOSSES, has_density, special_loss
from skmoe._estimators.fitting.callbacks import FitTask
from skmoe._estimators.parameters import parameters
from skmoe._estimators.parameters.conflicts import SIGNS, check_conflicts, chosen_options
from skmoe._estimators.parameters.parameters import FitParameters, TrainingTarget
from skmoe._estimators.parameters.parts import with_outcomes
from skmoe._estimators.rows import training_data
from skmoe._estimators.rows.first_pass import MAX_INIT_ROWS, first_pass, rows_in_blocks
from skmoe._estimators.rows.training_data import FitOptions, TrainingData, TrainingState
from skmoe._inference.inference import Maxima
from skmoe._inference.labels import describe_dependence, describe_spikes, printable_name
from skmoe._mixture.dependence import unit_correlation
from skmoe._mixture.em import Run, aitken_gap
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.fitted import FittedMixture, Usage, n_needed_experts, spikes
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe._mixture.partitions import InitData, make_init_data, possible_experts, sample_of
from skmoe._mixture.search import COUNTED_SEARCHES, MAX_REINITIALIZATIONS, Found
from skmoe._mixture.starts import Problem, blocks_of
from skmoe._numerics.evidence import is_dropped
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.exceptions import (
    CollapsedExpertsWarning,
    DegenerateExpertWarning,
    NumberOfExpertsWarning,
    OptionWarning,
    UnreplicatedMaximumWarning,
    warn_user,
)
from skmoe.experts._cross_fitted import Fits, MeanFamily
from skmoe.experts._named_estimators import named_pipeline
from skmoe.families._random_effects import RandomEffects, variance_within_units
from skmoe.protocols import Experts, Gate

# Number of rows for the initialisation on larger data sets: per coefficient, and minimum.
INIT_ROWS_PER_COEFFICIENT, MIN_INIT_ROWS = 15, 5_000

# Most rows of a piece of a series on which starts are compared.
PIECE_OF_STARTS = 200

# Default number of starts that run side by side, of small tables, where they are cheap, and of wide
# ones. Largest product of experts, rows and coefficients of a predictor of a small table, and, with
# the rows of the starts, of one that is not wide.
N_STARTS, N_STARTS_OF_SMALL, N_STARTS_OF_WIDE = 16, 36, 8
MAX_SMALL, MAX_NOT_WIDE = 10_000, 1_000_000

# Seeds are drawn below this number.
MAX_SEED = np.iinfo(np.int32).max


class FitProblem(NamedTuple):
    """EM problem, preprocessor and fitted attributes of a fit."""

    em_problem: Problem
    preprocessor: Preprocessor
    attributes: dict[str, Any]  # fitted attributes that do not depend on EM
    # Experts of new rows, where those of the EM problem are given densities.
    stacked_experts: Any = None
    penalties: tuple[Penalty, ...] = ()

    def make_fitted(self, theta: Array, mixture: Mixture | None = None) -> FittedMixture:
        """The fitted mixture with given coefficients, and optionally another mixture."""
        mixture = mixture or self.em_problem.mixture
        if self.stacked_experts is not None:
            mixture = mixture.with_parts(experts=self.stacked_experts)
            theta = np.append(self.stacked_experts.start, theta)
        if mixture.experts.needs_all_rows:
            mixture = mixture.with_parts(experts=mixture.experts.without_training_state())
        return FittedMixture(mixture, theta, self.preprocessor)


def build_problem(
    estimator: Any,
    params: FitParameters,
    given: Rows | TrainingData,
    options: FitOptions = training_data.NO_OPTIONS,
) -> FitProblem:
    """The EM problem of rows, which are checked here unless they are training data already.

    The estimator is not changed. Row blocks have an initialisation on a sample of the rows.
    """
    extra_features, source = None, None
    if isinstance(given, Rows) and type(given.X) is not np.ndarray:
        given = rows_in_blocks(given)
    if isinstance(given, Rows) and isinstance(given.X, RowBlocks):
        check_conflicts(chosen_options(estimator) | training_data.chosen_rows(params, given))
        data, source = first_pass(estimator, params, given.X)
        data = data._replace(options=options)
    else:
        if isinstance(given, Rows):
            given = training_data.validate_training_data(estimator, params, given)
        if "output_names_" in given.attributes:
            params = with_outcomes(params, given.rows.y, given.attributes["output_names_"])
        data = training_data.present_rows(params, given._replace(options=options))
    if options.previous is not None:
        data = _continue(params, data)
    data = training_data.merge_copies(params, data)
    if params.expert_parameter == "estimators" and data.rows.unit is None:
        # Models count rows, and what folds hold out must not be all rows of a value of y.
        n_copies = training_data.n_separate_copies(data)
        index = np.repeat(np.arange(len(n_copies)), n_copies)
        data = data.select(index, (data.rows.weight / n_copies)[index])
    if params.base is not None or params.gate.transformer is not None:
        data, extra_features = add_extra_features(params, data)
    problem = _assemble(params, data, extra_features)
    if source is None:
        return problem
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
    given, n_features = attributes.get("feature_names_in_"), attributes["n_features_in_"]
    names = row_data.feature_labels(given, n_features, data.encoder)
    is_log = params.family is not None and params.family.takes_offset
    extra = ExtraFeatures(X.shape[1], attributes.get("classes_"), None, data.columns["gate"])
    extra = extra._replace(link="log") if is_log else extra
    seed = int(check_random_state(params.random_state).randint(MAX_SEED))
    if params.gate.transformer is not None:
        extra = extra.with_transformer(params.gate.transformer, rows, X, names)
    if params.base is not None:
        seen = rows if params.uses_estimators else rows._replace(X=X)
        extra, prediction = extra.with_base(params.base, seen, seed, data.options.n_base_folds)
        if is_log:
            offset = prediction + (0.0 if rows.offset is None else rows.offset[:, None])
            rows = rows._replace(offset=offset)
        elif extra.classes is None:
            rows = rows._replace(y=rows.y - prediction.reshape(rows.y.shape))
    columns = extra.columns_of(data.columns, params.uses_estimators)
    X = preprocessing.append_columns(extra, X, prediction)
    return data._replace(rows=rows, X=X, columns=columns), extra


def _assemble(
    params: FitParameters, data: TrainingData, extra_features: ExtraFeatures | None
) -> FitProblem:
    """Standardise the data and assemble model, data set and initial values."""
    classes, previous = data.attributes.get("classes_"), data.options.previous
    target = parameters.make_target(data.rows, params.density, classes, data.target_scaling)
    feature_range = data.feature_range
    if feature_range is None:
        feature_range = preprocessing.fit_feature_range(data.rows.X, data.encoder)
    scaling = data.feature_scaling or preprocessing.fit_standardization(data.X, data.rows.weight)
    if sparse.issparse(data.X) and previous is None:
        # The transitions that are reported are those at the means of the gate's columns.
        every, chosen = np.arange(data.X.shape[1]), data.columns["gate"]
        of_gate = () if not params.gate.persists else every if chosen is None else chosen
        scaling = preprocessing.keeping_sparse(scaling, [*of_gate, *data.dispersion_features])
    preprocessor = Preprocessor(
        scaling,
        target.scaling,
        data.columns["gate"],
        data.columns["mean"],
        uses_raw_features=params.uses_estimators,
        encoder=data.encoder,
        extra_features=extra_features,
        feature_range=feature_range,
        counts_units=bool(data.random_columns),
    )
    if data.rows.n_values is not None:
        n_values = np.average(data.rows.n_values, weights=data.rows.weight)
        preprocessor = preprocessor._replace(log_n=float(np.log(n_values)))
    seed = int(check_random_state(params.random_state).randint(MAX_SEED))
    n_coef = params.n_experts * (data.X.shape[1] + 1)
    is_wide = n_coef * min(data.X.shape[0], 2 * INIT_ROWS_PER_COEFFICIENT * n_coef) > MAX_NOT_WIDE
    has_many = n_coef * data.X.shape[0] <= MAX_SMALL or data.random_columns  # regimes overlap
    n_default = N_STARTS_OF_SMALL if has_many else N_STARTS_OF_WIDE if is_wide else N_STARTS
    *seeds, fit_seed = np.random.SeedSequence(seed).spawn((params.n_init or n_default) + 1)
    raw_features, init_design = None, None
    if params.uses_estimators:
        raw_features = select_raw_features(data.rows, data.columns["mean"])
        codes = target.y if params.task.is_classification else None
        own_seed = int(fit_seed.generate_state(1)[0] % MAX_SEED)
        stack = params.expert_parameter == "estimators"
        raw_features = assign_folds(raw_features, codes, params.cross_fit, own_seed, of_stack=stack)
        init_design = preprocessing.design_matrix(data.X, scaling, None)
    rows = preprocessor.assemble(data.X, target.y, data.rows, raw_features)
    init, unit = data.init, data.rows.unit
    if unit is not None:
        rows = preprocessor.group_by_unit(rows, unit)
        _, first = np.unique(unit, return_index=True)
        init = init[:, first] if not isinstance(init, str) and init.ndim == 2 else init
    if data.unit_factor != 1.0:
        rows = rows.take(np.arange(rows.n_apart), data.unit_factor)
    # The initialisation has all rows, or a sample of many.
    targets, size, sample = target.init_targets, MAX_INIT_ROWS, rows
    if init_design is None:  # estimators have no coefficients
        n_columns = rows.gate_design.shape[1] + len(targets) * rows.expert_design.shape[1]
        wanted = int(INIT_ROWS_PER_COEFFICIENT * params.n_experts * n_columns)
        size = min(max(wanted, MIN_INIT_ROWS), MAX_INIT_ROWS)
    if rows.n_rows > size:
        if rows.series is not None:  # of which starts compare pieces
            codes = cut_series(rows.series.codes, PIECE_OF_STARTS)
            sample = rows._replace(series=make_series(codes, rows.gate_weight))
        kept = sample_of(sample, size, np.random.default_rng(SAMPLE_SEED))
        index = sample.rows_of(kept)
        # Penalties must have the same weight relative to the sample as to all rows.
        sample = sample.take(kept, rows.weight.sum() / rows.weight[index].sum())
        init_design = None if init_design is None else init_design[index]
        targets = targets[:, index]
    signed = not params.task.is_classification
    init_data = make_init_data(sample, targets, init_design, signed=signed)
    experts = _make_experts(params, data, target, rows, init_data, fit_seed)
    if rows.units is not None or rows.possible is not None:
        check_rows_are_possible(params, experts, rows)
    gate, shape = params.gate, (params.n_experts, rows.gate_design.shape[1])
    own_gate = OwnGate(gate, *shape) if isinstance(gate, Gate) else gate.gate_of(*shape)
    mixture = Mixture(experts, own_gate, top_k=gate.top_k, balance=gate.balance)
    em_problem = Problem(
        *(mixture, rows, init_data, init, seeds, params.max_iter, params.tol),
        penalties=tuple(penalty for penalty in params.penalties if penalty.search),
        ends_at_maximum=data.options.ends_at_maximum,
    )
    if previous is not None:
        em_problem = _warm_start(em_problem, params.penalties, previous)
    attributes = data.attributes | {"n_experts_": params.n_experts}
    return FitProblem(em_problem, preprocessor, attributes, penalties=params.penalties)


def _make_experts(
    params: FitParameters,
    data: TrainingData,
    target: TrainingTarget,
    rows: Dataset,
    init_data: InitData,
    seed: np.random.SeedSequence,
) -> Any:
    """The family with options estimated from the data, or cross-fitted estimators."""
    family: Any = params.family
    n_experts, n_classes = params.n_experts, len(data.attributes.get("classes_", ()))
    if "signs" in data.own and n_classes > 2:
        check_conflicts({SIGNS: SIGNS, "more than two classes": f"{n_classes} classes"})
    names: tuple[str, ...] = ("n_classes",)
    if isinstance(family, Experts):
        names = family.estimated_options
    elif not params.task.is_classification and (family is None or family.has_scale):
        names = ("noise_variance", "variance_floor")
    noise = data.options.noise_variance
    if data.random_columns and noise is None:  # that of rows in their units
        of_effects = RandomEffects(data.random_columns).effects_of(init_data.rows.expert_design)
        noise = variance_within_units(of_effects, init_data)[init_data.outputs]
    found = parameters.estimates(names, init_data, params.task.dispersion_prior, noise)
    if isinstance(family, Experts):
        return OwnExperts(family.with_options(found), n_experts, rows.expert_design.shape[1])
    if family is not None:
        own = data.own.copy()
        if data.random_columns:
            is_shared = params.random_covariance == "shared"
            own["effects"] = RandomEffects(data.random_columns, is_shared)
        return family.experts_of(rows, target.scaling, n_experts, found, own)
    assert params.estimators is not None
    copies = n_experts // len(params.estimators)  # of a single one
    raw_features, columns = rows.expert_design, data.columns["mean"]
    categories = [] if data.encoder is None else data.encoder.categorical_columns
    has_categories = bool(categories if columns is None else np.isin(columns, categories).any())
    n_folds = 1 if raw_features.fold is None else int(raw_features.fold.max()) + 1
    shape = n_experts, n_folds + params.estimator_experts.n_fits_to_all_rows
    of_pipeline = params.task.name, params.alpha, raw_features.X, has_categories
    given = params.estimators * copies
    resolved = tuple(named_pipeline(m, *of_pipeline) if isinstance(m, str) else m for m in given)
    seeds = np.random.default_rng(seed).integers(2**31 - 1, size=shape)
    classes = data.attributes.get("classes_")
    fits = Fits(resolved, seeds, data.routes * copies, classes, params.n_jobs)
    mean_family = replace(
        params.mean_family or MeanFamily(),
        shared_dispersion=params.task.shared_dispersion,
        dispersion_prior=params.task.dispersion_prior,
    )
    return params.estimator_experts.of_rows(fits, rows, mean_family, found)


def check_rows_are_possible(params: FitParameters, experts: Experts, rows: Dataset) -> None:
    """Some expert must be possible for all rows of a unit, and for a row of which one is known."""
    possible = possible_experts(experts, rows)
    if possible is None or possible.any(axis=0).all():
        return
    first = int((~possible.any(axis=0)).argmax())
    codes = np.arange(rows.n_rows) if rows.units is None else rows.units.codes
    values = np.unique(point_values(rows.y)[0, codes == first])[:4]
    shown = ", ".join(f"{value:g}" for value in values)
    named, what = np.arange(params.n_experts), "units"
    if rows.possible is not None and not rows.possible[:, first].all():
        named, what = np.flatnonzero(rows.possible[:, first]), "known_experts"
    raise ValueError(
        f"{what} must have rows that are all possible under one expert; those whose y is {shown} "
        f"are outside the support of expert {', '.join(map(str, named))} with "
        f"{params.family_name}. Correct {what}, or use a family of all these values, such as "
        'family="negative_binomial" for counts with zeros.'
    )


# --- warm starts ------------------------------------------------------------------------------


# Private fitted attributes, which not every fit has.
PRIVATE_ATTRIBUTES = (
    *("_fitted", "_training_state", "_single_output"),
    *("_expert_names", "_row_arguments", "_last_time", "_load", "_gate_overlap", "_model_names"),
)


def _continue(params: FitParameters, data: TrainingData) -> TrainingData:
    """Data of a warm start, with coefficients and scaling of the previous fit.

    Features and target must be of the kind of those of that fit.
    """
    previous, y, before = data.options.previous, data.rows.y, data.options.previous._fitted
    scaling, classes = before.preprocessor.target_scaling, data.attributes.get("classes_")
    was = f"{before.preprocessor.n_features} features"
    now = f"{data.X.shape[1]} features"
    if classes is not None:
        was += f" and classes {previous.classes_.tolist()}"
        now += f" and classes {classes.tolist()}"
    else:
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        was, now = f"{was} and {len(scaling.center)} outputs", f"{now} and {n_outputs} outputs"
        # The target of a fit to censored y is in its own units.
        is_raw = ((scaling.center == 0.0) & (scaling.scale == 1.0)).all()
        now = f"{now} of censored y" if has_bounds(y) and not is_raw else now
    names = [getattr(previous, "feature_names_in_", None), data.attributes.get("feature_names_in_")]
    if names[0] is not None and names[1] is not None:
        was, now = f"{was}, columns {names[0].tolist()}", f"{now}, columns {names[1].tolist()}"
    if was != now:
        raise ValueError(
            f"warm_start=True continues a fit with {was}; the data have {now}. Set "
            "warm_start=False to start again."
        )
    kept = {name: vars(previous)[name] for name in ("_expert_names",) if hasattr(previous, name)}
    return data._replace(
        init=before.theta,
        attributes=data.attributes | kept,
        feature_scaling=before.preprocessor.feature_scaling,
        target_scaling=scaling if params.standardizes_target else data.target_scaling,
    )


def _warm_start(problem: Problem, penalties: tuple[Penalty, ...], previous: Any) -> Problem:
    """EM problem with the initial values of a previous fit.

    Penalties that it has found are kept if it has converged, and else their search goes on.
    """
    theta, mixture = previous._fitted.theta, problem.mixture
    for name in ("experts", "gate"):
        one, other = getattr(previous._fitted.mixture, name), getattr(mixture, name)
        kinds = [(type(p), p.size, getattr(p, "persists", False)) for p in (one, other)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"warm_start=True continues a fit with the same kind of {name}, of {one.size} "
                f"parameters; n_experts={mixture.n_experts}, the gate and the data want other "
                f"ones, of {other.size} parameters. Set warm_start=False to start again."
            )
    others = []
    searches = previous._training_state.penalty_searches
    for penalty, search in zip(penalties, searches, strict=True):
        if penalty.search != search:
            others.append(penalty)
        elif search:
            found = getattr(previous._fitted.mixture, penalty.part).penalties
            kept = {field: found[field] for field in penalty.fields if field in found}
            part = getattr(mixture, penalty.part).with_penalties(kept)
            mixture = mixture.with_parts(**{penalty.part: part})
    if previous.converged_:
        searched = tuple(penalty for penalty in others if penalty.search)
        problem = problem._replace(mixture=mixture, penalties=searched)
    if problem.penalties:  # their search goes on from the penalties that were found
        problem = problem._replace(previous=mixture)
    if problem.mixture.experts.needs_all_rows:
        resp = previous._fitted.mixture.responsibilities(theta[None], Data(problem.rows))[0]
        return problem._replace(init=resp[:, 0])
    # Where other slopes or signs are chosen now, the fit begins at the nearest coefficients.
    return problem._replace(init=problem.mixture.projected(theta))


# Of the penalties of a part, what belongs to the prior of its scales and is no attribute.
HIDDEN_PENALTIES = ("noise_variance", "predictor_squares")

# Attributes of how the rows use the experts.
OF_USAGE = ("weights_", "_gate_overlap", "_load")


def attributes_of_mixture(fitted: FittedMixture) -> dict[str, Any]:
    """Attributes of gate and experts in original units, and the fitted mixture.

    Penalties are numbers, or arrays with one for each feature. That of a gate without slopes, as of
    one expert, is NaN.
    """
    mixture, theta, preprocessor = fitted
    of_experts, of_gate = mixture.split(theta)
    extra, gate_columns = preprocessor.extra_features, preprocessor.gate_columns
    attributes = {"_fitted": fitted, "base_": extra and extra.base, "gate_alpha_": np.nan}
    if preprocessor.feature_range is not None:
        attributes["feature_range_"] = preprocessor.feature_range
    n_columns = len(preprocessor.feature_scaling.scale if gate_columns is None else gate_columns)
    coef = mixture.gate.coefficients(of_gate, n_columns + 1)
    if coef is not None and mixture.gate.persists:
        initial, coef = coef
        slopes, intercepts = preprocessor.expert_coefficients(coef, of_gate=True)
        attributes |= {
            "initial_probabilities_": softmax(initial),
            "initial_intercept_": log_softmax(initial),
            "transition_matrix_": softmax(coef[..., -1], axis=1),
            "transition_coef_": slopes,
            "transition_intercept_": intercepts,
        }
    elif coef is not None:
        slopes, intercepts = preprocessor.expert_coefficients(coef, of_gate=True)
        attributes |= {"gate_coef_": slopes, "gate_intercept_": intercepts}
    if mixture.experts.link:
        attributes["link_"] = mixture.experts.link
    for prefix, part in ("gate_", mixture.gate), ("", mixture.experts):
        for name, value in part.penalties.items():
            if name not in HIDDEN_PENALTIES:
                if isinstance(value, tuple):
                    values = np.where(is_dropped(value), np.inf, np.array(value))
                    value = preprocessor.feature_values(values, of_gate=part is mixture.gate)
                attributes[f"{prefix}{name}_"] = value
    n_params = float(mixture.experts.n_parameters(of_experts) + mixture.gate.n_parameters(of_gate))
    attributes["n_parameters_"] = int(n_params) if n_params.is_integer() else n_params
    return attributes | mixture.experts.attributes(of_experts, preprocessor)


def attributes_of_run(problem: FitProblem, run: Run) -> dict[str, Any]:
    """Attributes of a run of EM."""
    lower_bounds = np.array(run.lower_bounds) - problem.preprocessor.log_jacobian()
    searches = tuple(penalty.search for penalty in problem.penalties)
    return {
        **problem.attributes,
        **attributes_of_mixture(problem.make_fitted(run.theta, run.mixture)),
        "_training_state": TrainingState(penalty_searches=searches),
        "lower_bound_": lower_bounds[-1],
        "lower_bounds_": lower_bounds,
        "n_iter_": run.n_iter,
        "converged_": run.converged,
    }


def attributes_of_fit(problem: FitProblem, found: Found, usage: Usage) -> dict[str, Any]:
    """Attributes at the end of a fit."""
    run, mass = found.run, usage.responsibility_mass
    attributes = attributes_of_run(problem, run)
    experts, log_jacobian = run.mixture.experts, problem.preprocessor.log_jacobian()
    # Experts that fit a few rows nearly exactly, or all of theirs. If all dispersions are at their
    # bound, y is a function of X, and nothing is wrong.
    at_bound = experts.dispersion_at_bound(run.theta)
    degenerate = np.array(at_bound & (not at_bound.all()))
    if not experts.needs_all_rows:
        data = Data(problem.em_problem.rows_in_memory, experts.dispersion_columns)
        degenerate |= spikes(run.mixture, run.theta, data, mass)
    total_weight = float(mass.sum())
    state = attributes["_training_state"]._replace(
        total_weight=total_weight, spikes=tuple(np.flatnonzero(degenerate).tolist())
    )
    maxima = Maxima()
    if found.maxima:  # the first is that of the fit
        first = found.maxima[0]._replace(
            smallest_share=float(mass.min() / total_weight), is_spurious=bool(degenerate.any())
        )
        bounds, n_times, *others = zip(first, *found.maxima[1:], strict=True)
        values = tuple(total_weight * (bound - log_jacobian) for bound in bounds)
        maxima = Maxima(values, n_times, others[0], found.counted, found.kept, others[1])
    rows = problem.em_problem.rows_in_memory
    # Random effects are such correlations, and start-stop rows of a person have one time.
    has_none = problem.preprocessor.counts_units or problem.stacked_experts is not None
    if rows.units is not None and not has_none and not has_entry(rows.y):
        blocks = blocks_of(run.mixture, problem.em_problem.rows)
        dependence = unit_correlation(run.mixture, run.theta, blocks)
        attributes["residual_correlation_"] = dependence.value
        state = state._replace(unit_correlation=dependence)
    # Of the starts, each when it ended or was dropped.
    traces = [np.array(start.lower_bounds) - log_jacobian for start in found.starts]
    attributes |= dict(zip(OF_USAGE, usage, strict=False))
    attributes |= {"_training_state": state, "n_experts_": run.mixture.n_experts, "maxima_": maxima}
    converged = np.array([start.converged for start in found.starts])
    return attributes | {"start_converged_": converged, "start_traces_": traces}


# --- the order of the experts -----------------------------------------------------------------

# Shares that differ by less than this fraction are equal: they are if regimes are mirror images of
# each other. Fits from different starts stop at shares that differ by a hundredth of it.
SHARE_RTOL = 1e-3


def order_by_share(mixture: Mixture, theta: Array, share: Array) -> Array:
    """Indices (K,) of the experts, the largest share of the rows first.

    So the numbers do not depend on the start. Experts of equal share are ordered by their
    coefficients.
    """
    order, first = np.argsort(-share, kind="stable"), 0
    while first < len(order):
        smallest = (1.0 - SHARE_RTOL) * share[order[first]]
        last = first + int(np.count_nonzero(share[order[first:]] >= smallest))
        if last > first + 1:
            equal = mixture.experts.by_expert(mixture.split(theta)[0])[order[first:last]]
            # The values in which the experts differ most decide, which are not those of round-off.
            by_spread = np.argsort(-np.ptp(equal, axis=0), kind="stable")
            ranked = np.lexsort(-equal[:, by_spread].T[::-1])
            order[first:last] = order[first:last][ranked]
        first = last
    return order


# --- warnings ---------------------------------------------------------------------------------


def warn_of_fit(
    estimator: Any, params: FitParameters, problem: Problem, run: Run, mass: Array, offset: Any
) -> None:
    """Warn of what a fit has found, whose experts have some sums (K,) of responsibilities."""
    experts = run.mixture.experts
    # Models of a stack may have no rows.
    of_mixture = params.expert_parameter == "expert"
    if run.failed or (not run.converged and run.n_iter >= estimator.max_iter):
        warn_user(_advice(run, estimator.max_iter, problem, of_mixture), ConvergenceWarning)
    at_bound = experts.dispersion_at_bound(run.theta)
    if at_bound.any() and not at_bound.all():
        named = _named(np.flatnonzero(at_bound), estimator.expert_names_)
        warn_user(
            f"The noise variance of some experts is at its floor: {named}. They fit their rows "
            'exactly. Increase dispersion_prior, use fewer experts, or dispersion="shared".',
            DegenerateExpertWarning,
        )
    others = [k for k in estimator._training_state.spikes if not at_bound[k]]
    if others:
        spikes_of_fit = [estimator.expert_names_[k] for k in others]
        warn_user(describe_spikes(spikes_of_fit), DegenerateExpertWarning)
    if estimator.maxima_.runs == COUNTED_SEARCHES:
        warn_maxima(estimator.maxima_)
    if of_mixture and is_collapsed(mass).any():
        # The same text for all fits, so that Python can show it once.
        warn_user(
            "Experts have collapsed: others explain nearly all of their rows better. Use fewer "
            "experts (n_experts), a larger gate_alpha, or more starts (n_init). The summary for "
            "the rows of the fit names them: summary(X, y).",
            CollapsedExpertsWarning,
        )
    if params.uses_estimators:
        names = estimator.expert_names_ if of_mixture else []
        _warn_of_estimators(params, problem.rows, experts, names)
    dependence = estimator._training_state.unit_correlation
    if dependence is not None and hasattr(estimator, "n_experts_tried_"):
        text = describe_dependence(estimator, dependence)
        if text:
            warn_user(text, NumberOfExpertsWarning)
    if hasattr(estimator, "expert_covariance_") and at_bound.all():
        warn_user(
            "The covariance matrices of all experts are at their floor, where correlations mean "
            "nothing: an output is constant, or a linear function of X or of the others. Leave "
            'such outputs out of y, or use covariance_type="diag".',
            DegenerateExpertWarning,
        )
    if offset is not None and not is_dask(offset):
        values = np.asarray(offset, dtype=np.float64)
        if values.size and 0.0 < values.min() < values.max() <= 1.0:
            warn_user(
                f"The offset is between {values.min():.3g} and {values.max():.3g}, as exposures of "
                "at most one year are. It must be their logarithm: pass offset=np.log(exposure).",
                OptionWarning,
            )
    preprocessor = estimator._fitted.preprocessor
    if experts.signs and run.mixture.gate.depends_on_features:
        columns = preprocessor.expert_columns
        columns = np.arange(preprocessor.n_features) if columns is None else columns
        signed = columns[np.flatnonzero(experts.signs)]
        seen = np.intersect1d(signed, preprocessor.features_of_gate)
        if len(seen):
            labels = getattr(estimator, "feature_names_in_", None)
            named = _named(seen, row_data.feature_labels(labels, estimator.n_features_in_))
            warn_user(
                f"The gate uses features with signs in monotonic_cst: {named}. Each expert is "
                "monotonic in them, but the prediction need not be, as it also changes with the "
                "probabilities of the experts. Leave them out of gate_features.",
                OptionWarning,
            )


def _named(index: Iterable[int], names: Sequence[str]) -> str:
    return ", ".join(printable_name(names[k]) for k in index)


def _advice(run: Run, max_iter: int, problem: Problem, of_mixture: bool) -> str:
    """On EM that has stopped before convergence; experts that are not needed are a reason."""
    if run.failed:
        return (
            "EM stopped, since no step increases the lower bound. Experts or a gate of your own "
            "can cause it: check that `m_step` does not decrease their part of the objective."
        )
    gap, n_experts = aitken_gap(run.lower_bounds), run.mixture.n_experts
    estimate = "the remaining gain per row cannot be estimated"
    if 0.0 < gap < np.inf:  # a power of ten: texts repeat, and Python can show them once
        power = f"{10.0 ** np.ceil(np.log10(gap)):.0e}"
        estimate = f"the remaining gain is less than about {power} nats per row"
    data = Data(problem.rows_in_memory, run.mixture.experts.dispersion_columns)
    n_needed = n_needed_experts(run.mixture, run.theta, data) if of_mixture else n_experts
    remedy = (
        "Increase max_iter, or make the problem easier with fewer experts or larger penalties "
        "(alpha, gate_alpha). Fits of estimators as experts end earlier with a larger tol."
    )
    if n_needed < n_experts:
        remedy = (
            f"The rows do not tell {n_experts} experts apart: {n_needed} would fit nearly as well, "
            'and more iterations change little. Use fewer experts; n_experts="auto" finds their '
            "number."
        )
    return f"EM did not converge in max_iter={max_iter} iterations: {estimate}. {remedy}"


def warn_maxima(maxima: Maxima) -> None:
    """Warn if only one of several searches has reached the best value."""
    if maxima.runs == COUNTED_SEARCHES and maxima.n_runs > 1 and maxima.n_times[0] == 1:
        warn_user(
            f"{maxima} There may be a better one: raise n_init, or use fewer experts.",
            UnreplicatedMaximumWarning,
        )


def _warn_of_estimators(
    params: FitParameters, rows: Any, experts: Any, names: Sequence[str]
) -> None:
    """Warn of losses other than that of normal noise, and of useless experts with names."""
    of_noise = not params.task.is_classification and params.mean_family is None
    for estimator in params.estimators or ():
        loss = special_loss(estimator) if of_noise and not has_density(estimator) else None
        if loss:
            warn_user(
                f"expert={estimator!r} has a {loss} loss, but the mixture gives it normal noise: "
                "densities, intervals and responsibilities are those of normal noise. "
                f"{LOSSES[loss]}",
                OptionWarning,
            )
            break
    worse = np.flatnonzero(experts.is_worse_than_mean(rows.y)) if names else ()
    if len(worse):
        warn_user(
            "Some experts predict held-out rows much worse than the mean of y: "
            f"{_named(worse, names)}. Scale the features, or y by TransformedTargetRegressor, or "
            "give the estimator other options, such as more iterations.",
            ConvergenceWarning,
        )


# --- progress: printed lines, and callbacks ---------------------------------------------------


class FitMonitor(NamedTuple):
    """Observer of one run of EM, which prints, and calls callbacks."""

    label: str  # name of the run
    problem: FitProblem  # of the fit, whose mixture has the penalties of the starts
    verbose: int  # 1 for a line for each run, 2 also for one for each iteration
    task: FitTask | None  # of the run, if callbacks follow the fit

    def start(self) -> None:
        """Announce the run."""
        if self.task:
            self.task.start()

    def __call__(self, n_iter: int, run: Run, where: str = "") -> bool:
        """Report an iteration; returns whether a callback stops the run."""
        if self.verbose > 1:
            label = f"{self.label}, search{where}" if where else self.label
            print(f"  {label}: {n_iter:>5d} {self._in_units(run):>16.8f}")
        if self.task is None:
            return False
        return self.task.subtask(f"iteration{where}").start().end(self._attributes(run))

    def on_sample(self, n_iter: int, run: Run) -> bool:
        """Report an iteration of the search of penalties on a sample, before those of the run."""
        return self(n_iter, run, " on the sample")

    def end(self, run: Run) -> None:
        """Report the end of the run."""
        if self.verbose > 0:
            state, mixture = ", converged" if run.converged else "", self.problem.em_problem.mixture
            parts = ("gate", "experts") if run.mixture else ()
            pairs = [(getattr(run.mixture, name), getattr(mixture, name)) for name in parts]
            if any(one.penalties != other.penalties for one, other in pairs):
                state += "; penalties changed, so that it cannot be compared with the starts"
            bound = f"lower bound {self._in_units(run):.8f}, {run.n_iter} iterations"
            print(f"{self.label}: {bound}{state}")
        if self.task:
            self.task.end(self._attributes(run))

    def _attributes(self, run: Run) -> Callable[[], dict[str, Any]]:
        return partial(attributes_of_run, self.problem, run)

    def _in_units(self, run: Run) -> float:
        """The lower bound of a run in the units of y."""
        return run.lower_bound - self.problem.preprocessor.log_jacobian()


def make_monitors(
    problem: FitProblem, verbose: int, task: FitTask | None, first_id: int
) -> list[FitMonitor]:
    """Monitors of the starts and of the run after them, which are parts of the task of the fit."""
    em_problem, sample = problem.em_problem, ""
    n_compared = em_problem.on_sample().rows.n_rows if em_problem.seeds else em_problem.rows.n_rows
    if n_compared < em_problem.rows.n_rows:
        sample = f" (on a sample of {n_compared} rows)"
    labels = [*(f"start {i}{sample}" for i in range(len(em_problem.seeds))), "EM"]
    # Iterations on the rows for the initialisation, of a search of penalties there, on all rows,
    # and of re-initialisations.
    n_most = (3 + MAX_REINITIALIZATIONS) * em_problem.max_iter
    return [
        FitMonitor(label, problem, verbose, task and task.subtask(label.split()[0], n_most, number))
        for number, label in enumerate(labels, first_id)
    ]
