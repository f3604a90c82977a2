"""The rows of a fit: checked, distinct, and with what its parameters make of their columns.

Metadata of `fit` are routed to the experts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple
from warnings import warn

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets

from skmoe._data import censored_targets as targets
from skmoe._data import encoding
from skmoe._data import rows as row_data
from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_columns, check_metadata, check_signs, has_bounds, shown
from skmoe._data.encoding import Encoder
from skmoe._data.outcomes import names_of_outputs, stacked_outcomes
from skmoe._data.preprocessing import Standardization, distinct_rows
from skmoe._data.rows import RowRules, Rows, check_numbers, checked_rows, class_codes, is_dask
from skmoe._data.series import is_missing
from skmoe._data.units import check_gate_columns, check_init_of_units, encode_units, unit_runs
from skmoe._estimators.parameters import conflicts, parameters
from skmoe._estimators.parameters import parts as part_checks
from skmoe._estimators.parameters.conflicts import Choice
from skmoe._estimators.parameters.parameters import FitParameters, Task
from skmoe._numerics.typing import Array, Design
from skmoe.experts._linear import are_by_output, of_one_output

# Codes of a status: no event or event.
STATUS_CODES = [0.0, 1.0], [1.0, 2.0]

# Parameters that may have features for each output.
OF_OUTPUTS = "expert_features", "dispersion_features"

# Number of copies of a row that are held out apart at most, and tolerance of their number, which is
# a sum of weights.
MAX_COPIES = 20
ROUND_OFF_OF_COUNTS = 1e-6


class TrainingState(NamedTuple):
    """State that is continued by a warm start or `partial_fit`; unused in predictions."""

    stream: Any = None  # Stream of `partial_fit`
    # Searches by which the penalties were found, in the order of `PENALTIES`.
    penalty_searches: tuple[str, ...] = ("", "", "")
    total_weight: float = 0.0  # of the rows of a fit
    spikes: tuple[int, ...] = ()  # experts that fit a few rows nearly exactly
    unit_correlation: Any = None  # UnitCorrelation of a fit with units

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles have the version of skmoe that writes them."""
        return _read_state, (import_module("skmoe").__version__, *self)


def _read_state(written: str, *fields: Any) -> TrainingState:
    """The state of a pickle, with a warning if another version of skmoe has written it."""
    version = import_module("skmoe").__version__
    if written != version:
        mismatch = InconsistentVersionWarning(
            estimator_name="of skmoe",
            current_sklearn_version=version,
            original_sklearn_version=written,
        )
        warn(mismatch, stacklevel=2)
    return TrainingState(*fields)


class FitOptions(NamedTuple):
    """Options of a fit that are not arguments of `fit`."""

    previous: Any = None  # the fitted estimator that a warm start continues
    classes: Array | None = None  # all classes; some may have no rows
    noise_variance: Array | None = None  # of the standardised outputs, instead of an estimate
    ends_at_maximum: bool = True  # by Newton's steps, after EM
    n_base_folds: int = 5  # in which predictions of a base are held out


# Those of an ordinary fit.
NO_OPTIONS = FitOptions()


class TrainingData(NamedTuple):
    """Validated rows of a fit, the columns that it uses, and its first fitted attributes."""

    rows: Rows  # y holds numbers (n,) or (n, m), or class codes (n,)
    X: Design  # numeric features
    init: str | Array  # named initialisation, responsibilities (K, n), or parameters
    attributes: dict[str, Any]  # fitted attributes
    columns: dict[str, Array | None]  # of X, by their role: "gate" and "mean"; None for all
    # What is chosen for columns of the design matrix of the experts: "slopes" as `slope_holders`
    # takes them, "signs" of slopes, "dispersion_columns" on which dispersions depend, and which
    # columns of a role "have_slope" in each output, (m, p).
    own: dict[str, Any]
    # Columns of that matrix with random effects: the last, for the intercept, and slopes.
    random_columns: tuple[int, ...] = ()
    encoder: Encoder | None = None
    routes: tuple[dict[str, str], ...] = ()  # of each given expert, arguments of fit and metadata
    options: FitOptions = NO_OPTIONS
    # Of all rows, where these are a sample of row blocks; None if they are found in the rows.
    feature_scaling: Standardization | None = None
    feature_range: Array | None = None
    target_scaling: Standardization | None = None
    unit_factor: float = 1.0  # by which the units of a sample stand for all units

    @property
    def dispersion_features(self) -> list[int]:
        """Indices of the columns of X on which dispersions depend, or random effects."""
        columns, of_dispersion = self.columns["mean"], self.own.get("dispersion_columns", ())
        own = (*of_dispersion, *self.random_columns[1:])
        return [j if columns is None else int(columns[j]) for j in own]

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


