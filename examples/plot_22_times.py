"""
How long until an event?
========================

How long do patients live after a heart transplant? Of some patients only a lower bound is known,
since they were alive when the study ended. `skmoe.data` makes a target of both kinds, and
`SurvivalDisplay` compares predictions with the Kaplan-Meier curve.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import KFold, cross_validate
from statsmodels.datasets import heart

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.inspection import CalibrationDisplay, SurvivalDisplay
from skmoe.metrics import make_survival_scorers

# %%
# The table of statsmodels has 69 patients of Stanford (Miller 1976): days of survival, whether the
# patient died, and the age at the operation.

table = heart.load_pandas().data
X, y = table[["age"]], right_censored(table["survival"], table["censors"])
print(f"{np.isfinite(y['upper']).sum()} of {len(y)} patients died")

# %%
# **One regime or two?** Held-out scores compare a constant risk, a Weibull model, whose risk can
# rise or fall, and two Weibull experts. Larger scores are better.

models = {
    "exponential": MixtureOfExpertsRegressor(1, family="exponential"),
    "Weibull": MixtureOfExpertsRegressor(1, family="weibull"),
    "two Weibull": MixtureOfExpertsRegressor(2, family="weibull", n_init=2, random_state=0),
}
folds = KFold(5, shuffle=True, random_state=0)
for name, model in models.items():
    scores = cross_validate(model, X, y, cv=folds, scoring=make_survival_scorers())
    means = {key[5:]: f"{value.mean():.2f}" for key, value in scores.items() if "test" in key}
    print(f"{name:12}", means)

# %%
# One Weibull expert is enough for so few patients. Its risk falls with time, which the exponential
# model misses: it has too few deaths in the first weeks, and too few survivors later. The curves
# are means over the patients.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for ax, name in zip(axes, ["exponential", "Weibull"], strict=True):
    model = models[name].fit(X, y).set_expert_names([name])
    SurvivalDisplay.from_estimator(model, X, y, ax=ax)
plt.show()

# %%
# Calibration takes a censored y, too. A patient who is alive is spread over the values that are
# still possible.

CalibrationDisplay.from_estimator(models["Weibull"], X, y, n_bins=5)
plt.show()

# %%
# **What does age change?** The predicted median, and the probability to live for a year, at 40 and
# at 55:

dist = models["Weibull"].predict_dist(X.iloc[:2].assign(age=[40, 55]))
print("median in days:", dist.median.round(), "one year:", dist.sf(365.0).round(2))
print(models["Weibull"].summary(X, y))
