"""
A mixture of mixtures
=====================

The hierarchical mixture of Jordan and Jacobs (1994): the experts of the mixture are mixtures
themselves. When is that the natural model? Here one feature separates two kinds of rows, and within
each kind another feature separates two regimes.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import GateDisplay

# %%
# Simulated: four regimes in a tree. On the left x1 splits at 1, on the right at -1.

rng = np.random.default_rng(0)
X = rng.uniform(-3, 3, size=(1600, 3))
left = X[:, 0] < 0
upper = X[:, 1] > np.where(left, 1, -1)
slope = np.select([left & upper, left, upper], [3.0, 1.0, -1.0], -3.0)
y = slope * X[:, 2] + 0.3 * rng.normal(size=len(X))
X_train, X_test, y_train, y_test = X[:800], X[800:], y[:800], y[800:]

# %%
# A flat mixture of four has one gate for all borders; the nested one has a gate for the halves, and
# one in each half.

flat = MixtureOfExpertsRegressor(4, random_state=0).fit(X_train, y_train)
inner = MixtureOfExpertsRegressor(2, n_init=1, random_state=0)
nested = MixtureOfExpertsRegressor(2, expert=inner, n_init=2, random_state=0).fit(X_train, y_train)
for name, moe in {"flat": flat, "nested": nested}.items():
    print(f"{name:<7} log density of new rows {moe.score_samples(X_test, y_test).mean():.3f}")

# %%
# **Left**: the most probable expert by the outer gate. **Middle and right**: that of each inner
# mixture; it matters only in the half in which the outer gate chooses the inner mixture, and there
# its border is the true one, dashed.

parts = [nested, *(models[0] for models in nested.experts_)]
titles = ["outer gate", "gate of expert 0", "gate of expert 1"]
figure, axes = plt.subplots(1, 3, figsize=(14, 4), sharey=True, layout="constrained")
for ax, part, title in zip(axes, parts, titles, strict=True):
    display = GateDisplay.from_estimator(part, X_train, features=(0, 1), ax=ax)
    ax.plot([-3, 0, 0, 0, 3], [1, 1, np.nan, -1, -1], color="black", linestyle="--")
    ax.plot([0, 0], [-3, 3], color="black", linestyle="--")
    ax.set(title=title, ylabel="x1" if part is nested else "")
    if ax is not axes[-1]:  # one legend serves all
        display.legend_.remove()
plt.show()
