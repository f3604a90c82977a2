"""
Is a mixture better than one linear model or boosting?
======================================================

When does a mixture predict better than one linear model, and when is boosting better than both?
Four tables that ship with scikit-learn, each model with its defaults and without tuning, scored by
three-fold cross-validation.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor

# %%
# **Diabetes**: the course of the disease. **Wine**: the proline of a wine from its other measures.
# **Tumours**: the worst concavity of the cells from means over cells. **Digits**: the ink in one
# pixel of a written digit from that in the others.

wine, cells, digits = load_wine().data, load_breast_cancer().data, load_digits().data[:600]
tables = {
    "diabetes": load_diabetes(return_X_y=True),
    "wine": (wine[:, :-1], wine[:, -1]),
    "tumours": (cells[:, :10], cells[:, 26]),
    "digits": (np.delete(digits, 36, axis=1), digits[:, 36]),
}
models = {
    "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 6))),
    "boosting": HistGradientBoostingRegressor(random_state=0),
    "mixture of 2": MixtureOfExpertsRegressor(2, random_state=0),
}

# %%
# The error is that of the mean, in standard deviations of y. The log density depends on the whole
# distribution; ridge and boosting have one noise variance, that of their out-of-fold errors.


def evaluate(model, X, y, X_new, y_new):
    off = y_new - model.fit(X, y).predict(X_new)
    if isinstance(model, MixtureOfExpertsRegressor):
        return off**2, model.score_samples(X_new, y_new)
    noise = np.std(y - cross_val_predict(model, X, y, cv=3))
    return off**2, -0.5 * (np.log(2 * np.pi * noise**2) + (off / noise) ** 2)


scores = np.zeros((2, len(models), len(tables)))
for j, (X, y) in enumerate(tables.values()):
    y = (y - y.mean()) / y.std()
    for i, model in enumerate(models.values()):
        folds = KFold(3, shuffle=True, random_state=0).split(X)
        scored = [evaluate(model, X[fit], y[fit], X[held], y[held]) for fit, held in folds]
        squares, density = np.concatenate(scored, axis=1)
        scores[:, i, j] = np.sqrt(squares.mean()), density.mean()

# %%
# A small error and a large log density are good. **Diabetes**: a linear model is as good as the
# others. **Tumours**: the mixture is best, above all in density: it separates certain from
# uncertain rows. **Wine**: boosting has the smallest error, the mixture the best density.
# **Digits**: many pixels interact, and boosting is best by far. A mixture on top of boosting, as in
# :doc:`plot_09_base`, would have its means.

rows = np.arange(len(tables))
styles = [("#999999", "o"), ("#E69F00", "s"), ("#0072B2", "D")]
for values, label in zip(scores, ["error", "log density"], strict=True):
    figure, ax = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
    ax.hlines(rows, values.min(axis=0), values.max(axis=0), color="0.8", linewidth=3, zorder=0)
    for row, (name, (colour, marker)) in zip(values, zip(models, styles, strict=True), strict=True):
        ax.plot(row, rows, marker, color=colour, markersize=9, label=name)
    ax.set(yticks=rows, yticklabels=tables, ylim=(3.4, -0.4), xlabel=f"{label} of held-out rows")
    ax.legend()
plt.show()
for name, errors, densities in zip(models, *scores, strict=True):
    print(f"{name:<13} error {errors.round(3)}   log density {densities.round(2)}")