# --- checks -----------------------------------------------------------------------------------


def chosen_rows(params: FitParameters, given: Rows) -> dict[str, Any]:
    """The options of the table of conflicts that experts and arguments of a fit are.

    Messages show the values. Options that are not chosen are left out.
    """
    family, estimators = params.family, params.estimators or []
    given = given._replace(y=stacked_outcomes(given.y))
    expert = Choice(params.expert_parameter, params.expert)
    is_censored = has_bounds(given.y) and not params.task.is_classification
    if is_censored:  # other structured arrays have an error of their own
        given = given._replace(y=targets.checked_bounds(given.y))
    has_entry = targets.has_entry(given.y)
    link = "" if family is None else family.link
    is_log = params.mean_family is not None and params.mean_family.family.link != "identity"
    is_other = family is not None and not (
        family.is_classifier or family.takes_offset or link == "identity"
    )
    all_values = family is not None and family.option_for_parts
    metadata = [name for name, values in given.metadata.items() if values is not None]
    several = np.ndim(given.offset) > 1 and np.shape(given.offset)[1] > 1
    of_blocks, has_base = isinstance(given.X, RowBlocks), params.base is not None
    in_blocks = of_blocks or is_dask(given.X)
    y_of_blocks = {} if given.y is None else {"y": given.y}
    by_row = [f"{k} as {type(v).__name__}" for k, v in (y_of_blocks | given.arguments).items()]
    options = {
        conflicts.CENSORED: is_censored and "censored y",
        conflicts.INTERVALS: is_censored and targets.has_intervals(given.y) and conflicts.INTERVALS,
        conflicts.ENTRY: has_entry and "y with delayed entry",
        conflicts.ENTRY_OF_UNITS: has_entry
        and (given.unit is not None or given.y.size > len(given.y))
        and conflicts.ENTRY_OF_UNITS,
        "experts without probabilities of intervals": (
            family is not None and not family.takes_bounds and params.family_name
        ),
        conflicts.ESTIMATORS: family is None and expert,
        "parametric experts without a base": family is not None and not has_base and expert,
        "experts that are no estimators": all(isinstance(each, str) for each in estimators)
        and (f"{expert}, given by name" if estimators else expert),
        "estimators as experts under a log link": (
            has_base and is_log and f"{expert} under a log link"
        ),
        "experts with neither an identity nor a log link": has_base
        and is_other
        and f"{params.family_name}, which has the link {link or 'unknown'!r}",
        "a family that depends on all values of y": all_values
        and f"{params.family_name} in the place of skmoe.families.{all_values}",
        "an exposure": "exposure" in metadata and "exposure",
        "metadata": ", ".join(metadata),
        "groups": given.group is not None and "groups",
        "an offset of each output": several and f"offset of shape {np.shape(given.offset)}",
        conflicts.KNOWN_EXPERTS: given.possible is not None and conflicts.KNOWN_EXPERTS,
        conflicts.AVERAGES: given.n_values is not None and conflicts.AVERAGES,
        conflicts.BLOCKS: in_blocks and f"X as {conflicts.BLOCKS} ({type(given.X).__name__})",
        conflicts.NO_UNITS: not in_blocks and given.unit is None and conflicts.NO_UNITS,
        "an argument with a value for each row": of_blocks and by_row and by_row[-1],
    }
    return {name: shown for name, shown in options.items() if shown}


