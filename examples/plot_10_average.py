"""
The best start, or the average of all?
======================================

The likelihood of a mixture has many maxima. By default the best of a few starts is kept.
``combine="average"`` keeps all of them and averages their densities. Does that improve the density
of held-out rows?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import ShuffleSplit

from skmoe import MixtureOfExpertsRegressor

# %%
# 569 tumours of the breast (Wisconsin, 1995; UCI, CC BY 4.0; it ships with scikit-learn). The
# concavity of the three most irregular cells is predicted from the means over all cells. Six times
# another half of the tumours is held out.

cells = load_breast_cancer().data
X, y = cells[:, :10], cells[:, 26]
scores = {"best": [], "average": []}
for fit, held in ShuffleSplit(6, test_size=0.5, random_state=0).split(X):
    for combine in scores:
        moe = MixtureOfExpertsRegressor(4, combine=combine, random_state=0).fit(X[fit], y[fit])
        scores[combine].append(moe.score_samples(X[held], y[held]).mean())
print({combine: np.round(values, 3).tolist() for combine, values in scores.items()})
gains = np.subtract(scores["average"], scores["best"])
print(f"the average is better on {np.sum(gains > 0)} of 6, by {gains.mean():.3f} in the mean")

# %%
# Each line is one split. The average of four starts is a mixture of sixteen experts, which is hard
# to interpret: take it if only the prediction counts.

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot([0, 1], [scores["best"], scores["average"]], marker="o", color="#0072B2")
ax.set(xlim=(-0.3, 1.3), ylabel="log density of held-out tumours")
ax.set_xticks([0, 1], ["best start", "average of starts"])
plt.show()
