"""
Units and trajectories: whom will a doctor see often next year?
===============================================================

**The question.** A health plan has a nurse who calls members with many visits to a doctor. Whom
should she call next year, given what is known of the last years?
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import SegmentProfileDisplay, TrajectoriesDisplay, export_text

# sphinx_gallery_thumbnail_number = 1

# %%
# The data
# --------
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels)
# assigned families at random to plans. These differ in the copayment, the part of a bill that
# patients pay. We take the 1584 people who were insured for five years: five rows each, one for
# each year, with the number of visits. Half of the people, with all their rows, are kept for the
# check.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
table = table.sort_values(["zper", "year"])
table = table[table.groupby("zper")["year"].transform("size") == 5]
X = table[["female", "year"]].assign(
    copay=table["coins"].clip(upper=95),
    chronic=table["disea"],
    child=table.groupby("zper")["xage"].transform("first") < 18,
)
X, y, person = X.astype(float), table["mdvis"].to_numpy(), table["zper"].to_numpy()
people = np.random.default_rng(0).permutation(np.unique(person))
train = np.isin(person, people[: len(people) // 2])
X_new, y_new, person_new = X[~train], y[~train], person[~train]
X, y, person = X[train], y[train], person[train]

# %%
# The fit
# -------
# ``units`` has the person of each row. All rows of a person come from one expert, so that the
# experts are segments of people. The gate sees each person once, and takes the features that do
# not change with the year. Three segments can still be described in a sentence each.

gate = ["female", "copay", "chronic", "child"]
moe = MixtureOfExpertsRegressor(3, family="negative_binomial", gate_features=gate, random_state=0)
moe = moe.fit(X, y, units=person)

# %%
# The segments
# ------------
# They differ in the number of visits, so that we name them after it.

segment = moe.responsibilities(X, y, units=person).rows(person).argmax(axis=1)
visits = np.array([y[segment == k].mean() for k in range(moe.n_experts_)])
names = np.array(["rarely", "sometimes", "often"])[visits.argsort().argsort()]
moe.set_expert_names(names.tolist())
means = X.assign(visits=y).groupby(names[segment]).mean()
print(means.assign(people=np.bincount(segment)[np.argsort(names)] // 5).round(2))

# %%
# Do people stay as they are? The trajectories have the mean of each segment over the years, and
# thin lines for its people. The means hardly change: who sees a doctor often goes on doing so,
# although single years differ much.

TrajectoriesDisplay.from_estimator(moe, X, pd.Series(y, name="visits"), time="year", units=person)
plt.show()

# %%
# The profile shows who belongs to each segment: by how much its people differ from all. The text
# has the effect of each feature within the segments, and on the probability of belonging to them.

SegmentProfileDisplay.from_estimator(moe, X, y, units=person)
plt.show()
print(export_text(moe, X=X))

# %%
# The check
# ---------
# We predict the fifth year of the people who were kept. ``responsibilities`` of their first four
# years give the probability of each segment, and ``gate_proba`` puts it in the place of the gate.
# The rivals are one negative binomial regression, and one with the mean of the past visits as a
# feature, fitted to the fifth years. The history improves the segments much. The regression on the
# past is a little better still, since people differ by degrees and not only by segment: take it if
# only the number counts.

last, last_new = (X["year"] == 5).to_numpy(), (X_new["year"] == 5).to_numpy()
history = moe.responsibilities(X_new[~last_new], y_new[~last_new], units=person_new[~last_new])
known = history.rows(person_new[last_new])
single = MixtureOfExpertsRegressor(1, family="negative_binomial")


def with_past(X, y, last):
    """Rows of the fifth year, with the log of one plus the mean of the four past years."""
    return X[last].assign(past=np.log1p(y[~last].reshape(-1, 4).mean(axis=1)))


X_last, observed = X_new[last_new], y_new[last_new]
X_past = with_past(X_new, y_new, last_new)
pooled = single.fit(X, y).predict_dist(X_last)
past = single.fit(with_past(X, y, last), y[last]).predict_dist(X_past)
predictions = {
    "segments, four known years": moe.predict_dist(X_last, gate_proba=known),
    "segments, no known year": moe.predict_dist(X_last),
    "one regression": pooled,
    "one regression on the past": past,
}
for name, prediction in predictions.items():
    low, high = prediction.interval(0.9).T
    covered = np.mean((low <= observed) & (observed <= high))
    print(f"{name:<27} log probability {prediction.logpmf(observed).mean():.3f}", end=", ")
    print(f"90 % intervals cover {covered:.2f} and are {np.mean(high - low):.1f} visits wide")

# %%
# The decision
# ------------
# The nurse calls the 100 of the 792 new people with the largest predicted number of visits. What
# share of all visits of the fifth year did they make?

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, prediction), style in zip(predictions.items(), ["-", "--", ":", "-."], strict=True):
    order = np.argsort(-prediction.mean, kind="stable")
    share = np.cumsum(observed[order]) / observed.sum()
    ax.plot(np.arange(1, len(order) + 1), share, style, linewidth=2, label=name)
    print(f"{name:<27} the 100 people made {share[99]:.0%} of the visits")
ax.axvline(100, color="0.6")
ax.set(xlabel="people called", ylabel="share of visits in year five", ylim=(0, 1))
ax.legend(loc="lower right")
plt.show()

# %%
# **What this supports**: a list for the nurse, with a segment for each person that can be explained
# to her. **What it does not**: that calls reduce visits, which takes a trial. People who left the
# plan before the fifth year are not in the table.
#
# **What would change it**: without known years the people on the list make far fewer of the visits,
# so that new members are called once some of their visits are known. If no segments are needed, the
# regression on the past is simpler, and its list at least as good.
