"""
A mixture on top of boosting
============================

Boosting predicts means well, but no distributions. With ``base`` a mixture models the residuals of
boosting: where is the noise small, and where large?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import cross_val_predict

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CalibrationDisplay

# %%
# Friedman's function with noise whose variance depends on the last feature, which has no effect on
# the mean.

X, mean = make_friedman1(2000, n_features=6, random_state=0)
noise = np.where(X[:, 5] > 0.5, 3.0, 0.5)
y = mean + noise * np.random.default_rng(0).normal(size=len(X))
X, X_new, y, y_new = X[:1000], X[1000:], y[:1000], y[1000:]

# %%
# Boosting alone, with one noise variance from its out-of-fold errors, and the mixture built on it.

boosting = GradientBoostingRegressor(random_state=0)
noise_std = np.std(y - cross_val_predict(boosting, X, y, cv=5))
alone = boosting.fit(X, y).predict(X_new)
density = -0.5 * (np.log(2 * np.pi * noise_std**2) + ((y_new - alone) / noise_std) ** 2)
moe = MixtureOfExpertsRegressor(2, base=boosting, random_state=0).fit(X, y)

print("                 error   log density of new rows")
for name, predicted, log_density in [
    ("boosting", alone, density),
    ("mixture on it", moe.predict(X_new), moe.score_samples(X_new, y_new)),
]:
    print(
        f"{name:<15} {np.sqrt(np.mean((y_new - predicted) ** 2)):.3f}    {log_density.mean():.3f}"
    )

# %%
# The errors of new rows over the feature that determines the noise, and the ends of the 90 %
# interval of each row around its mean: it is narrow where the noise is small.

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
lower, upper = (moe.predict_interval(X_new, coverage=0.9) - moe.predict(X_new)[:, None]).T
ax.scatter(X_new[:, 5], y_new - moe.predict(X_new), s=6, color="#999999", label="errors")
ax.scatter(X_new[:, 5], upper, s=8, marker="v", color="#0072B2", label="upper end, 90 % interval")
ax.scatter(X_new[:, 5], lower, s=8, marker="^", color="#E69F00", label="lower end")
ax.set(xlabel="x5", ylabel="observed minus predicted")
ax.legend(loc="upper left")
plt.show()

# %%
# The distributions are calibrated.

CalibrationDisplay.from_estimator(moe, X_new, y_new)
plt.show()
