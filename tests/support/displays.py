"""Fitted mixtures of every kind that displays draw, and what tests read off a picture.

A display is enlisted by its name in `skmoe.inspection`: it gets those of the arguments here that
its methods have. A new display is drawn for every case.
"""

import warnings
from copy import copy
from functools import cache
from inspect import signature

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colors
from matplotlib.text import Text
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, inspection
from support.fits import fit_quietly
from support.tables import flipping_classes, machines, two_regimes

matplotlib.use("Agg")

DISPLAYS = {
    name: getattr(inspection, name) for name in inspection.__all__ if name.endswith("Display")
}
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 12}
NAMES = ["calm", "wild", "odd"]

# Arguments of a display that make it quick, or the same each time.
QUICK = {"n_repeats": 2, "random_state": 0, "subsample": 60, "level": None}


# --- cases ----------------------------------------------------------------------------------------


def lines():
    """Numbers of very different sizes, so that a margin in wrong units is seen."""
    X, y = two_regimes(150)
    X, y = X * [1e-3, 1.0, 1e3], 1e-3 * y
    return fit_quietly(MixtureOfExpertsRegressor("bic", **SHORT), X, y), X, y, {}


def one_feature():
    X, y = two_regimes(100, n_features=1)
    return fit_quietly(MixtureOfExpertsRegressor(1, **SHORT), X, y), X, y, {}


def categories():
    """Trees on a feature with a missing value and one with a missing category."""
    X, y = two_regimes(90)
    level = np.random.default_rng(0).choice(3, 90)
    frame = pd.DataFrame({"height": np.where(np.arange(90) == 3, np.nan, X[:, 0])})
    frame["region"] = pd.Categorical.from_codes(level, ["south", "north", "east"])
    frame.loc[7, "region"] = None
    moe = MixtureOfExpertsRegressor(2, expert="tree", cross_fit=False, **SHORT | {"max_iter": 2})
    y = y + 3.0 * level
    return fit_quietly(moe, frame, y), frame, y, {"features": "region"}


def classes():
    X, codes = flipping_classes(150, n_classes=3)
    y = np.array(["red", "green", "blue"])[codes]
    moe = MixtureOfExpertsClassifier(2, **SHORT)
    return fit_quietly(moe, X, y), X, y, {"target": "green"}


def counts():
    X, y = two_regimes(160)
    y, offset = np.floor(np.abs(y)), np.linspace(-0.3, 0.3, 160)
    given = {"units": np.repeat(np.arange(40), 4), "offset": offset}
    moe = MixtureOfExpertsRegressor(2, family="poisson", gate="constant", **SHORT)
    return fit_quietly(moe, X, y, **given), X, y, given


def outputs():
    X, y = two_regimes(150)
    Y = np.column_stack([y, 5.0 - X[:, 2] * np.sign(y)])
    return fit_quietly(MixtureOfExpertsRegressor(3, **SHORT), X, Y), X, Y, {"target": 1}


def series():
    X, y, units, time = machines()
    given = {"units": units, "time": time}
    moe = MixtureOfExpertsRegressor(2, gate="markov", **SHORT | {"max_iter": 60})
    return fit_quietly(moe, X, y, **given), X, y, given


# A fitted mixture, its features, its target, and further arguments of displays.
CASES = {
    case.__name__: cache(case)
    for case in (lines, one_feature, categories, classes, counts, outputs, series)
}

# What some displays do not draw.
REFUSED = {
    "CalibrationDisplay": ["classes"],
    "CoefficientsDisplay": ["categories"],
    "CourseDisplay": [case for case in CASES if case != "series"],
    "NumberOfExpertsDisplay": [case for case in CASES if case != "lines"],
    "RootogramDisplay": [case for case in CASES if case != "counts"],
    "SurvivalDisplay": ["classes"],
    "TrajectoriesDisplay": ["series"],
}
DRAWN = [(name, case) for name in DISPLAYS for case in CASES if case not in REFUSED.get(name, [])]


def parameters_of(name):
    """Parameters of `from_estimator` and of `plot`."""
    display = DISPLAYS[name]
    return {*signature(display.from_estimator).parameters, *signature(display.plot).parameters}


def named(estimator, names):
    """A copy of a mixture, of which the experts have names."""
    return copy(estimator).set_expert_names(names)


# Displays that name the experts.
NAMED = [name for name in DISPLAYS if "expert_names" in signature(DISPLAYS[name]).parameters]


def displays_with(parameter):
    return [
        name
        for name in DISPLAYS
        if parameter in signature(DISPLAYS[name].from_estimator).parameters
    ]


