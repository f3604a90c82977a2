"""
Who will need care next year?
=============================

Illness comes, lasts for some years and goes. With ``gate="markov"`` each year of a person has a
regime that depends on that of the year before, and what is known of the past predicts the next
year. The decision: which tenth of the people a care programme should call.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CourseDisplay

# %%
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels) has five
# years of visits to a doctor. The fit has the first four; the fifth is to be predicted.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
table = table.sort_values(["zper", "year"])
table = table[table.groupby("zper")["year"].transform("size") == 5]
person, year = table["zper"].to_numpy(), table["year"].to_numpy()
y = table["mdvis"].to_numpy(dtype=float)
child = table.groupby("zper")["xage"].transform("first") < 18
X = table[["female", "disea"]].assign(copay=np.log1p(table["coins"].clip(upper=95)), child=child)
X = X.astype(float)
early = year < 5

# %%
# Regimes of negative binomial counts, whose number is found. The transition matrix is at the mean
# features.

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
# more. How many of those who then had so many are among them? The visits of the last year alone
# are nearly as good here; the mixture also says how probable it is, and how long it will last.

many = y[last] >= 10
chances = {
    "regimes in time": 1.0 - ahead.cdf(np.full(len(y), 9.0))[last],
    "visits last year": y[year == 4],
}
for name, chance in chances.items():
    called = np.argsort(-chance, kind="stable")[: many.size // 10]
    print(f"{name}: {many[called].sum() / many.sum():.0%} of them are called")

# %%
# The years of one person: filtered regimes as bands, and what was predicted from earlier years.

often, visits = person[(year == 3) & (y > 8)][0], pd.Series(y, name="visits")
CourseDisplay.from_estimator(moe, X, visits, units=person, time=year, unit=often)
plt.show()
