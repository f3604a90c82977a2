"""A report asks no network, whatever users call their columns, targets, classes and experts."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.report_panels import write_page

pytest.importorskip("bokeh")

# What the library of the charts takes for formulas, for which it would fetch a script.
FORMULAS = [r"$$\frac{1}{2}$$", r"\[x\]", r"\(y\)"]


@pytest.mark.parametrize("kind", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_no_name_is_a_formula_in_charts(kind, tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 3)), columns=FORMULAS)
    y = X.iloc[:, 0] + rng.normal(size=60)
    if kind is MixtureOfExpertsClassifier:
        y = pd.Series(np.array(FORMULAS[:2])[(y > 0).astype(int)])
    y.name = FORMULAS[0]
    moe = fit_quietly(kind(2, random_state=0, n_init=1, max_iter=5), X, y)
    page = write_page(tmp_path, moe, X, y, expert_names=FORMULAS[:2], title=FORMULAS[2])
    charts = json.dumps(page.charts)
    assert "frac{1}{2}" in charts
    assert not re.search(r"\$\$|\\\\[\[(]", charts)