def case_of(name):
    """A case that a display draws."""
    return {"RootogramDisplay": "counts", "CourseDisplay": "series"}.get(name, "lines")


def draw(name, case, estimator=None, X=None, **options):
    """The display of a case, or of another estimator or table in its place."""
    moe, table, y, given = CASES[case]()
    known = parameters_of(name)
    data = {"X": table if X is None else X, "y": y}
    given = {key: value for key, value in (QUICK | given | data).items() if key in known}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "(?s).*(units|standard errors|Hessian|collapsed)")
        return DISPLAYS[name].from_estimator(estimator or moe, **given | options)


@cache
def drawn(name, case):
    """The same with names of experts, which tests read only."""
    moe = CASES[case]()[0]
    given = {"max_features": 2, "level": 0.8}
    moe = named(moe, NAMES[: moe.n_experts_])
    return draw(name, case, moe, **{key: given[key] for key in given if key in parameters_of(name)})


# --- equal pictures -----------------------------------------------------------------------------


def numbers_of(display):
    """What a display was made of, in one list of arrays and texts."""
    found, stack = [], [display]
    while stack:
        value = stack.pop()
        if type(value) in DISPLAYS.values():
            parameters = signature(type(value).__init__).parameters
            stack += [getattr(value, name) for name in parameters if name != "self"]
        elif isinstance(value, list | tuple):
            stack += value
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found.append(value.astype(float))
        elif isinstance(value, int | float):
            found.append(np.array(float(value)))
        else:
            found.append(str(value))
    return found


def assert_same_picture(display, other, rtol=1e-6):
    """Both were made of the same arrays and texts."""
    pair = numbers_of(display), numbers_of(other)
    assert len(pair[0]) == len(pair[1]) > 0
    for one, second in zip(*pair, strict=True):
        if isinstance(one, str):
            assert one == second
        else:  # the fits are converged to other last digits
            size = np.abs(one[np.isfinite(one)]).max(initial=1e-9)
            assert_allclose(one, second, rtol=rtol, atol=1e-2 * rtol * size)


# --- what is read off a picture -------------------------------------------------------------------


def texts(artists):
    """Texts of tick labels, of a legend, or of other artists."""
    artists = artists.get_texts() if hasattr(artists, "get_texts") else artists
    return [artist.get_text() for artist in artists]


def all_texts(display):
    """All texts of a picture, in one line."""
    found = display.figure_.findobj(Text)
    for ax in display.figure_.axes:
        found += [*ax.get_xticklabels(), *ax.get_yticklabels()]
    return " ".join(" ".join(text.get_text().split()) for text in found if text.get_visible())


@cache
def expert_lines(n_experts):
    """Lines of the gate, whose colours, dashes and markers stand for the experts everywhere."""
    gate = np.full((50, n_experts), 1.0 / n_experts)
    grid = np.arange(50.0)
    names = [f"expert {k}" for k in range(n_experts)]
    display = inspection.GateDisplay(
        feature_names=["x"], values=[grid], gate=gate, expert_names=names
    )
    return display.plot().lines_


def expert_colour(k):
    """Colour of an expert, in hexadecimal numbers."""
    return colors.to_hex(expert_lines(12)[k].get_color())


def expert_rgb(k):
    return np.array(colors.to_rgb(expert_colour(k)))


def at_medians(X, column, values):
    """Rows at the medians of X but for one column."""
    rows = np.tile(np.median(X, axis=0), (len(values), 1))
    rows[:, column] = values
    return rows


def frame_at_references(frame, column, values):
    """Rows with the medians and the most frequent categories of a frame but for one column."""
    rows = frame.iloc[[0] * len(values)].reset_index(drop=True)
    for name in frame.columns:
        is_number = frame[name].dtype.kind == "f"
        reference = frame[name].median() if is_number else frame[name].mode()[0]
        rows[name] = pd.Series([reference] * len(values)).astype(frame[name].dtype)
    rows[column] = pd.Series(values).astype(frame[column].dtype)
    return rows


def caption_of(figure):
    """The text below all panels; its getter is newer than the oldest matplotlib."""
    found = [text for text in figure.texts if text.get_position()[1] < 0.1]
    return found[0].get_text() if found else ""


def new_axes(n_axes=1):
    """Axes of a new figure."""
    return plt.subplots(1, n_axes)[1]


def three_digits(value):
    """A positive number below 1000 as texts of fits have it."""
    if value < 1e-4:
        return f"{value:.2e}"
    text = np.format_float_positional(value, 3, unique=False, fractional=False)
    return text.rstrip(".")
