"""
Intervals that adapt to the noise
=================================

How wide should an interval be? A linear model with one noise gives the same width everywhere: too
wide where the noise is small, too narrow where it is large. A mixture has a noise variance for each
regime.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CalibrationDisplay

# %%
# Simulated: the noise is four times larger on the right than on the left.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-3, 3, size=n_rows))
    noise = 0.2 + 0.6 / (1 + np.exp(-4 * x))
    return x[:, None], np.sin(x) + noise * rng.normal(size=n_rows)


X, y = simulate(600, seed=0)
X_new, y_new = simulate(2000, seed=1)

# %%
# One expert is a ridge regression with one noise; four follow the curve and the noise.

models = {
    "one expert": MixtureOfExpertsRegressor(1, random_state=0).fit(X, y),
    "four experts": MixtureOfExpertsRegressor(4, random_state=0).fit(X, y),
}
right = X_new[:, 0] > 1
for name, moe in models.items():
    lower, upper = moe.predict_interval(X_new, coverage=0.9).T
    inside = (lower <= y_new) & (y_new <= upper)
    print(
        f"{name:<14} 90 % intervals cover {inside.mean():.2f} of new rows: "
        f"{inside[~right].mean():.2f} on the left, {inside[right].mean():.2f} on the right"
    )

# %%
# **Above**: the band holds 90 % of each predictive distribution. **Below**: calibration on
# new rows. A PIT value is the predicted probability of a smaller y; they are uniform if calibrated.

figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
for (name, moe), column in zip(models.items(), axes.T, strict=True):
    lower, upper = moe.predict_interval(X, coverage=0.9).T
    column[0].scatter(X, y, s=6, color="#999999")
    column[0].plot(X, moe.predict(X), color="#0072B2", label="mean")
    column[0].fill_between(X[:, 0], lower, upper, alpha=0.25, color="#0072B2", label="90 %")
    column[0].set(title=name, xlabel="x", ylabel="y", ylim=(-3.5, 3.5))
    column[0].legend(loc="upper left")
    CalibrationDisplay.from_estimator(moe, X_new, y_new, ax=column[1])
plt.show()
