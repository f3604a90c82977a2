"""export_html: a fitted mixture as one page that opens without a network."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Sequence
from copy import copy
from datetime import date
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._data.sklearn_adapter import split_pipeline
from skmoe._inference.labels import counted_noun, gate_name, printable_name
from skmoe._optional import import_bokeh, import_jinja2, import_report_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._checks import check_names, check_names_of_experts, check_rows
from skmoe.inspection._grid import column_stds
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._report._charts import make_charts
from skmoe.inspection._report._checks import (
    check_held_out,
    check_path,
    check_targets,
)
from skmoe.inspection._report._experts import make_cards, selection_table
from skmoe.inspection._report._held_out import HeldOutRows, held_out_scores
from skmoe.inspection._report._page import render_page, write_page
from skmoe.inspection._report._panel import PanelOptions, make_panel
from skmoe.inspection._report._pictures import (
    calibration_picture,
    coefficients_picture,
    profile_picture,
    selection_picture,
)
from skmoe.inspection._report._warnings import fit_warnings
from skmoe.inspection._segment_tables import (
    ProfileRows,
    dropped_features,
    positive_rows,
    profile_columns,
    responsibilities_of_rows,
)
from skmoe.inspection._style import colour
from skmoe.inspection._targets import target_name
from skmoe.inspection._text import TextFormat

# Terms of an equation, and digits after the point.
MAX_TERMS, DECIMALS = 6, 3


def export_html(
    estimator: Any,
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    *,
    X_held_out: Any = None,
    y_held_out: Any = None,
    sample_weight: Any = None,
    sample_weight_held_out: Any = None,
    offset: Any = None,
    offset_held_out: Any = None,
    units: Any = None,
    target: Any = None,
    row: int | None = None,
    coverage: float = 0.9,
    max_features: int = 12,
    title: str | None = None,
    feature_names: Sequence[str] | None = None,
    expert_names: Sequence[str] | None = None,
) -> None:
    """Write a report about a fitted mixture: one page that opens without a network.

    The page has the experts as cards, pictures of their coefficients and profiles, the warnings of
    the fit, how the number of experts was selected, and scores and calibration on held-out rows.
    In its panel the features are moved, and gate, experts, prediction and predictive distribution
    follow. The page computes them itself if they are formulas: a softmax of the features as gate,
    and experts with linear predictors. Of other mixtures, such as those of trees, with a base
    model, or with a transformer at the gate, it shows predictions on slices, along one feature at
    a time through the starting row. See "A report" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one. The features of the page are those
        of its input if its other steps scale columns, and those of the last step otherwise.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features; those of the fit for standard errors and warnings.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target.
    path : str or path-like
        File to write. An existing one is replaced, once the whole page is written.
    X_held_out : {array-like, sparse matrix} of shape (n_held_out, n_features), default=None
        Rows that were not used in the fit, for scores and calibration; None for neither.
    y_held_out : array-like of shape (n_held_out,) or (n_held_out, n_outputs), default=None
        Their target.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, as in `fit`.
    sample_weight_held_out : array-like of shape (n_held_out,), default=None
        Weights of the held-out rows in scores; the calibration counts rows.
    offset, offset_held_out : array-like, default=None
        Offsets of the linear predictors, as in `fit`; None for 0. Those of the panel are 0.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`; None for rows.
    target : class label or int, default=None
        The class whose coefficients are drawn, or the index of the output that is described. None
        for the second of two classes, the first four of several, or the only output.
    row : int, default=None
        Index of the row of X with which the panel starts; None for the median of each number and
        the most frequent of each category.
    coverage : float, default=0.9
        Probability of predictive intervals, in (0, 1).
    max_features : int, default=12
        Largest number of features in the panel and in pictures: those with the largest effects.
    title : str, default=None
        Title of the page; None for the name of the estimator and the target.
    feature_names : list of str of length n_features, default=None
        Names of the features; None for those seen in fit, or x0, x1 and so on.
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for those of the model, `expert_names_`.

    Raises
    ------
    ImportError
        If Bokeh, Jinja2 or matplotlib is not installed, which the extra `report` has.
    TypeError
        If the estimator is not a mixture of experts.
    ValueError
        If rows have other columns than those of the fit, targets another length, only one of
        `X_held_out` and `y_held_out` is given, or a parameter is outside its range.
    OSError
        If the folder of `path` does not exist, or the file cannot be written.

    See Also
    --------
    export_text : The gate and the experts as text.
    SegmentProfileDisplay : The picture of the experts and features.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import export_html
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, size=(200, 1))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X[:150], y[:150])
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "report.html"
    ...     export_html(
    ...         moe, X[:150], y[:150], path, X_held_out=X[150:], y_held_out=y[150:],
    ...         feature_names=["depth"],
    ...     )
    ...     path.read_text("utf-8")[:15]
    '<!DOCTYPE html>'
    """
    for import_package in (import_report_pyplot, import_bokeh, import_jinja2):
        import_package("export_html")
    steps, mixture = split_pipeline(estimator)
    subject = find_mixture(estimator, X)
    pipeline, estimator, X = estimator, _with_one_inference(subject.mixture), subject.X
    labels = [printable_name(name) for name in check_names(estimator, feature_names)]
    experts = check_names_of_experts(estimator, expert_names)
    coverage = check_coverage(coverage)
    check_integer("max_features", max_features, least=1)
    file = check_path(path)
    table = check_rows("y", estimator, X, y)
    if row is not None:
        row = check_integer("row", row, least=0, most=table.shape[0] - 1)
    rows_held_out = None if X_held_out is None else find_mixture(pipeline, X_held_out).X
    held_out = check_held_out(
        estimator, HeldOutRows(rows_held_out, y_held_out, sample_weight_held_out, offset_held_out)
    )
    targets = check_targets(estimator, target, table)
    index = 0 if is_classifier(estimator) else targets[0]
    name = "the class" if is_classifier(estimator) else target_name(estimator, y, index)
    name = printable_name(name)
    rows = positive_rows(estimator, X, y, sample_weight, offset, units)
    # Where the steps only scale columns, the features are those before the steps.
    before_steps = [] if subject.note else steps
    rows_of_mixture = rows._replace(X=_transform(before_steps, rows.X))
    summary = _summarize(mixture if steps else estimator, rows_of_mixture)
    options = PanelOptions(labels, experts, name, index, row, coverage, max_features)
    panel = make_panel(estimator, table, y, options)
    default_title = f"Mixture of experts for {name}"
    context = {
        "title": default_title if title is None else printable_name(str(title)),
        "row": row,
        "has_offset": offset is not None,
        "feature_note": subject.note,
        **_describe_fit(estimator, rows, summary, options),
        "pictures": _profiles(estimator, rows, targets, options),
        **_describe_panel(panel),
        **_describe_held_out(estimator, held_out, index, coverage),
        "selection": _describe_selection(estimator),
        **_describe_versions(),
    }
    write_page(file, render_page(context))


# --- parts of the page ------------------------------------------------------------------------


class FitSummary(NamedTuple):
    """Summary of the fit with its data, and the warnings that it gave."""

    summary: Any
    messages: list[str]


def _with_one_inference(estimator: Any) -> Any:
    """A copy that computes standard errors once: the whole page is about the same rows."""
    results: list[Any] = []

    def inference(*data: Any, **options: Any) -> Any:
        if not results:
            results.append(estimator.inference(*data, **options))
        return results[0]

    view = copy(estimator)
    view.inference = inference
    return view


def _transform(steps: Sequence[Any], X: Any) -> Any:
    for step in steps:
        X = step.transform(X)
    return X


def _summarize(mixture: Any, rows: ProfileRows) -> FitSummary:
    options = {"offset": rows.offset, "units": rows.units}
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        summary = mixture.summary(rows.X, rows.y, rows.weight, **options)
    return FitSummary(summary, [str(warning.message) for warning in given])


def _describe_fit(
    estimator: Any, rows: ProfileRows, fit: FitSummary, options: PanelOptions
) -> dict[str, Any]:
    """What the model is, its experts and its warnings."""
    summary, labels, experts = fit.summary, list(options.labels), list(options.expert_names)
    resp, _ = responsibilities_of_rows(estimator, rows)
    columns = profile_columns(estimator, rows, resp, labels, range(len(labels)))
    text_format = TextFormat(labels, column_stds(rows.X), "standard deviation", MAX_TERMS, DECIMALS)
    kinds = ", ".join(dict.fromkeys(expert.kind for expert in summary.experts))
    n_experts = len(experts)
    counted = counted_noun(hasattr(estimator, "n_units_"))
    several = f"{n_experts} experts" if n_experts > 1 else "one expert"
    found = fit_warnings(estimator, rows.weights @ resp, summary, experts)
    found += fit.messages
    return {
        "model_sentences": [
            f"This model of {options.target_name} is a mixture of {several} ({kinds}): each "
            f"expert has its own prediction, and the gate ({gate_name(estimator.gate)}) gives each "
            f"{counted} the probabilities of the experts.",
            "The prediction is the average of those of the experts, weighted with these "
            "probabilities.",
        ],
        "facts": summary.facts,
        "warnings": list(dict.fromkeys(found)),
        "notes": [" ".join(note.split()) for note in summary.notes if note not in found],
        "cards": make_cards(estimator, experts, columns, summary, text_format),
    }


def _profiles(
    estimator: Any, rows: ProfileRows, targets: list[int], options: PanelOptions
) -> list[Any]:
    """A picture of the experts and features, one for each class that is drawn."""
    classes = estimator.classes_.tolist() if is_classifier(estimator) else None
    has_coef = hasattr(estimator, "expert_coef_")
    pictures = []
    for target in targets if has_coef else targets[:1]:
        given = {
            "target": target if classes is None else classes[target],
            "sample_weight": rows.weight,
            "offset": rows.offset,
            "units": rows.units,
            "max_features": options.max_features,
            "feature_names": options.labels,
            "expert_names": options.expert_names,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
            pictures.append(profile_picture(estimator, rows.X, rows.y, given))
            if has_coef and _has_slopes(estimator):
                pictures.append(coefficients_picture(estimator, rows.X, rows.y, given))
    return pictures


def _has_slopes(estimator: Any) -> bool:
    """Whether an expert has a slope, or had one before its feature was dropped."""
    return bool(np.any(estimator.expert_coef_) or dropped_features(estimator).any())


def _describe_panel(panel: dict[str, Any]) -> dict[str, Any]:
    """The panel with its charts."""
    charts = make_charts(panel)
    named = {"axes": charts.axes, "grids": charts.grids}
    named |= {"inks": charts.inks, "papers": charts.papers}
    colours = [colour(k) for k in range(len(panel["classes"] or ()))]
    return {"panel": panel | named, "charts": charts.items(), "colours": colours}


def _describe_held_out(
    estimator: Any, rows: HeldOutRows | None, index: int, coverage: float
) -> dict[str, Any]:
    """Scores and calibration, if rows were held out."""
    if rows is None:
        return {"scores": [], "calibration": None, "n_held_out": 0}
    labels = [str(label) for label in getattr(estimator, "classes_", ())]
    return {
        "scores": held_out_scores(estimator, rows, index, coverage),
        "calibration": calibration_picture(estimator, rows, index, labels),
        "n_held_out": len(rows.y),
    }


def _describe_selection(estimator: Any) -> dict[str, Any] | None:
    """How the number of experts was selected; None if it was given."""
    table = selection_table(estimator)
    if table is None:
        return None
    return table | {"picture": selection_picture(estimator)}


def _describe_versions() -> dict[str, Any]:
    """When, and with what, the page was written."""
    return {
        "date": date.today().isoformat(),
        "versions": {
            "skmoe": import_module("skmoe").__version__,
            "Python": platform.python_version(),
            "NumPy": version("numpy"),
            "SciPy": version("scipy"),
            "scikit-learn": version("scikit-learn"),
            "matplotlib": version("matplotlib"),
            "Bokeh": version("bokeh"),
        },
    }
