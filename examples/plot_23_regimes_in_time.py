"""
Who will need care next year?
=============================

Illness comes, lasts and goes. With ``gate="markov"`` the regime of a year depends on that of the
year before, and the past predicts the next year. Which people should a care programme call?
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import load_doctor_visits
from skmoe.inspection import CourseDisplay

# %%
# The RAND Health Insurance Experiment (1974 to 1982) has five years of visits to a doctor. The fit
# has the first four; the fifth is to be predicted.

table = load_doctor_visits(as_frame=True).frame
person, year = table["person"].to_numpy(), table["year"].to_numpy()
y = table["visits"].to_numpy(dtype=float)
child = table.groupby("person")["age"].transform("first") < 18
copay = np.log1p(table["copayment"].clip(upper=95))
X = table[["female", "diseases"]].assign(copay=copay, child=child).astype(float)
early = year < 5

# %%
# Regimes of negative binomial counts, whose number is found, and transitions at the mean features.

options = {"family": "negative_binomial", "random_state": 0}
moe = MixtureOfExpertsRegressor(gate="markov", **options)
moe.fit(X[early], y[early], units=person[early], time=year[early])
print(moe.transition_matrix_.round(2))
print("visits a year:", moe.predict_experts(X).mean(axis=0).round(1))

# %%
# How long does a regime last? The summary has it with intervals, and what makes people leave it.

summary = moe.summary(X[early], y[early], units=person[early], time=year[early])
for expert in summary.experts:
    print(f"{expert.name}: {expert.share:.0%} of the years, {expert.gate_description}")

# %%
# Predictions of the fifth year know four years of the person: ``y`` of a row never enters its own
# prediction. Beside it are groups of people that do not change (``units``).

last = ~early
ahead = moe.predict_dist(X, y=np.where(last, np.nan, y), units=person, time=year)
groups = MixtureOfExpertsRegressor(3, gate="constant", **options)
groups.fit(X[early], y[early], units=person[early])
history = groups.responsibilities(X[early], y[early], units=person[early]).rows(person[last])
of_groups = groups.predict_dist(X[last], gate_proba=history)
print(f"mean log probability: {ahead.logpmf(np.nan_to_num(y))[last].mean():.3f}")
print(f"of groups of people: {of_groups.logpmf(y[last]).mean():.3f}")

# %%
# **The decision.** The programme calls the tenth with the largest probability of ten visits or
# more. The visits of the last year alone are nearly as good here; the mixture also gives the
# probability, and how long it will last.

many, probability = y[last] >= 10, 1.0 - ahead.cdf(np.full(len(y), 9.0))[last]
for name, chance in (("regimes in time", probability), ("visits last year", y[year == 4])):
    called = np.argsort(-chance, kind="stable")[: many.size // 10]
    print(f"{name}: {many[called].sum() / many.sum():.0%} of those with ten visits are called")

# %%
# The years of one person: filtered regimes as bands, and what was predicted from earlier years.

visits, years = pd.Series(y, name="visits"), y.reshape(-1, 5)
ill = person[::5][years[:, 3] - years[:, 0] > 15][0]
CourseDisplay.from_estimator(moe, X, visits, units=person, time=year, unit=ill)
plt.show()
