"""
Where is a forest right, and where a line?
==========================================

Two models of the same data are right in different places. A stack fits both to all rows, and trains
a gate on their out-of-fold densities. Does it find out where each is right?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score

from skmoe import GatedStackingRegressor, MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer

# %%
# Simulated: steps on the left, which a forest sees, and on the right a line with little noise,
# which a forest can only cut into pieces.

rng = np.random.default_rng(0)
x = rng.uniform(-3, 3, size=700)
y = np.where(x < 0, np.floor(3 * x) % 2, 1.5 * x) + np.where(x < 0, 0.3, 0.05) * rng.normal(
    size=700
)
X = x[:, None]

models = {
    "mixture": MixtureOfExpertsRegressor(2, random_state=0),
    "forest": RandomForestRegressor(50, min_samples_leaf=5, random_state=0),
}
stack = GatedStackingRegressor(list(models.items()), gate_alpha=10, random_state=0).fit(X, y)

# %%
# The log density of held-out rows, of the mixture and of the stack.

for name, model in {"mixture": models["mixture"], "stack": stack}.items():
    print(name, cross_val_score(model, X, y, cv=2, scoring=log_density_scorer).mean().round(2))

# %%
# Above: the predictions of both models. Below: the gate trusts the forest where the steps are, and
# the mixture, one of whose experts is the line with its small noise, on the right.

grid = np.linspace(-3, 3, 400)[:, None]
figure, (above, below) = plt.subplots(
    2, sharex=True, height_ratios=[2, 1], figsize=(6, 5), layout="constrained"
)
above.plot(x, y, ".", color="0.8", markersize=3)
colours = ["#0072B2", "#D55E00"]
for k, (name, colour) in enumerate(zip(models, colours, strict=True)):
    above.plot(grid, stack.predict_experts(grid)[:, k], color=colour, label=name)
    below.plot(grid, stack.predict_gate(grid)[:, k], color=colour)
above.set(ylabel="y")
above.legend()
below.set(xlabel="x", ylabel="probability", ylim=(0, 1))
plt.show()
