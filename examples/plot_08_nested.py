"""
When are mixtures the experts of a mixture?
===========================================

The hierarchical mixture of Jordan and Jacobs (1994): the experts of the mixture are mixtures
themselves. When is that the natural model? Here one feature separates two kinds of rows, and within
each kind another feature separates two regimes.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import GateDisplay

# sphinx_gallery_thumbnail_number = 2

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
nested = MixtureOfExpertsRegressor(2, expert=inner, n_init=1, random_state=0).fit(X_train, y_train)
for name, moe in {"flat": flat, "nested": nested}.items():
    print(f"{name:<7} log density of new rows {moe.score_samples(X_test, y_test).mean():.3f}")

# %%
# **Left**: the outer gate, which separates the halves. We name them by where they are. **Middle
# and right**: the gate of the mixture in each half. It matters only in its own half, where its
# border is the true one, dashed.

halves = np.where(nested.predict_gate([[-2, 0, 0]])[0] > 0.5, "left", "right")
nested.set_expert_names(halves.tolist())
parts = [nested, *(models[0] for models in nested.experts_)]
titles = ["outer gate", *(f"gate of the {half} half" for half in halves)]
figure, axes = plt.subplots(1, 3, figsize=(14, 4), sharey=True, layout="constrained")
for ax, part, title in zip(axes, parts, titles, strict=True):
    if part is not nested:
        part.set_expert_names(["a", "b"])
    GateDisplay.from_estimator(part, X_train, features=(0, 1), ax=ax)
    ax.plot([-3, 0, 0, 0, 3], [1, 1, np.nan, -1, -1], color="black", linestyle="--")
    ax.plot([0, 0], [-3, 3], color="black", linestyle="--")
    ax.set(title=title, ylabel="x1" if part is nested else "")
    ax.get_legend().remove()  # the regions have names
plt.show()

# %%
# Both levels together: the most probable of the four experts, at x2 = 0.

axis = np.linspace(-3, 3, 200)
grid = np.stack([*np.meshgrid(axis, axis), np.zeros((200, 200))], axis=-1).reshape(-1, 3)
outer = nested.predict_gate(grid)
both = np.hstack([outer[:, [k]] * parts[k + 1].predict_gate(grid) for k in range(2)])
figure, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
ax.pcolormesh(axis, axis, both.argmax(axis=1).reshape(200, 200), cmap="cividis")
ax.plot([-3, 0, 0, 0, 3], [1, 1, np.nan, -1, -1], color="white", linestyle="--")
ax.set(xlabel="x0", ylabel="x1", title="four experts")
plt.show()
