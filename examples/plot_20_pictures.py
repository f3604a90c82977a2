"""
What do pictures of a fit show?
===============================

Which regimes has a mixture found, how sure are they, and why does it predict what it predicts for
one row? Six pictures of one fit, from the whole to a single prediction, and to its starts.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import (
    CoefficientsDisplay,
    ConvergenceDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
)

# sphinx_gallery_thumbnail_number = 1

# %%
# The course of diabetes over a year, from measures at its beginning. Displays take the whole
# pipeline: after a scaler, features keep the units of the table.

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
y = y.rename("progression")
X, X_new, y, y_new = train_test_split(X, y, test_size=0.3, random_state=0)
moe = MixtureOfExpertsRegressor(2, gate_alpha=10.0, random_state=0)
pipeline = make_pipeline(StandardScaler(), moe).fit(X, y)

# %%
# **The regimes.** Above, the gate over the feature on which it depends most. Below, each expert
# over the feature that changes its prediction most. Points are rows, as opaque as the probability
# that they belong to the expert.

RegimesDisplay.from_estimator(pipeline, X, y)
plt.show()

# %%
# **The coefficients**, for one standard deviation more of each feature, with 95 % intervals. Where
# the intervals of two experts are apart, the feature acts differently in the two regimes.

CoefficientsDisplay.from_estimator(pipeline, X, y)
plt.show()

# %%
# **The features**, on rows that were not used in the fit: how much the log density falls when a
# feature is permuted. Hatched bars are features that choose between the regimes.

ImportanceDisplay.from_estimator(pipeline, X_new, y_new, random_state=0)
plt.show()

# %%
# **One prediction.** Left, the predictive density is the sum of those of the experts, each times
# its gate probability: this row may belong to either regime. Right, the way from the prediction of
# the mean row to that of this one: each feature changes it through the experts and through the
# gate, and these changes add up.

PredictionDisplay.from_estimator(pipeline, X_new, y_new, row=11)
plt.show()

# %%
# **The regimes of the rows.** Half of the rows belong to each expert. The boxes show how surely:
# most responsibilities are above 0.9, far from the dashed line of equal probabilities.

ResponsibilitiesDisplay.from_estimator(pipeline, X, y)
plt.show()

# %%
# **The starts.** Two of eight converged, and to the same maximum. The others were dropped before.

ConvergenceDisplay.from_estimator(pipeline)
plt.show()