def validate_training_data(
    estimator: Any, params: FitParameters, given: Rows, groups: Any = None
) -> TrainingData:
    """Check the arguments of `fit`, without changing the estimator.

    `groups` are those of a selection, whose fits take none.
    """
    is_plain = params.is_plain and isinstance(given.X, np.ndarray)
    is_plain &= isinstance(given.y, np.ndarray) and not has_bounds(given.y)
    others = given.group, given.possible, given.offset, given.n_values
    if not is_plain or given.metadata or any(values is not None for values in others):
        conflicts.check_conflicts(conflicts.chosen_options(estimator) | chosen_rows(params, given))
        part_checks.check_takes(given, params.expert_parameter, params.expert, params.density)
    owner = copy.copy(estimator)  # receives n_features_in_ and feature_names_in_
    of_series, of_outcomes = params.gate.persists, isinstance(params.family_option, Mapping)
    rules = RowRules(owner, params.task.is_classification, params.n_experts, is_first=True)
    takes_frames, of_effects = params.uses_estimators, params.random_features is not None
    may_miss = takes_frames and part_checks.accepts_missing(params.expert)
    rules = rules._replace(of_series=of_series, of_outcomes=of_outcomes, of_effects=of_effects)
    rules = rules._replace(takes_frames=takes_frames, allow_nan=may_miss)
    rows = checked_rows(given, rules)
    if groups is not None:
        rows = rows._replace(group=check_metadata({"groups": groups}, rows.n_rows)["groups"])
    attributes: dict[str, Any] = {"n_features_in_": owner.n_features_in_}
    if hasattr(owner, "feature_names_in_"):
        attributes["feature_names_in_"] = owner.feature_names_in_
    if params.task.is_classification:
        check_classification_targets(rows.y)
        attributes["classes_"], codes = np.unique(rows.y, return_inverse=True)
        rows = rows._replace(y=codes)
    else:
        attributes["_single_output"] = rows.y.ndim == 1
        if rows.y.ndim == 2:
            attributes["output_names_"] = names_of_outputs(given.y)
            params = part_checks.with_outcomes(params, rows.y, attributes["output_names_"])
            rows = rows._replace(offset=offset_of_outcomes(params.family, rows.offset, rows.y))
        elif of_outcomes:
            raise ValueError(
                "family as a dict needs y of several columns, one for each of its entries; y has "
                "one dimension. Pass a frame or an array of shape (n_samples, n_outputs)."
            )
        missing = targets.is_unknown(rows.y) if has_bounds(rows.y) else np.isnan(rows.y)
        if missing.any() or not rows.weight.all():
            y = stacked_outcomes(given.y)
            missing = targets.is_unknown(y) if has_bounds(y) else is_missing(np.asarray(y, object))
            counts = missing.reshape(rows.n_rows, -1).sum(axis=0)
            names = attributes.get("output_names_", ["y"])
            if counts.any():
                attributes["n_missing_"] = dict(zip(names, counts.tolist(), strict=True))
        if has_bounds(rows.y):
            targets.check_some_known(rows.y, rows.weight)
            last = targets.last_times(rows.y, rows.weight)
            attributes |= {} if last is None else {"last_time_": last}
        if not params.is_plain or has_bounds(rows.y):  # otherwise all numbers are possible
            check_support(params, rows.y, rows.weight)
    if rows.unit is not None:
        attributes["n_units_"] = len(np.unique(rows.unit[rows.weight > 0.0]))
    if rows.possible is not None:
        attributes["n_known_"] = rows.n_known
    by_row = given.weight, given.offset, given.unit, given.possible, given.time, given.n_values
    is_given = any(values is not None for values in by_row)
    attributes["_row_arguments"] = (*sorted(given.effective_arguments(rows)),) if is_given else ()
    if given.time is not None and np.asarray(given.time).dtype.kind in "iufmMO":
        attributes["_last_time"] = np.asarray(given.time).max()
    data = with_columns(estimator, params, rows, attributes)
    return in_time_order(data) if of_series else data


def in_time_order(data: TrainingData) -> TrainingData:
    """The series of which some y is observed, one after another, with rows in the order of time."""
    rows = data.rows
    is_observed = np.zeros(rows.series.max() + 1, dtype=bool)
    np.logical_or.at(is_observed, rows.series, rows.weight > 0.0)
    order = np.argsort(rows.time)
    data = data.select(order[is_observed[rows.series[order]]])
    codes = encode_units(data.rows.series)[1]
    data.attributes["n_series_"] = int(codes.max()) + 1
    if len(codes) == data.attributes["n_series_"]:
        raise ValueError(
            'gate="markov" needs units with several rows, of which transitions are estimated; each '
            'unit has one. Pass units= with the series of each row, or use gate="softmax".'
        )
    return data._replace(rows=data.rows._replace(series=codes, time=np.arange(len(codes))))


