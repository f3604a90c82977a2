"""
For which rows is boosting far off?
===================================

Boosting predicts means well, but no distributions. With ``base`` a mixture models the errors of
boosting: for which rows are they small, and for which large?
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import cross_val_predict, train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CalibrationDisplay

# sphinx_gallery_thumbnail_number = 1

# %%
# 569 tumours of the breast (Wisconsin, 1995; UCI, CC BY 4.0; it ships with scikit-learn). Target is
# the concavity of the three most irregular cells; features are the means over all cells.

frame = load_breast_cancer(as_frame=True).frame
X, y = frame.iloc[:, :10], frame["worst concavity"]
X, X_new, y, y_new = train_test_split(X, y, test_size=0.4, random_state=0)

# %%
# Boosting alone, with one noise variance from its out-of-fold errors, and the mixture built on it.
# The means are as good, and the density is better.

boosting = GradientBoostingRegressor(random_state=0)
noise = np.std(y - cross_val_predict(boosting, X, y, cv=5))
alone = norm(boosting.fit(X, y).predict(X_new), noise)
moe = MixtureOfExpertsRegressor(2, base=boosting, random_state=0).fit(X, y)
for name, mean, density in [
    ("boosting", alone.mean(), alone.logpdf(y_new)),
    ("mixture on it", moe.predict(X_new), moe.score_samples(X_new, y_new)),
]:
    error = np.sqrt(np.mean((y_new - mean) ** 2))
    print(f"{name:<15} error {error:.3f}   log density of new tumours {density.mean():.3f}")

# %%
# New tumours in the order of their predictions, and the 90 % intervals of both: those of the
# mixture are narrow where cells are smooth, and wide where they are not.

order = np.argsort(moe.predict(X_new))
low, high = (moe.predict_interval(X_new, coverage=0.9) - moe.predict(X_new)[:, None])[order].T
errors = (y_new - moe.predict(X_new)).to_numpy()[order]
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.vlines(range(len(low)), low, high, color="#0072B2", alpha=0.35, label="mixture, 90 %")
ax.plot(errors, ".", color="black", label="errors")
for k, end in enumerate(norm.interval(0.9, scale=noise)):
    ax.axhline(end, color="#D55E00", linestyle="--", label="boosting, 90 %" if k else None)
ax.set(xlabel="new tumours, from small to large predictions", ylabel="observed minus predicted")
ax.legend(loc="upper left")
plt.show()

# %%
# Intervals cover about what they should. The first and the last bar leave the grey band: the
# largest errors are upwards, and normal experts have no longer tail on that side.

CalibrationDisplay.from_estimator(moe, X_new, y_new)
plt.show()
