"""
How long until an event?
========================

Do patients with HIV stay well for longer with a second drug? Of some patients only a lower bound is
known, since they were well when the study ended. `skmoe.data` makes a target of both kinds, and
`SurvivalDisplay` compares predictions with the Kaplan-Meier curve.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import KFold, cross_validate

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.datasets import load_hiv_trial
from skmoe.inspection import CalibrationDisplay, SurvivalDisplay, average_effects
from skmoe.metrics import make_survival_scorers

# %%
# The trial has 2139 patients, of whom a quarter were drawn for the old drug alone (Hammer et al.
# 1996). The event is a fall of the CD4 cells by half, AIDS or death.

trial = load_hiv_trial(as_frame=True)
X, y = trial.data, right_censored(trial.target["days"], trial.target["event"])
print(f"{np.isfinite(y['upper']).sum()} of {len(y)} patients had an event")

# %%
# **One regime or two?** Held-out scores compare a constant risk, a Weibull model, whose risk can
# rise or fall, and two Weibull experts. Larger scores are better.

models = {
    "exponential": MixtureOfExpertsRegressor(1, family="exponential"),
    "Weibull": MixtureOfExpertsRegressor(1, family="weibull"),
    "two Weibull": MixtureOfExpertsRegressor(2, family="weibull", random_state=0),
}
folds = KFold(5, shuffle=True, random_state=0)
for name, model in models.items():
    scores = cross_validate(model, X, y, cv=folds, scoring=make_survival_scorers())
    means = {key[5:]: f"{value.mean():.3f}" for key, value in scores.items() if "test" in key}
    print(f"{name:12}", means)

# %%
# One Weibull expert is enough. Its risk rises with time, which the exponential model misses: it has
# too many events in the first year. The curves are means over the patients.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for ax, name in zip(axes, ["exponential", "Weibull"], strict=True):
    model = models[name].fit(X, y).set_expert_names([name])
    SurvivalDisplay.from_estimator(model, X, y, ax=ax)
plt.show()

# %%
# Calibration takes a censored y, too. A patient without an event is spread over the values that are
# still possible.

CalibrationDisplay.from_estimator(models["Weibull"], X, y, n_bins=5)
plt.show()

# %%
# **What does a second drug change?** Patients were drawn by lot, so that the difference is an
# effect: days without an event, in the first three years.

weibull = models["Weibull"]
effect = {"features": "treated", "what": "restricted_mean", "time": 1095}
print(average_effects(weibull, X, inference=weibull.inference(X, y), **effect))
dist = weibull.predict_dist(X.iloc[[0, 0]].assign(treated=[0, 1]))
print("a patient is well for two years, without and with it:", dist.sf(730.0).round(2))
