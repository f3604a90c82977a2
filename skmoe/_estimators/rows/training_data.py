"""The rows of a fit: validated, in blocks if they are many, distinct, and a sample for starts.

Metadata of `fit` are routed to the experts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from skmoe._data.blocks import RowBlocks
from skmoe._data.censored_targets import (
    check_some_known,
    checked_bounds,
    interval_keys,
    known_weight,
    point_values,
    values_if_exact,
)
from skmoe._data.encoding import (
    Encoder,
    category_codes,
    encode,
    encoded_columns,
    is_frame,
    make_encoder,
    numeric_names,
)
from skmoe._data.feature_checks import check_numbers, explain_features
from skmoe._data.first_pass import FirstPass
from skmoe._data.row_checks import (
    as_csr,
    check_columns,
    check_enough_rows,
    check_metadata,
    check_offset,
    check_signs,
    check_target,
    check_target_size,
    check_weights,
    class_codes,
)
from skmoe._data.rows import (
    SAMPLE_SEED,
    Dataset,
    Rows,
    distinct_rows,
    has_bounds,
    is_dask,
    subset,
    subset_units,
)
from skmoe._data.units import encode_units, unit_runs
from skmoe._estimators.parameters.conflicts import (
    BLOCKS,
    CENSORED,
    ESTIMATORS,
    KNOWN_EXPERTS,
    Choice,
    check_conflicts,
    chosen_options,
    conflict_of,
)
from skmoe._estimators.parameters.parameters import FitParameters, check_init
from skmoe._estimators.parameters.parts import (
    accepts_missing,
    check_takes_offset,
    expert_columns,
)
from skmoe._estimators.parameters.tasks import Task, TrainingTarget
from skmoe._estimators.rows.target_values import check_support
from skmoe._estimators.rows.units_and_known_experts import (
    check_gate_columns,
    check_init_of_units,
    check_known_experts,
    validate_units_of_fit,
)
from skmoe._estimators.rows.warm_start import PreviousFit
from skmoe._mixture.partitions import InitData, make_init_data, sample_of
from skmoe._numerics.typing import Array, Design

# Maximum number of rows for the initialisation.
MAX_INIT_ROWS = 20_000

# Number of rows for the initialisation on larger data sets: per coefficient, and minimum.
INIT_ROWS_PER_COEFFICIENT = 15
MIN_INIT_ROWS = 5_000


class FitOptions(NamedTuple):
    """Options of a fit that are not arguments of `fit`."""

    previous: PreviousFit | None = None  # that a warm start continues
    classes: Array | None = None  # all classes; some may have no rows
    noise_variance: Array | None = None  # of the standardised outputs, instead of an estimate
    ends_at_maximum: bool = True  # by Newton's steps, after EM


# Those of an ordinary fit.
NO_OPTIONS = FitOptions()


class TrainingData(NamedTuple):
    """Validated rows of a fit, the columns that it uses, and its first fitted attributes."""

    rows: Rows  # y holds numbers (n,) or (n, m), or class codes (n,)
    X: Design  # numeric features
    init: str | Array  # named initialisation, responsibilities (K, n), or parameters
    attributes: dict[str, Any]  # fitted attributes
    columns: dict[str, Array | None]  # of X, by their role: "gate" and "mean"; None for all
    slopes: tuple[tuple[int, ...], ...]  # as `slope_holders` takes them
    # Columns of the design matrix of the experts on which dispersions depend.
    dispersion_columns: tuple[int, ...] = ()
    signs: tuple[int, ...] = ()  # of the slopes of the columns of the experts; () for any
    encoder: Encoder | None = None
    routes: tuple[dict[str, str], ...] = ()  # of each given expert, arguments of fit and metadata
    options: FitOptions = NO_OPTIONS
    first_pass: FirstPass | None = None  # over the row blocks from which the rows are drawn

    @property
    def dispersion_features(self) -> list[int]:
        """Indices of the columns of X on which dispersions depend."""
        columns = self.columns["mean"]
        return [j if columns is None else int(columns[j]) for j in self.dispersion_columns]

    def select(self, index: Array, weight: Array | None = None) -> TrainingData:
        """Data of the rows at an index, with other weights if given."""
        rows, init = self.rows.take(index), self.init
        if isinstance(init, np.ndarray) and init.ndim == 2:
            init = init[:, index]
        return self._replace(
            rows=rows if weight is None else rows._replace(weight=weight),
            X=rows.X if self.X is self.rows.X else self.X[index],
            init=init,
        )


# --- validation -------------------------------------------------------------------------------


def chosen_rows(params: FitParameters, given: Rows) -> dict[str, Any]:
    """The options of the table of conflicts that experts and arguments of a fit are.

    Messages show the values. Options that are not chosen are left out.
    """
    chosen: dict[str, Any] = {}
    family = params.family
    if has_bounds(given.y) and not params.task.is_classification:
        checked_bounds(given.y)  # other structured arrays have an error of their own
        chosen[CENSORED] = "censored y"
    if family is not None and not family.takes_bounds:
        chosen["experts without probabilities of intervals"] = params.family_name
    expert = Choice(params.expert_parameter, params.expert)
    estimators = params.estimators or []
    if family is None:
        chosen[ESTIMATORS] = expert
    if family is not None and params.base is None:
        chosen["parametric experts without a base"] = expert
    if all(isinstance(estimator, str) for estimator in estimators):
        by_name = f"{expert}, given by name" if estimators else expert
        chosen["experts that are no estimators"] = by_name
    if params.base is not None:
        link = "" if family is None else family.link
        if params.mean_family is not None and params.mean_family.family.link != "identity":
            chosen["estimators as experts under a log link"] = f"{expert} under a log link"
        if family is not None and not (
            family.is_classifier or family.takes_offset or link == "identity"
        ):
            with_link = f"{params.family_name}, which has the link {link or 'unknown'!r}"
            chosen["experts with neither an identity nor a log link"] = with_link
    if family is not None and family.option_for_parts:
        chosen["a family that depends on all values of y"] = (
            f"{params.family_name} in the place of skmoe.families.{family.option_for_parts}"
        )
    metadata = [name for name, values in given.metadata.items() if values is not None]
    if "exposure" in metadata:
        chosen["an exposure"] = "exposure"
    if metadata:
        chosen["metadata"] = ", ".join(metadata)
    if given.group is not None:
        chosen["groups"] = "groups"
    if given.possible is not None:
        chosen[KNOWN_EXPERTS] = KNOWN_EXPERTS
    if is_dask(given.X) or isinstance(given.X, RowBlocks):
        chosen[BLOCKS] = f"X as {BLOCKS} ({type(given.X).__name__})"
    elif given.unit is None:
        chosen["rows without units"] = "rows without units"
    if isinstance(given.X, RowBlocks):
        by_row = given.arguments if given.y is None else {"y": given.y} | given.arguments
        for name, values in by_row.items():
            chosen["an argument with a value for each row"] = f"{name} as {type(values).__name__}"
    return chosen


def validate_training_data(
    estimator: Any, params: FitParameters, given: Rows, names: Array | None = None
) -> TrainingData:
    """Validate the arguments of `fit`, without changing the estimator.

    `names` are feature names, for X without names.
    """
    is_plain = params.is_plain and isinstance(given.X, np.ndarray) and not has_bounds(given.y)
    others = given.group, given.possible, given.offset
    if not is_plain or given.metadata or any(values is not None for values in others):
        check_conflicts(chosen_options(estimator) | chosen_rows(params, given))
    if has_bounds(given.y):
        given = given._replace(y=values_if_exact(given.y))
    validation_copy = copy.copy(estimator)  # receives n_features_in_ and feature_names_in_
    X, y, attributes = _validate_X_y(validation_copy, params, given.X, given.y)
    check_enough_rows(params.n_experts, len(y), "rows")
    weight = np.ones(len(y)) if given.weight is None else check_weights(given.weight, len(y))
    offset = None
    weight = known_weight(y, weight) if has_bounds(y) else weight
    if given.offset is not None:
        offset = validate_offset(params, given.offset, len(y), 1 if y.ndim == 1 else y.shape[1])
        offset = offset if np.any(offset) else None  # the same fit, bit for bit
    if not params.is_plain or has_bounds(y):  # otherwise all numbers are possible
        check_support(params, y, weight)
    if has_bounds(y):
        check_some_known(y, weight)
    n_features = validation_copy.n_features_in_
    names = getattr(validation_copy, "feature_names_in_", names)
    gate_columns = None
    if params.gate_features is not None:
        gate_columns = check_columns("gate_features", params.gate_features, n_features, names)
    # Experts without features have means, or counts, that do not depend on them: latent classes.
    columns: Array | None = None
    slopes: tuple[tuple[int, ...], ...] = ()
    of_dispersion: tuple[int, ...] = ()
    of_features = params.expert_features, params.shared_features, params.dispersion_features
    if any(features is not None for features in of_features):
        columns, slopes, of_dispersion = expert_columns(params, n_features, names)
    signs: tuple[int, ...] = ()
    if params.monotonic_cst is not None:
        signs = check_signs(params.monotonic_cst, columns, n_features, names)
    init = params.init
    if not isinstance(init, str):
        init = check_init(init, len(y), params.n_experts)
    metadata, unit = {}, None
    if given.group is not None or given.metadata:
        metadata = check_metadata({"groups": given.group, **given.metadata}, len(y))
    if given.unit is not None:
        unit = validate_units_of_fit(params, given.unit, weight)
    attributes["n_features_in_"] = n_features
    if names is not None:
        attributes["feature_names_in_"] = names
    if unit is not None:
        attributes["n_units_"] = len(np.unique(unit[weight > 0.0]))
        check_init_of_units(init, unit)
    rows = Rows(X, y, weight, offset, unit, metadata.pop("groups", None), metadata)
    if given.possible is not None:
        possible = check_known_experts(given.possible, params.n_experts, weight, unit)
        rows = rows._replace(possible=possible)
        attributes |= {"n_known_": rows.n_known} if rows.n_known else {}
    attributes["_row_arguments"] = tuple(sorted(given.effective_arguments(rows)))
    return TrainingData(
        rows,
        X,
        init if isinstance(init, str) else init.T,
        attributes,
        {"gate": gate_columns, "mean": columns},
        slopes,
        of_dispersion,
        signs,
        routes=make_routes(estimator, metadata) if params.uses_estimators else (),
    )


def validate_offset(
    params: FitParameters, offset: Any, n_rows: int, n_outputs: int
) -> Array | None:
    """Offset of the linear predictors, (n,) or (n, m), which the family must take, or None."""
    if offset is not None:
        check_takes_offset(params.expert_parameter, params.expert, params.density)
    values = check_offset(offset, n_rows, n_outputs)
    if values is not None and values.ndim > 1:
        chosen: dict[str, Any] = {"an offset of each output": f"offset of shape {values.shape}"}
        if params.uses_estimators:
            chosen[ESTIMATORS] = Choice(params.expert_parameter, params.expert)
        if params.base is not None:
            chosen["a base"] = Choice("base", params.base)
        check_conflicts(chosen)
    return values


def _validate_X_y(
    validation_copy: Any, params: FitParameters, X: Any, y: Any
) -> tuple[Any, Array, dict[str, Any]]:
    """Validated X, and y as numbers, bounds or class codes, with the attributes of its kind.

    Data frames for experts that are estimators are not converted. What is wrong with arrays of
    numbers is looked for after an error.
    """
    of_classes, bounds, frame = params.task.is_classification, None, None
    if has_bounds(y) and not of_classes:
        bounds = checked_bounds(y)
        y = point_values(bounds)
    if type(y) is not np.ndarray or y.ndim > 1 or y.dtype.kind not in "fiub":
        check_target(y, of_classes)
    options: dict[str, Any] = {} if of_classes else {"multi_output": True, "y_numeric": True}
    if params.uses_estimators:
        if not sparse.issparse(X) and accepts_missing(params.expert):
            options["ensure_all_finite"] = "allow-nan"
        if is_frame(X):
            frame = validate_data(validation_copy, X, skip_check_array=True)
            X, validation_copy = np.zeros((frame.shape[0], 1)), copy.copy(validation_copy)
    is_plain = type(X) is np.ndarray and X.dtype.kind in "fiub"
    options |= {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "ensure_min_samples": 2}
    try:
        with nullcontext() if is_plain else explain_features(X):
            X, y = validate_data(validation_copy, X, y, **options)
    except ValueError:
        check_target(y, of_classes)
        with explain_features(X) if is_plain else nullcontext():
            raise
    X = frame if frame is not None else as_csr(X) if sparse.issparse(X) else X
    if of_classes:
        check_classification_targets(y)
        labels, codes = np.unique(y, return_inverse=True)
        return X, codes, {"classes_": labels}
    y = y.astype(np.float64)
    check_target_size(y, whole=True)
    return X, y if bounds is None else bounds, {"_single_output": y.ndim == 1}


def with_classes(data: TrainingData, classes: Array) -> TrainingData:
    """Data with the labels encoded by a given list of classes."""
    codes = class_codes(data.attributes["classes_"][data.rows.y], classes)
    attributes = data.attributes | {"classes_": classes}
    return data._replace(rows=data.rows._replace(y=codes), attributes=attributes)


def with_class_weights(task: Task, data: TrainingData) -> TrainingData:
    """Data whose weights contain those of the classes; a class without weight stays a class."""
    rows = data.rows
    weight = task.row_weights(rows.y, data.attributes.get("classes_"), rows.weight)
    if weight is rows.weight:
        return data
    kept = np.flatnonzero(weight > 0.0)
    return data.select(kept, weight[kept])


def present_rows(params: FitParameters, data: TrainingData) -> TrainingData:
    """The rows of positive weight, with numeric features, and with given classes or their own.

    From here on the weights contain those of the classes.
    Units of one row of weight one are none.
    """
    classes = data.options.classes
    kept = np.flatnonzero(data.rows.weight > 0.0)
    data = data if len(kept) == data.rows.n_rows else data.select(kept)
    if "classes_" in data.attributes:
        of_rows = data.attributes["classes_"][np.unique(data.rows.y)]
        data = with_classes(data, of_rows if classes is None else classes)
        data = with_class_weights(params.task, data)
    data = _with_encoder(params, data) if params.uses_estimators else data
    unit, names = data.rows.unit, data.attributes.get("feature_names_in_")
    if unit is None:
        return data
    if params.gate.depends_on_features:
        column_names = numeric_names(names, data.encoder, data.attributes["n_features_in_"])
        check_gate_columns(data.X, unit, data.columns["gate"], column_names)
    if (data.rows.weight == 1.0).all() and len(np.unique(unit)) == data.rows.n_rows:
        return data._replace(rows=data.rows._replace(unit=None))
    return data


def _with_encoder(params: FitParameters, data: TrainingData) -> TrainingData:
    """Data with an encoder of the gate's features, if experts accept features that are no numbers.

    Its categories are those of the rows.
    """
    X, allow_nan = data.rows.X, accepts_missing(params.expert)
    if not is_frame(X) and (sparse.issparse(X) or not allow_nan):
        return data
    encoder = make_encoder(X, data.rows.weight, allow_nan)
    check_numbers(X, encoder)
    columns = data.columns | {"gate": encoded_columns(encoder, data.columns["gate"])}
    return data._replace(X=encode(encoder, X), encoder=encoder, columns=columns)


# --- blocks -----------------------------------------------------------------------------------


def rows_in_blocks(estimator: Any, params: FitParameters, given: Rows) -> Rows:
    """Large memory maps and Dask collections as row blocks; other rows as they are."""
    blocks: Any
    if is_dask(given.X):
        blocks = RowBlocks.from_dask(given.X, given.y, **given.arguments)
    elif isinstance(given.X, np.memmap) and _can_be_divided(given):
        chosen = chosen_options(estimator) | chosen_rows(params, given) | {BLOCKS: BLOCKS}
        if conflict_of(chosen):
            return given
        blocks = RowBlocks.from_arrays(given.X, given.y, **given.arguments)
    else:
        return given
    return Rows(blocks, group=given.group, metadata=given.metadata)


def _can_be_divided(given: Rows) -> bool:
    """Whether rows are many, in arrays, and those of a unit are next to each other."""
    arrays = (given.y, given.weight, given.offset, given.possible)
    if len(given.X) <= MAX_INIT_ROWS or given.y is None:
        return False
    if any(values is not None and np.ndim(values) == 0 for values in arrays):
        return False
    if given.unit is None:
        return True
    units = np.asarray(given.unit)
    return int((units[1:] != units[:-1]).sum()) + 1 == len(np.unique(units))


# --- distinct rows ----------------------------------------------------------------------------


def merge_copies(params: FitParameters, data: TrainingData) -> TrainingData:
    """The distinct rows, with their total weights and in the order of `distinct_rows`.

    So copies of a row are in one fold, and starts do not depend on the order of the rows. The rows
    of a unit, which have numbers then, follow each other.
    """
    order, first = distinct_rows_of(params, data)
    data = data.select(order[first], np.add.reduceat(data.rows.weight[order], first))
    if data.rows.unit is not None:
        return data._replace(rows=data.rows._replace(unit=unit_runs(data.rows.unit)))
    check_enough_rows(params.n_experts, data.rows.n_rows)
    return data


def distinct_rows_of(params: FitParameters, data: TrainingData) -> tuple[Array, Array]:
    """What `distinct_rows` finds in the rows of a fit.

    Rows with other groups, offsets, metadata or initial responsibilities, or of which other things
    are known, are different.
    """
    rows, y = data.rows, data.rows.y
    others = [] if rows.group is None else [np.unique(rows.group, return_inverse=True)[1]]
    others += [] if rows.offset is None else [*np.atleast_2d(rows.offset.T)]
    if data.encoder is not None:  # infrequent categories are merged in data.X
        others += [*category_codes(data.encoder, rows.X).T]
    ties = [] if rows.possible is None else [*rows.possible.T]
    if has_bounds(y):
        widths, sides = interval_keys(y)
        others, ties, y = [*others, *widths], [*ties, *sides], point_values(y)
    for values in rows.metadata.values():
        labels = [repr(value) for value in values.tolist()]  # of any kind
        ties.append(np.unique(labels, return_inverse=True)[1])
    if not isinstance(data.init, str) and data.init.ndim == 2:  # one vector is coefficients
        ties += [*data.init]
    codes = None if rows.unit is None else encode_units(rows.unit)[1]
    return distinct_rows(data.X, y, rows.weight, others, ties, codes)


# --- the rows for the initialisation ----------------------------------------------------------


def make_init_rows(
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
    index = kept = sample_of(rows, size, np.random.default_rng(SAMPLE_SEED))
    # Penalties must have the same weight relative to the sample as to all rows.
    if rows.units is None:
        sample = subset(
            rows, kept, rows.weight[kept] * (rows.weight.sum() / rows.weight[kept].sum())
        )
    else:
        index = rows.units.rows_of(kept)
        sample = subset_units(rows, kept, rows.weight.sum() / rows.weight[index].sum())
    design = None if init_design is None else init_design[index]
    return make_init_data(sample, targets[:, index], design, signed=signed)


def make_router(estimator: Any) -> MetadataRouter:
    """Metadata requests of the estimator, and of its experts in fit."""
    router = MetadataRouter(owner=estimator).add_self_request(estimator)
    for name, expert in estimator._experts_by_name().items():
        if hasattr(expert, "get_metadata_routing"):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(method_mapping=mapping, **{name: expert})
    return router


def make_routes(estimator: Any, names: Iterable[str]) -> tuple[dict[str, str], ...]:
    """For each expert that was given, the arguments of its fit and the names of their metadata.

    If metadata routing is disabled, all metadata are passed to every estimator. Experts given by
    name receive none.
    """
    all_metadata = {name: name for name in names}
    experts = estimator._experts_by_name()
    if all_metadata and get_config()["enable_metadata_routing"]:
        routed = process_routing(estimator, "fit", **all_metadata)
        routes = [
            {} if isinstance(expert, str) else _flatten_pipeline_routing(expert, routed[name].fit)
            for name, expert in experts.items()
        ]
    else:
        routes = [{} if isinstance(expert, str) else all_metadata for expert in experts.values()]
    return tuple(routes)


def _flatten_pipeline_routing(expert: Any, arguments: dict[str, str]) -> dict[str, str]:
    """Routed arguments; those of a pipeline's steps as `step__argument`.

    The fit is called with routing disabled, so that weights are passed to the last step for any
    requests of the steps.
    """
    if not isinstance(expert, Pipeline) or not arguments:
        return dict(arguments)
    steps = process_routing(expert, "fit", **arguments)
    return {
        f"{step}__{argument}": name
        for step, _ in expert.steps
        for method in ("fit", "fit_transform")
        for argument, name in steps.get(step, {}).get(method, {}).items()
    }
