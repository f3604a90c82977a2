"""
A mixture on top of boosting
============================

Boosting predicts means well, and says nothing of how far to trust them. With ``base`` a mixture
models what boosting leaves over: where is the noise small, and where large?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import cross_val_predict

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CalibrationDisplay

# %%
# Friedman's function with a noise that depends on the last feature, which moves the mean not at
# all.

X, mean = make_friedman1(2000, n_features=6, random_state=0)
noise = np.where(X[:, 5] > 0.5, 3.0, 0.5)
y = mean + noise * np.random.default_rng(0).normal(size=len(X))
X, X_new, y, y_new = X[:1000], X[1000:], y[:1000], y[1000:]

# %%
# Boosting alone, with one noise from its errors out of fold, and the mixture built on it.

boosting = GradientBoostingRegressor(random_state=0)
spread = np.std(y - cross_val_predict(boosting, X, y, cv=5))
alone = boosting.fit(X, y).predict(X_new)
density = -0.5 * (np.log(2 * np.pi * spread**2) + ((y_new - alone) / spread) ** 2)
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
# **Left**: the errors of new rows over the feature that rules the noise, and the 90 % interval of
# each row around its mean: it has found where to be sure. **Right**: the intervals hold what they
# promise.

figure = plt.figure(figsize=(13, 4.5), layout="constrained")
left, right = figure.subplots(1, 2)
half = np.diff(moe.predict_interval(X_new, coverage=0.9), axis=1)[:, 0] / 2
left.scatter(X_new[:, 5], y_new - moe.predict(X_new), s=6, color="#999999", label="errors")
left.scatter(X_new[:, 5], half, s=4, color="#0072B2", label="half of the 90 % interval")
left.scatter(X_new[:, 5], -half, s=4, color="#0072B2")
left.set(xlabel="x5", ylabel="observed minus predicted")
left.legend(loc="upper left")
CalibrationDisplay.from_estimator(moe, X_new, y_new, ax=right)
plt.show()
