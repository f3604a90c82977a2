"""
How many experts?
=================

``n_experts="auto"``, the default, tries one, two, three and more experts on part of the rows, and
takes the number with the largest density of the other rows, less a penalty for each expert.
"""

import matplotlib.pyplot as plt

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import load_health_survey
from skmoe.inspection import ExpertsDisplay, NumberOfExpertsDisplay

# %%
# Cholesterol of 7794 adults of the United States, by age, sex and body mass index (NHANES).

X, y = load_health_survey(return_X_y=True, as_frame=True)
moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
print("tried: ", moe.n_experts_tried_)
print("scores:", moe.n_experts_scores_.round(3))
print("chosen:", moe.n_experts_)

# %%
# The second expert improves the score most: cholesterol rises in young adults, and falls in older
# ones. Up to five experts each improves it a little, and further ones bring less than their
# penalty. Bars are standard errors of the difference from the best score.

NumberOfExpertsDisplay.from_estimator(moe)
plt.show()

# %%
# Five experts have the best score. Two are easier to read, and their score is already near:

two = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
ExpertsDisplay.from_estimator(two, X, y, features="age")
plt.show()
