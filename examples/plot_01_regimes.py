"""
Regimes in one variable
=======================

How does a mixture of experts fit a curve that changes its shape? The simulated readings are
those of a head in a crash test: at rest, then accelerated backwards, then forwards, then at rest,
with noise that increases at the impact.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, GateDisplay, export_text

# %%
# The readings: straight pieces, and noise that differs between them.

rng = np.random.default_rng(0)
time = rng.uniform(0, 55, size=400)
force = np.interp(time, [0, 14, 21, 32, 40, 55], [0, 0, -110, 40, 0, 0])
noise = np.interp(time, [0, 13, 17, 35, 45, 55], [2, 2, 20, 20, 8, 5])
X, y = time[:, None], force + noise * rng.normal(size=time.size)

# %%
# Five experts, each a straight line with its own noise variance. The penalty on the gate is small,
# as the regimes change abruptly.

moe = MixtureOfExpertsRegressor(5, gate_alpha=0.01, random_state=0).fit(X, y)
print(export_text(moe, feature_names=["time"], decimals=1))

# %%
# **Above**: the opacity of each line is the probability of its expert; the band holds 90 % of the
# predictive distribution. It is narrow before the impact, wide during it, and narrower after it.
#
# **Below**: the gate. Borders are smooth where two lines fit the readings about equally well.

figure, axes = plt.subplots(2, 1, figsize=(7, 7), sharex=True, layout="constrained")
ExpertsDisplay.from_estimator(moe, X, y, ax=axes[0])
gate = GateDisplay.from_estimator(moe, X, ax=axes[1], feature_names=["time"])
gate.legend_.remove()  # that of the upper panel serves both
axes[0].set(xlabel="", ylabel="acceleration")
axes[1].set_xlabel("time")
plt.show()
