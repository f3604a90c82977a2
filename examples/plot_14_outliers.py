"""
Outliers
========

One row in twenty is a gross error. Does the mixture still find the two regimes? The squared error
of normal experts follows outliers. Student's t has heavy tails, and a list of families may have a
uniform component that takes them.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import Uniform

# %%
# Simulated: y rises by 2 per unit of x in one regime and falls by 1 in the other, and 5 % of the
# rows have any value between -60 and 60.


def simulate(n_rows, seed, outliers=0.05):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n_rows, 1))
    y = np.where(X[:, 0] > 0, 2 * X[:, 0], -X[:, 0]) + 0.5 * rng.normal(size=n_rows)
    is_outlier = rng.uniform(size=n_rows) < outliers
    return X, np.where(is_outlier, rng.uniform(-60, 60, size=n_rows), y), is_outlier


X, y, is_outlier = simulate(800, seed=0)
X_new, y_new, _ = simulate(5000, seed=1)

# %%
# `"uniform"` has the range of y in the fit, outside of which a new row has a very low density. A
# wider one can be given.

outliers = Uniform(low=(-80.0,), high=(80.0,))
mixtures = {
    "normal": MixtureOfExpertsRegressor(2, random_state=0),
    "student_t": MixtureOfExpertsRegressor(2, family="student_t", random_state=0),
}
listed = ["normal", "normal", outliers]
mixtures["normal, normal, uniform"] = MixtureOfExpertsRegressor(3, family=listed, random_state=0)

# %%
# The slopes are 2 and -1. The log score of new rows, with outliers among them, compares the whole
# distributions: normal experts have no place for outliers but a large variance.

for name, moe in mixtures.items():
    moe.fit(X, y)
    slopes = np.sort(moe.expert_coef_[:2, 0]).round(2)
    print(f"{name:<24} slopes {slopes}, log score {moe.score_samples(X_new, y_new).mean():.2f}")
print("degrees of freedom:", mixtures["student_t"].df_.round(2))

# %%
# The responsibility of the uniform component is the probability that a row is an outlier. Those
# that it misses lie near the lines by chance.

suspected = mixtures["normal, normal, uniform"].responsibilities(X, y)[:, 2] > 0.5
print(pd.crosstab(suspected, is_outlier, rownames=["suspected"], colnames=["outlier"]))

# %%
# The rows, and the means of the two regressions where the gate gives them a probability of more
# than 5 %. Outliers beyond the edges are not drawn. **Left**: normal experts, one of which has
# become a model of the outliers. **Middle**: Student's t. **Right**: rows in red are outliers by
# their responsibility.

grid = np.linspace(-3, 3, 301)[:, None]
figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
for (name, moe), ax in zip(mixtures.items(), axes, strict=True):
    red = suspected & ("uniform" in name)
    ax.scatter(X[~red], y[~red], s=5, color="#999999")
    ax.scatter(X[red], y[red], s=8, color="#D55E00")
    means, gate = moe.predict_experts(grid), moe.predict_gate(grid)
    for k, colour in enumerate(["#0072B2", "#E69F00"]):
        shown = gate[:, k] > 0.05
        ax.plot(grid[shown], means[shown, k], color=colour, linewidth=2.5)
    ax.set(title=name, xlabel="x", ylabel="y", ylim=(-12, 14))
plt.show()
