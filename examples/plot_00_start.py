"""
Ten lines to a picture
======================

Which regimes are there in the table of 442 people with diabetes that ships with scikit-learn? The
target is the progression of the disease in a year.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, export_text

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
moe = MixtureOfExpertsRegressor(2, gate_alpha=10.0, random_state=0).fit(X, y)
print(export_text(moe, X=X, max_features=3))
ExpertsDisplay.from_estimator(moe, X, y, "bmi", adjust=True)
plt.show()

# %%
# Two people of the same body mass index may follow two different lines: the points have the colour
# of the expert with the largest responsibility. The dashed mean of the mixture runs between,
# and the band holds 90 % of the predictive distribution.
