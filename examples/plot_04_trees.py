"""
Trees or lines as experts?
==========================

Linear experts can be interpreted; tree experts are flexible. What does each fit, and which predicts
better? The table has linear slopes on one side and steps on the other, and new rows for the
comparison.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor

# sphinx_gallery_thumbnail_number = 2

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
# Tree experts are cross-fitted: noise variances come from out-of-fold predictions, so that they are
# not too small. A list gives each expert its own kind.

models = {"two lines": "linear", "two trees": "tree", "a line and a tree": ["linear", "tree"]}
fitted, densities = {}, {}
for name, expert in models.items():
    fitted[name] = moe = MixtureOfExpertsRegressor(2, expert=expert, random_state=0).fit(X, y)
    error = np.sqrt(np.mean((moe.predict(X_new) - y_new) ** 2))
    densities[name] = density = moe.score_samples(X_new, y_new).mean()
    noise = np.sqrt(moe.noise_variance_).round(2)
    print(f"{name:<18} error {error:.3f}   log density {density:+.3f}   noise of experts {noise}")

# %%
# The errors of new rows over the feature that separates the regimes, with the colour and the sign
# of the most probable expert. **Two lines** fit the plane on the left and not the steps on the
# right, which differ from them by up to 4. **Two trees** fit both, the plane by small steps, and do
# not separate the sides. **A line and a tree** separate as the table was made: the line finds the
# noise of 0.2 on its side.

figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
for ax, (name, moe) in zip(axes, fitted.items(), strict=True):
    expert, off = moe.apply(X_new), y_new - moe.predict(X_new)
    for k, (colour, marker) in enumerate([("#0072B2", "o"), ("#E69F00", "x")]):
        own = np.flatnonzero(expert == k)[:300]  # as few rows as do not hide each other
        style = {"s": 9, "linewidths": 0.8, "marker": marker, "color": colour}
        ax.scatter(X_new[own, 0], off[own], label=f"expert {k}", **style)
    ax.set(title=name, xlabel="x0")
axes[0].set_ylabel("observed minus predicted")
for ax in axes:
    ax.legend(loc="upper left", markerscale=2)
plt.show()

# %%
# A line and a tree have the best density, an error about as small as that of two trees, and can be
# interpreted.

figure, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
ax.barh(list(densities), list(densities.values()), color="#0072B2")
ax.set(xlabel="log density of new rows")
plt.show()
