"""What all results have: a frame, a text for terminals and notebooks, copies, and refusals."""

import copy
import pickle
import sys
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import average_effects
from skmoe.model_selection import n_experts_table
from support.fits import CLASSES, Y, classifier, fit_quietly, fitted_case, regressor, short_fit
from support.fits import X as TABLE
from support.refusals import assert_refused, refusal

X = pd.DataFrame(TABLE, columns=["price", "<i>age</i>\x1b"])


@cache
def fitted():
    moe = fit_quietly(regressor(n_experts=2, max_iter=3), X, Y)
    return moe.set_expert_names(["small", "large <b>"])


RESULTS = {
    "inference": lambda: fitted().inference(X, Y),
    "summary": lambda: fitted().summary(X, Y),
    "summary of classes": lambda: fit_quietly(
        classifier(n_experts=2, max_iter=3), X, np.array(["low", "ring\x07"])[CLASSES]
    ).summary(),
    "explanation": lambda: fitted().explain(X),
    "units": lambda: fitted().responsibilities(X, Y, units=np.arange(len(Y))),
    "effects": lambda: average_effects(fitted(), X),
    "table": lambda: n_experts_table(regressor(max_iter=3), TABLE, Y, [1, 2], init=None),
}


@cache
def result(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RESULTS[name]()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RESULTS)
def test_results_have_a_frame_and_a_text(name, monkeypatch):
    """In notebooks the frame, or without pandas the text, in which names are no code."""
    shown = result(name)
    frame, text = shown.to_frame(), str(shown)
    assert len(frame)
    assert all(line.isprintable() for line in text.split("\n"))
    for again in (copy.copy(shown), copy.deepcopy(shown), pickle.loads(pickle.dumps(shown))):
        pd.testing.assert_frame_equal(again.to_frame(), frame)
        assert str(again) == text
    has_page = not name.startswith("summary")
    if has_page:
        page = shown._repr_html_()
        assert "<table" in page
        assert "<b>" not in page
        assert "<i>" not in page
        with pd.option_context("display.notebook_repr_html", False):
            assert shown._repr_html_().startswith("<pre>")
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert str(shown) == text
    assert_refused(refusal(shown.to_frame), f"{type(shown).__name__}.to_frame", ".[frames]")
    if has_page:
        page = shown._repr_html_()
        assert page.startswith("<pre>")
        assert page.count("&lt;") == repr(shown).count("<")
        assert "<b>" not in page


ROW = [[0.0]], [0.0]
METHODS = {"summary": (), "inference": ROW, "explain": ROW[:1], "aic": ROW, "bic": ROW, "icl": ROW}


@pytest.mark.parametrize("method", METHODS)
def test_methods_need_a_fit(method):
    with pytest.raises(NotFittedError):
        getattr(MixtureOfExpertsRegressor(), method)(*METHODS[method])


@pytest.mark.parametrize("level", [0.0, 1, 95, -0.5, True, "0.9", None, [0.9], np.nan])
def test_levels_are_probabilities(level):
    moe = short_fit("two experts")
    inference = moe.inference(TABLE, Y)
    for call in (inference.conf_int, inference.to_frame, lambda level: moe.summary(level=level)):
        assert_refused(refusal(call, level), "level must be in (0, 1);", level, "0.95")


def test_effects_of_the_gate_are_hypotheses():
    """Also of a constant one: that two experts have equal probabilities."""
    moe = fitted_case("constant gate")
    found = moe.inference(TABLE, Y)
    of_gate = np.array([term.part == "gate" for term in found.terms])
    shares = moe.weights_[1:] / moe.weights_[0]
    assert_allclose(found.estimates[of_gate], np.log(shares), rtol=1e-6)
    assert np.isfinite(found.p_values[of_gate]).all()