def with_columns(
    estimator: Any, params: FitParameters, rows: Rows, attributes: dict[str, Any]
) -> TrainingData:
    """Checked rows with the columns that parts of the mixture use, and initial values."""
    n_features, names = attributes["n_features_in_"], attributes.get("feature_names_in_")
    columns: dict[str, Array | None] = {"gate": None, "mean": None}
    own: dict[str, Any] = {}
    random_columns: tuple[int, ...] = ()
    if params.gate_features is not None:
        of_gate = params.gate_features, n_features, names, params.gate.persists  # may be constant
        columns["gate"] = check_columns("gate_features", *of_gate)
    is_stationary = params.gate.persists and params.gate.initial == "stationary"
    if is_stationary and (columns["gate"] is None or len(columns["gate"])):
        raise ValueError(
            'gate.initial="stationary" needs transitions of constant probabilities; they depend on '
            'features. Use gate_features=[], or initial="free".'
        )
    have_slope: dict[str, Array] = {}
    of_roles = ("mean", params.expert_features), ("dispersion", params.dispersion_features)
    for (role, given), name in zip(of_roles, OF_OUTPUTS, strict=True):
        if isinstance(given, Mapping):
            of_outputs = (n_features, names), attributes.get("output_names_", ["y"])
            have_slope[role] = part_checks.features_of_outputs(name, given, *of_outputs)
            of_any: Any = {name: np.flatnonzero(have_slope[role].any(axis=0))}
            params = params._replace(**of_any)
    # Experts without features have means, or counts, that do not depend on them: latent classes.
    of_features = params.expert_features, params.shared_features, params.dispersion_features
    if any(features is not None for features in (*of_features, params.random_features)):
        found = part_checks.expert_columns(params, n_features, names)
        columns["mean"], own["slopes"], own["dispersion_columns"], random_columns = found
    for role, slope in have_slope.items():
        slope = slope if columns["mean"] is None else slope[:, columns["mean"]]
        have_slope[role] = slope if role == "mean" else slope[:, list(own["dispersion_columns"])]
    own["have_slope"] = have_slope
    if params.monotonic_cst is not None:
        own["signs"] = check_signs(params.monotonic_cst, columns["mean"], n_features, names)
    init, of_init = params.init, (rows.n_rows, params.n_experts)
    if not isinstance(init, str):
        try:
            init = np.array(init, dtype=np.float64)
        except (TypeError, ValueError):
            init = np.empty(0)
        parameters.check_probabilities("init as an array of responsibilities", init, *of_init)
        if rows.unit is not None:
            check_init_of_units(init, rows.unit, parameters.INIT_SUM_TOL)
        init = init.T
    return TrainingData(
        *(rows, rows.X, init, attributes, columns),
        {option: values for option, values in own.items() if values},
        random_columns,
        routes=make_routes(estimator, rows.metadata) if params.uses_estimators else (),
    )


def offset_of_outcomes(experts: Any, offset: Any, y: Array) -> Any:
    """Offsets of outcomes of different families: those under a log link have them."""
    if offset is None or not (are_by_output(experts, y) and experts.families[0].outcomes):
        return offset
    is_log = np.array([f.link == "log" for f in experts.families[0].outcomes])
    if offset.ndim == 1:
        return offset[:, None] * is_log
    if offset[:, ~is_log].any():
        part_checks.check_takes_offset("family", experts.families[0].name.split(", "), None)
    return offset


def check_support(params: FitParameters, y: Array, weight: Array) -> None:
    """Targets of positive weight must be in the support of the family."""
    family = params.density
    if family is None or params.task.is_classification:
        return
    if y.ndim == 2 and are_by_output(family, y):
        return _check_outcomes(params, y, weight)
    if not has_bounds(y):
        _check_no_status(params.family_name, family, y)
    if obstacle := family.obstacle(np.atleast_2d(y.T)):
        raise ValueError(
            f"{params.family_name} needs {obstacle}. Use another family, such as "
            'family="normal", or several mixtures for several outputs.'
        )
    outside = np.flatnonzero(~family.in_support(np.atleast_2d(y.T)) & (weight > 0.0))
    if len(outside):
        row = int(outside[0])
        values = np.atleast_1d(targets.point_values(y)[row])
        remedy = "Correct the target"
        is_rate = family.takes_offset and not has_bounds(y)
        if is_rate and family.in_support(np.round(values)[:, None]).all():
            remedy = (
                "If y holds rates, such as claims per year, pass the counts, with "
                "offset=np.log(exposure) and without the exposure as sample_weight"
            )
        raise ValueError(
            f"y must hold {family.support} for {params.family_name}; row {row} holds "
            f"{targets.shown_target(y[row])}. {remedy}, or use another family, such as "
            'family="normal" for all numbers, "gamma" for positive ones, or a list with point '
            'masses, ["zero", "gamma"].'
        )


