"""
Trees or lines as experts?
==========================

Linear experts are read; tree experts bend. What does each see, and which predicts better? Here is a
table with smooth slopes on one side and steps on the other, and new rows to judge by.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor

# %%
# Simulated: a line on the left, stairs on the right.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-3, 3, size=n_rows))
    y = np.where(x < 0, -1 - x, np.floor(2.5 * x) % 3)
    return x[:, None], y + 0.15 * rng.normal(size=n_rows)


X, y = simulate(500, seed=0)
X_new, y_new = simulate(5000, seed=1)

# %%
# Tree experts are cross-fitted: each row is judged by trees that did not see it, so that the noise
# is honest. A list gives each expert a kind of its own.

models = {"two lines": "linear", "two trees": "tree", "a line and a tree": ["linear", "tree"]}
fitted = {}
for name, expert in models.items():
    fitted[name] = MixtureOfExpertsRegressor(2, expert=expert, random_state=0).fit(X, y)
    error = np.sqrt(np.mean((fitted[name].predict(X_new) - y_new) ** 2))
    density = fitted[name].score_samples(X_new, y_new).mean()
    print(f"{name:<18} error {error:.3f}   log density {density:+.3f}")

# %%
# Two lines miss the stairs and pay with a wide band. Trees follow the stairs, and cut the slope on
# the left into small steps. A line and a tree share the work as the table was made.

figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
for ax, (name, moe) in zip(axes, fitted.items(), strict=True):
    lower, upper = moe.predict_interval(X, coverage=0.9).T
    ax.scatter(X, y, s=6, color="#999999")
    ax.fill_between(X[:, 0], lower, upper, alpha=0.25, color="#0072B2", label="90 % interval")
    ax.plot(X, moe.predict(X), color="#0072B2", label="mean")
    ax.set(title=name, xlabel="x")
axes[0].set_ylabel("y")
axes[0].legend(loc="lower right")
plt.show()
