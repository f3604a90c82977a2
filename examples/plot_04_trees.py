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
# Simulated: where x0 is negative, a plane over x1 and x2; else a board of steps.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n_rows, 3))
    steps = 2 * (np.floor(X[:, 1]) % 2) * np.sign(X[:, 2])
    y = np.where(X[:, 0] < 0, X[:, 1] - X[:, 2], steps)
    return X, y + 0.2 * rng.normal(size=n_rows)


X, y = simulate(1000, seed=0)
X_new, y_new = simulate(2000, seed=1)

# %%
# Tree experts are cross-fitted: each row is judged by trees that did not see it, so that the noise
# is honest. A list gives each expert a kind of its own.

models = {"two lines": "linear", "two trees": "tree", "a line and a tree": ["linear", "tree"]}
fitted = {}
for name, expert in models.items():
    fitted[name] = moe = MixtureOfExpertsRegressor(2, expert=expert, random_state=0).fit(X, y)
    error = np.sqrt(np.mean((moe.predict(X_new) - y_new) ** 2))
    density = moe.score_samples(X_new, y_new).mean()
    noise = np.sqrt(moe.noise_variance_).round(2)
    print(f"{name:<18} error {error:.3f}   log density {density:+.3f}   noise of experts {noise}")

# %%
# The errors of new rows over the feature that rules the regimes, in the colour of the most probable
# expert. Two lines know the plane and give up on the steps. Two trees follow both, the plane in
# small steps; neither has a side of its own. A line and a tree share the work as the table was
# made: the line finds the noise of 0.2 on its side. That is the best density, and the mixture that
# can be read. The least error is that of two trees, as both work on the steps.

figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
for ax, (name, moe) in zip(axes, fitted.items(), strict=True):
    expert, off = moe.apply(X_new), y_new - moe.predict(X_new)
    for k, colour in enumerate(["#0072B2", "#E69F00"]):
        own = expert == k
        ax.scatter(X_new[own, 0], off[own], s=5, color=colour, label=f"expert {k}")
    ax.set(title=name, xlabel="x0")
axes[0].set_ylabel("observed minus predicted")
axes[0].legend(loc="upper left", markerscale=3)
plt.show()