def _check_outcomes(params: FitParameters, y: Array, weight: Array) -> None:
    """Each output must be in the support of its family, where it is observed."""
    experts, option = params.density, params.family_option
    for j, values in enumerate(y.T):
        known, own = ~targets.is_unknown(values), of_one_output(experts, j)
        values = targets.simplified(values) if has_bounds(values) else values
        values = np.where(known, values, values[known][:1])
        named = option if not isinstance(option, Mapping) else own.families[0].name
        of_output = params._replace(density=own, family_option=named)
        try:
            check_support(of_output, values, np.where(known, weight, 0.0))
        except ValueError as error:
            raise ValueError(f"Column {j} of y: {error}") from None


def _check_no_status(named: str, family: Any, y: Array) -> None:
    """Two outputs of a family of times must not be times and codes of their events."""
    is_of_times = np.array_equal(family.in_support(np.array([[-1.0, 2.5]])), [False, True])
    if y.ndim != 2 or y.shape[1] != 2 or not is_of_times:
        return
    values = [np.unique(column).tolist() for column in y.T]
    for time, status in ((0, 1), (1, 0)):
        codes = values[status]
        if codes in STATUS_CODES and len(values[time]) > 2:
            raise ValueError(
                f"y must hold times for {named}; its column {status} holds only {codes[0]:g} and "
                f"{codes[1]:g}, like the status of censored times. If it is one, pass skmoe.data."
                f"right_censored(y[:, {time}], y[:, {status}] == {codes[1]:g}) as y."
            )


# --- the rows that a fit uses -------------------------------------------------------------------


def _with_encoder(params: FitParameters, data: TrainingData) -> TrainingData:
    """Data with an encoder of the gate's features, if experts accept features that are no numbers.

    Its categories are those of the rows.
    """
    X, allow_nan = data.rows.X, part_checks.accepts_missing(params.expert)
    if not encoding.is_frame(X) and (sparse.issparse(X) or not allow_nan):
        return data
    of_gate = data.columns["gate"]
    is_named = any(isinstance(own, str) for own in params.estimators or ())
    row_data.check_no_dates(X, range(X.shape[1]) if of_gate is None or is_named else of_gate)
    encoder = encoding.make_encoder(X, data.rows.weight, allow_nan)
    check_numbers(X, encoder)
    columns = data.columns | {"gate": encoding.encoded_columns(encoder, of_gate)}
    return data._replace(X=encoding.encode(encoder, X), encoder=encoder, columns=columns)


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
    kept = np.flatnonzero(data.rows.weight > 0.0)
    if data.rows.series is None:
        data = data if len(kept) == data.rows.n_rows else data.select(kept)
    if params.task.is_classification:
        classes, labels = data.options.classes, data.attributes["classes_"]
        classes = labels[np.unique(data.rows.y)] if classes is None else classes
        rows = data.rows._replace(y=class_codes(labels[data.rows.y], classes))
        data = data._replace(rows=rows, attributes=data.attributes | {"classes_": classes})
        data = with_class_weights(params.task, data)
    data = _with_encoder(params, data) if params.uses_estimators else data
    unit, names = data.rows.unit, data.attributes.get("feature_names_in_")
    if unit is None:
        return data
    if params.gate.depends_on_features:
        n_features = data.attributes["n_features_in_"]
        column_names = row_data.feature_labels(names, n_features, data.encoder)
        check_gate_columns(data.X, unit, data.columns["gate"], column_names)
    if data.random_columns:
        if len(np.unique(unit)) == data.rows.n_rows:
            raise ValueError(
                "random_features needs units with several rows, which differ from each other by "
                "noise; each unit has one. Correct units, or use random_features=None."
            )
        return data
    if (data.rows.weight == 1.0).all() and len(np.unique(unit)) == data.rows.n_rows:
        return data._replace(rows=data.rows._replace(unit=None))
    return data


