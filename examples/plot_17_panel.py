"""
What does the past of a person predict for the next year?
=========================================================

In a panel the same people are observed every year. `units` has the person of each row, and all
rows of a person come from one expert. The experts are then groups of people, and what is
known of the past of a person sharpens the prediction of the next year.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import load_doctor_visits

# %%
# The RAND Health Insurance Experiment (1974 to 1982) assigned families at random to plans with
# different copayments, the patient's part of the bill. The table has 1584 people who were insured
# for five years, and their visits to a doctor. Half of them are held out.

table = load_doctor_visits(as_frame=True).frame
person, y = table["person"].to_numpy(), table["visits"].to_numpy()
child = table.groupby("person")["age"].transform("first") < 18
copay = np.log1p(table["copayment"].clip(upper=95))
X = table[["female", "diseases", "year"]].assign(copay=copay)
X = X.assign(child=child).astype(float)
people = np.random.default_rng(0).permutation(np.unique(person))
train = np.isin(person, people[: len(people) // 2])
data, units = (X[train], y[train]), person[train]

# %%
# Without units the five rows of a person count as five people, and standard errors are too small:
# those of clusters of rows are larger.

alone = MixtureOfExpertsRegressor(1, family="negative_binomial").fit(*data)
rows = alone.inference(*data).to_frame()["standard error"]
clusters = alone.inference(*data, method="sandwich", cluster=units).to_frame()["standard error"]
errors = pd.DataFrame({"rows": rows, "clusters": clusters}).loc["expert 0"].droplevel(0)
print(errors.loc[["copay", "child"]].round(3))

# %%
# With units the experts are groups of people. The gate sees one row for each person, so that its
# features must not change from year to year. Of one to three experts three have the smallest
# Bayesian information criterion, in which n is the number of people.

gate = ["copay", "female", "child", "diseases"]
for n_experts in (1, 2, 3):
    moe = MixtureOfExpertsRegressor(n_experts, family="negative_binomial", gate_features=gate)
    moe = moe.set_params(random_state=0).fit(*data, units=units)
    print(f"{n_experts} experts: BIC {moe.bic(*data, units=units):.0f}", end=", ")
    print("visits per year", moe.predict_experts(X[train]).mean(axis=0).round(1))

# %%
# **Next year for people with a history.** `responsibilities` of past rows is a table of people, and
# `gate_proba` replaces the gate. With each known year of the people who were held out the 90 %
# intervals of their fifth year become narrower, and the log score better.

X_new, y_new, person_new = X[~train], y[~train], person[~train]
last, results = (X_new["year"] == 5).to_numpy(), []
for n_years in range(5):
    past, known = (X_new["year"] <= n_years).to_numpy(), None
    if n_years:
        history = moe.responsibilities(X_new[past], y_new[past], units=person_new[past])
        known = history.rows(person_new[last])
    prediction = moe.predict_dist(X_new[last], gate_proba=known)
    low, high = prediction.interval(0.9).T
    covered = np.mean((low <= y_new[last]) & (y_new[last] <= high))
    results.append((np.mean(high - low), prediction.logpmf(y_new[last]).mean(), covered))
columns = ["mean width of the interval (visits)", "mean log probability", "covered"]
results = pd.DataFrame(results, columns=columns)
print(results.round(2))
for panel, name in zip(plt.subplots(1, 2, figsize=(9, 4))[1], columns[:2], strict=True):
    panel.plot(results[name], "o-")
    panel.set(xlabel="years that are known of a person", ylabel=name, xticks=range(5))
plt.tight_layout()
plt.show()
