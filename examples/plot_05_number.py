"""
How many experts?
=================

``n_experts="auto"`` tries one, two, three and more experts on part of the rows, and takes the
smallest number whose density of the other rows is about as good as the best. What does it find
where the true number is known?
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, NumberOfExpertsDisplay

# %%
# Simulated: three straight pieces, and a second feature without effect.

rng = np.random.default_rng(0)
X = rng.uniform(-3, 3, size=(600, 2))
x = X[:, 0]
y = np.select([x < -1, x < 1], [2 + x, -1 - x], 3 - 1.5 * x) + 0.3 * rng.normal(size=len(x))

moe = MixtureOfExpertsRegressor("auto", gate_alpha=0.01, random_state=0).fit(X, y)
print("tried: ", moe.n_experts_tried_)
print("scores:", moe.n_experts_scores_.round(3))
print("chosen:", moe.n_experts_)

# %%
# The score increases steeply up to three experts and then stays constant: more experts do not
# improve the density of held-out rows. Bars are standard errors of the difference from the best
# score; the smallest number that is not worse by two of them is selected.

NumberOfExpertsDisplay.from_estimator(moe)
plt.show()

# %%
# The three experts, each on its own piece.

ExpertsDisplay.from_estimator(moe, X, y, features=0)
plt.show()
