"""export_html: a fitted mixture as one page that opens without a network."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from datetime import date
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.censored_targets import bounds_of, times_and_events
from skmoe._data.checks import check_integer, has_bounds, shown
from skmoe._data.rows import Rows
from skmoe._inference.labels import counted_noun, printable_name
from skmoe._optional import import_bokeh, import_jinja2, import_report_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._report._inputs import Report, make_inputs
from skmoe.inspection._report._panel import make_charts, make_panel
from skmoe.inspection._report._sections import (
    describe_fit,
    describe_scores,
    make_cards,
    make_pictures,
)
from skmoe.inspection._report._series import is_known
from skmoe.inspection._subject import (
    PER_EXPOSURE,
    check_names,
    check_rows,
    check_targets,
    find_mixture,
    positive_rows,
    responsibilities_of_rows,
    target_name,
)


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
    units_held_out: Any = None,
    time: Any = None,
    time_held_out: Any = None,
    known_experts: Any = None,
    target: Any = None,
    row: int | None = None,
    coverage: float = 0.9,
    max_features: int = 12,
    title: str | None = None,
) -> None:
    """Write a report about a fitted mixture: one page that opens without a network.

    The page has a card for each expert, with the mean of y, who its rows are, and what changes its
    prediction. Scores on held-out rows stand beside those of simpler models. Details of the fit
    follow a panel: equations, coefficients, calibration, and how the number was selected. Features
    have the names of the columns of X, and experts those of `set_expert_names`.

    In its panel the features are moved, and experts, prediction and predictive distribution follow.
    The features are the columns of the input of a pipeline. The page computes predictions itself if
    they are formulas: a softmax of the features as gate, and experts with linear predictors, also
    behind steps that encode categories or scale columns. Of other mixtures it shows predictions and
    intervals on slices, along one feature at a time through the starting row. Such are those of
    trees, with a base model, with `top_k`, or with a transformer at the gate. Of censored times the
    panel shows probabilities of no event until each time. With `gate="markov"` a section shows how
    long the regimes last, where they lead, and the course of one unit; the probabilities of the
    panel are those of the long run. See "A report" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features; those of the fit for standard errors and warnings.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target; times may be right-censored (`skmoe.data.right_censored`).
    path : str or path-like
        File to write. An existing one is replaced.
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
    units_held_out : array-like of shape (n_held_out,), default=None
        Units of the held-out rows, for a fit with `gate="markov"`, whose predictions know earlier
        rows of their unit.
    time, time_held_out : array-like, default=None
        Order of the rows of a unit, as in `fit` with `gate="markov"`.
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Known experts of the rows, as in `fit`.
    target : class label or int, default=None
        The class that is drawn, or the index of the output that is described. None for the second
        of two classes, all of several, or the only output.
    row : int, default=None
        Index of the row of X with which the panel starts; None for the median of each number and
        the most frequent of each category.
    coverage : float, default=0.9
        Probability of predictive intervals, in (0, 1).
    max_features : int, default=12
        Largest number of features in the panel and in pictures: those with the largest effects.
    title : str, default=None
        Title of the page; None for the name of the target.

    Raises
    ------
    ImportError
        If Bokeh, Jinja2 or matplotlib is not installed, which the extra `report` has.
    TypeError
        If the estimator is not a mixture of experts.
    ValueError
        If rows have other columns than those of the fit, targets another length, or only one of
        `X_held_out` and `y_held_out` is given. If a parameter is outside its range, or the folder
        of `path` does not exist.
    OSError
        If the file cannot be written.

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
    ...     export_html(moe, X[:150], y[:150], path, X_held_out=X[150:], y_held_out=y[150:])
    ...     path.read_text("utf-8")[:15]
    '<!DOCTYPE html>'
    """
    for import_package in (import_report_pyplot, import_bokeh, import_jinja2):
        import_package("export_html")
    view, X_own, note = find_mixture(estimator, X)
    y, y_held_out, horizon = _times(view, y, y_held_out)
    features, coverage = check_names(view, None), check_coverage(coverage)
    check_integer("max_features", max_features, least=1)
    file = Path(path) if isinstance(path, str | os.PathLike) else None
    if file is None or file.is_dir() or not file.parent.is_dir():
        raise ValueError(
            f"path must be the name of a file, in a folder that exists; got {shown(path)}. The "
            "call is export_html(estimator, X, y, path)."
        )
    X_own = check_rows("y", view, X_own, y)
    if row is not None:
        row = check_integer("row", row, least=0, most=X_own.shape[0] - 1)
    given = Rows(X_held_out, y_held_out, sample_weight_held_out, offset_held_out, units_held_out)
    held_out = check_held_out(estimator, view, given._replace(time=time_held_out))
    outputs = check_targets(view, target, X_own)
    name = "time" if horizon is not None else target_name(view, y, outputs[0])
    name = getattr(y, "name", None) or "the class" if is_classifier(view) else name
    name = printable_name(str(name))
    has_offset, belongs = offset is not None, (y, sample_weight, offset, units)
    rows = positive_rows(Rows(X_own, *belongs, possible=known_experts, time=time))
    resp, shares = responsibilities_of_rows(view, rows)
    shown_name = name + PER_EXPOSURE * (has_offset and horizon is None)
    report = Report(view, rows, shown_name, outputs, coverage, horizon, max_features, held_out)

    inputs = make_inputs(estimator, X, row, None if note else features)
    own_rows = positive_rows(Rows(inputs.X, *belongs))
    known = np.flatnonzero(is_known(own_rows.y, own_rows.n_rows))
    if len(known) < own_rows.n_rows:
        own_rows, resp = own_rows.take(known), resp[known]
    of_user = report._replace(mixture=inputs.mixture, rows=own_rows)
    strongest = inputs.strongest(of_user)
    panel = make_panel(of_user, inputs, strongest)
    default_title = f"{'Mixture of experts' if len(shares) > 1 else 'Model'} for {name}"
    context = {
        "title": default_title if title is None else printable_name(str(title)),
        "row": row,
        "has_offset": has_offset,
        "n_rows": rows.n_rows,
        "counted": counted_noun(hasattr(view, "n_units_")),
        "is_transformed": bool(note),
        "cards": make_cards(of_user, inputs, strongest, resp, shares),
        **describe_fit(report),
        "pictures": make_pictures(report),
        "panel": panel,
        "charts": make_charts(panel),
        "scores": None if held_out is None else describe_scores(report, held_out),
        "n_held_out": 0 if held_out is None else is_known(held_out.y, held_out.n_rows).sum(),
        "date": date.today().isoformat(),
        "version": import_module("skmoe").__version__,
    }
    file.write_text(render_page(context), "utf-8", newline="\n")


# --- what is given ----------------------------------------------------------------------------


def _times(estimator: Any, y: Any, y_held_out: Any) -> tuple[Any, Any, float | None]:
    """Targets, times as bounds, and the time at which the panel starts; None without times."""
    if is_classifier(estimator) or not (has_bounds(y) or has_bounds(y_held_out)):
        return y, y_held_out, None
    times, _ = times_and_events("the report", y)
    held_out = None if y_held_out is None else bounds_of(y_held_out)
    return bounds_of(y), held_out, float(f"{np.median(times):.3g}")


def check_held_out(estimator: Any, view: Any, given: Rows) -> Rows | None:
    """Rows of positive weight that were held out, with targets; None if none are given."""
    X, y, weight = given[:3]
    named = {"X_held_out": X, "y_held_out": y, "sample_weight_held_out": weight}
    missing = [name for name, values in named.items() if values is None]
    if len(missing) == 3 and not given.arguments:
        return None
    if X is None or y is None:
        raise ValueError(
            "X_held_out and y_held_out must be given together, and sample_weight_held_out and "
            f"offset_held_out belong to them; got no {missing[0]}. Pass both, or none of the four."
        )
    X = check_rows("y_held_out", view, find_mixture(estimator, X).X, y)
    return positive_rows(given._replace(X=X))


# --- the file ---------------------------------------------------------------------------------


def render_page(context: Mapping[str, Any]) -> str:
    """The page, in which every text of the context is escaped, and only its scripts may run."""
    scripts = [_library_script(), _read("model.js") + _read("panel.js")]
    digests = [hashlib.sha256(script.encode("utf-8")).digest() for script in scripts]
    hashes = [base64.b64encode(digest).decode("ascii") for digest in digests]
    environment = import_jinja2("export_html").Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # Bokeh reads objects in the order in which they are written.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    template = environment.from_string(_read("page.html"))
    given = {"style": _read("page.css"), "scripts": scripts, "script_hashes": hashes}
    page: str = template.render(**context, **given)
    return page


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _library_script() -> str:
    """The script of Bokeh, without the addresses from which it would load fonts and formulas."""
    options = {"components": ["bokeh"], "minified": True, "log_level": "error"}
    given = import_module("bokeh.resources").Resources(mode="inline", **options)
    return re.sub(r"https://cdn\.[^\"'`)]*", "", "\n".join(given.js_raw))