def merge_copies(params: FitParameters, data: TrainingData) -> TrainingData:
    """The distinct rows, with their total weights and in the order of `distinct_rows`.

    So copies of a row are in one fold, and starts do not depend on the order of the rows. Rows with
    other groups, offsets, metadata or initial responsibilities, or of which other things are known,
    are different. The rows of a unit, which have numbers then, follow each other. Those of a series
    are all kept, in the order of time.
    """
    rows, y = data.rows, data.rows.y
    others = [] if rows.offset is None else [*np.atleast_2d(rows.offset.T)]
    others += [] if rows.n_values is None else [rows.n_values]
    # Names, and the order of outputs, must not change the order of rows that differ otherwise.
    ties = [] if rows.group is None else [encode_units(rows.group)[1]]
    ties += [] if rows.possible is None else [*rows.possible.T]
    if y.dtype.kind == "f" and (missing := np.isnan(y)).any():
        ties += [*np.atleast_2d(missing.T)]
        mean = np.ma.average(np.ma.masked_array(y, missing), axis=0, weights=rows.weight)
        y = np.where(missing, mean, y)
    # Infrequent categories are merged in data.X.
    ties += [] if data.encoder is None else [*encoding.category_codes(data.encoder, rows.X).T]
    if has_bounds(y):
        widths, sides = targets.interval_keys(y)
        others += [] if (entry := targets.entries(y)) is None else [*np.atleast_2d(entry.T)]
        ties, y = [*ties, *widths, *sides], targets.point_values(y)
    # Values of metadata are of any kind.
    ties += [encode_units(np.array([*map(repr, v.tolist())]))[1] for v in rows.metadata.values()]
    if not isinstance(data.init, str) and data.init.ndim == 2:  # one vector is coefficients
        ties += [*data.init]
    codes = rows.series if rows.unit is None else encode_units(rows.unit)[1]
    order, first = distinct_rows(data.X, y, rows.weight, others, ties, codes)
    if rows.series is not None:
        series = unit_runs(rows.series[order])[np.argsort(order)]
        time = np.argsort(np.lexsort([rows.time, series]))
        return in_time_order(data._replace(rows=rows._replace(series=series, time=time)))
    if data.random_columns:  # equal rows of a unit are several
        first = np.arange(len(order))
    data = data.select(order[first], np.add.reduceat(rows.weight[order], first))
    n_separate, what = len(first), "rows that are distinct and of positive weight"
    if codes is not None:
        data = data._replace(rows=data.rows._replace(unit=unit_runs(data.rows.unit)))
        n_separate, what = int(codes.max()) + 1, "units with rows of positive weight"
    if params.n_experts > n_separate:
        raise ValueError(
            f"n_experts must not exceed the number of {what}, {n_separate} (n_samples = "
            f"{rows.n_rows}); got {shown(params.n_experts)}. Use fewer experts or more data."
        )
    return data


def n_separate_copies(data: TrainingData) -> Array:
    """Number of copies of each distinct row, (n,), that are held out apart from each other.

    Where all values of a row occur in other rows, as in tables of categories, its copies are rows
    that agree by chance. Otherwise they are one row, which is given several times.
    """
    count = data.rows.weight
    n_copies = np.clip(count + ROUND_OFF_OF_COUNTS, 1, MAX_COPIES).astype(int)
    X = data.X.tocsc() if sparse.issparse(data.X) else data.X
    columns: list[Any] = [X[:, [j]] for j in range(X.shape[1])]
    for values in (*columns, *data.rows.y.reshape(len(count), -1).T):
        values = values.toarray() if sparse.issparse(values) else values
        _, codes, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
        n_copies[counts[codes] == 1] = 1
    return n_copies


# --- metadata -----------------------------------------------------------------------------------


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
    all_metadata, routed = {name: name for name in names}, None
    if all_metadata and get_config()["enable_metadata_routing"]:
        routed = process_routing(estimator, "fit", **all_metadata)
    routes: list[dict[str, str]] = []
    for name, expert in estimator._experts_by_name().items():
        own = {} if isinstance(expert, str) else all_metadata
        if own and routed is not None:
            own = dict(routed[name].fit)
            own = _routes_of_steps(expert, own) if isinstance(expert, Pipeline) and own else own
        routes.append(own)
    return tuple(routes)


def _routes_of_steps(expert: Pipeline, arguments: dict[str, str]) -> dict[str, str]:
    """Routed arguments of the steps of a pipeline as `step__argument`.

    The fit is called with routing disabled, so that weights are passed to the last step for any
    requests of the steps.
    """
    steps = process_routing(expert, "fit", **arguments)
    return {
        f"{step}__{argument}": name
        for step, _ in expert.steps
        for method in ("fit", "fit_transform")
        for argument, name in steps.get(step, {}).get(method, {}).items()
    }
