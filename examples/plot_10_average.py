"""
The best start, or the average of all?
======================================

The likelihood of a mixture has many maxima. By default the best of a few starts is kept.
``combine="average"`` keeps all of them and averages their densities. Does that improve the density
of held-out rows?
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor

# %%
# Simulated: a wave along an oblique direction, which five planes can approximate in many ways.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n_rows, 2))
    return X, np.sin(X[:, 0] + X[:, 1]) * X[:, 0] + 0.2 * rng.normal(size=n_rows)


X_new, y_new = simulate(4000, seed=100)

# %%
# Six tables of 600 rows, fitted both ways.

scores = {"best": [], "average": []}
for seed in range(6):
    X, y = simulate(600, seed)
    for combine in scores:
        moe = MixtureOfExpertsRegressor(5, combine=combine, random_state=0).fit(X, y)
        scores[combine].append(moe.score_samples(X_new, y_new).mean())
print({combine: np.round(values, 3).tolist() for combine, values in scores.items()})

# %%
# Each line is one table: the average of four starts predicts at least as well as the best of them,
# and better on most tables. But it is a mixture of twenty experts, which is hard to interpret.

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot([0, 1], [scores["best"], scores["average"]], marker="o", color="#0072B2")
ax.set(xlim=(-0.3, 1.3), ylabel="log density of new rows")
ax.set_xticks([0, 1], ["best start", "average"])
plt.show()
