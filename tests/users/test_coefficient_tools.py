"""Tools that read the coefficients of linear models, and how they are given a mixture."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance

from skmoe import MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer
from support.tables import two_regimes


@pytest.fixture(scope="module")
def fitted():
    """Column 3 has no effect, and small units: its slopes are the largest."""
    X, y = two_regimes(n_rows=400)
    noise = 1e-4 * np.random.default_rng(0).normal(size=(400, 1))
    X = np.hstack([X, noise])
    return MixtureOfExpertsRegressor(2, alpha=1e-6, random_state=0).fit(X, y), X, y


def importances(moe, X):
    """Mean size of the effects of one standard deviation of each feature."""
    effects = moe.explain(X)
    return np.abs(effects.slope + effects.gate_effect).mean(axis=0) * X.std(axis=0)


def test_features_are_selected_by_effects_on_the_prediction(fitted):
    moe, X, y = fitted
    found = importances(moe, X)
    assert found.argmin() == 3
    selector = SelectFromModel(moe, prefit=True, importance_getter=lambda moe: importances(moe, X))
    assert not selector.get_support()[3]
    permuted = permutation_importance(moe, X, y, scoring=log_density_scorer, random_state=0)
    assert permuted.importances_mean.argmin() == 3


def test_shap_values_of_predict_add_up_to_the_prediction(fitted):
    shap = pytest.importorskip("shap")
    moe, X, _ = fitted
    with pytest.raises(TypeError, match="not callable"):
        shap.Explainer(moe, X[:50])
    values = shap.Explainer(moe.predict, X[:50])(X[:5])
    assert values.values.shape == (5, 4)
    assert_allclose(values.values.sum(axis=1) + values.base_values, moe.predict(X[:5]), rtol=1e-6)
