"""
Sparse routing
==============

With ``top_k`` each row is routed to its most probable experts only, as in large sparse networks.
What does that change in the gate, in the load of the experts and in the fit?
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, GateDisplay

# %%
# Simulated: a wave, which many short lines approximate.

rng = np.random.default_rng(0)
X = rng.uniform(-3, 3, size=(800, 1))
y = np.sin(2 * X[:, 0]) + 0.15 * rng.normal(size=len(X))
X_new = rng.uniform(-3, 3, size=(4000, 1))
y_new = np.sin(2 * X_new[:, 0]) + 0.15 * rng.normal(size=len(X_new))

# %%
# The same mixture, dense and with one or two experts for each row.

models = {}
for top_k in (None, 2, 1):
    moe = MixtureOfExpertsRegressor(6, gate_alpha=0.1, top_k=top_k, random_state=0).fit(X, y)
    models["dense" if top_k is None else f"top_k={top_k}"] = moe
    n_routed = (moe.predict_gate(X_new) > 0).sum(axis=1).mean()
    print(
        f"top_k={top_k!s:<5} experts per row {n_routed:.1f}   "
        f"log density of new rows {moe.score_samples(X_new, y_new).mean():+.3f}   "
        f"load {moe.load_.astype(int)}"
    )

# %%
# **Above**: the mean of the mixture, which jumps where experts are switched on and off. **Below**:
# the gate. With ``top_k`` every row has at most that many experts with positive probability.

figure, axes = plt.subplots(2, 3, figsize=(14, 6), sharex=True, layout="constrained")
for (name, moe), column in zip(models.items(), axes.T, strict=True):
    ExpertsDisplay.from_estimator(moe, X, y, ax=column[0], coverage=None)
    GateDisplay.from_estimator(moe, X, ax=column[1])
    column[0].set(title=name, xlabel="")
    for ax in column:
        if name != "top_k=1" and ax.get_legend():
            ax.get_legend().remove()
plt.show()
