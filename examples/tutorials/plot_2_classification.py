"""
Classification: who will not see a doctor this year?
====================================================

**The question.** A health insurer can send 500 reminders of a check-up. Which of its new members
will go through the year without seeing a doctor?
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier
from skmoe.inspection import RegimesDisplay, SegmentProfileDisplay, export_html, export_text

# sphinx_gallery_thumbnail_number = 3

# %%
# The data
# --------
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels) assigned
# families at random to plans with different copayments, the part of a bill that patients pay. We
# take the first year of each person, so that each row is another person. Income is in thousands of
# dollars, the copayment in percent, and the health index rises with health. Half of the people are
# kept for the check.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
first = table.sort_values("year").groupby("zper").first()
columns = {"xage": "age", "female": "female", "coins": "copay", "income": "income"}
columns |= {"num": "family size", "disea": "chronic diseases", "xghindx": "health index"}
X = first[list(columns)].rename(columns=columns).astype(float)
X = X.assign(income=X["income"] / 1000, copay=X["copay"].clip(upper=95))
y = pd.Series(np.where(first["mdvis"] > 0, "visit", "no visit"), X.index)
X, X_new, y, y_new = train_test_split(X, y, test_size=0.5, random_state=0)
print(len(X), "people for the fit,", len(X_new), "for the check")
print(y.value_counts(normalize=True).round(2).to_string())

# %%
# The fit
# -------
# ``"auto"`` selects the number of experts on held-out people. One expert would be a logistic
# regression. Two are selected: some effects are different for a part of the members.

moe = MixtureOfExpertsClassifier("auto", random_state=0).fit(X, y)
print("log probability of held-out people:", moe.n_experts_scores_.round(3))
print("selected:", moe.n_experts_)

# %%
# The regimes
# -----------
# The gate separates them by age, although it has no column for children. We name them after
# the mean age of their members and read the equations.

resp = moe.responsibilities(X, y)
ages = resp.T @ X["age"] / resp.sum(axis=0)
moe.set_expert_names(np.where(ages > 20, "adults", "children").tolist())
print("mean age:", dict(zip(moe.expert_names_, ages.round(0), strict=True)))
print(export_text(moe, X=X, max_features=4))

# %%
# Above, the gate over age. Below, the probability of a visit in each regime over the feature that
# changes it most. Small children see a doctor more often than older ones.

RegimesDisplay.from_estimator(moe, X, y)
plt.show()

# %%
# The profile has all effects side by side, in log odds of a visit for one standard deviation more,
# with 95 % intervals. Women see a doctor more often than men, girls less often than boys. A higher
# copayment keeps children from it; for adults the interval includes zero.

SegmentProfileDisplay.from_estimator(moe, X, y)
plt.show()

# %%
# The check
# ---------
# The log loss of new people, smaller is better. One logistic regression has one slope for age and
# one for sex. Splines of age repair the first, but not the second. Boosting predicts best of all,
# and has no equations: take it if nobody needs to know why.

age = make_column_transformer((SplineTransformer(), ["age"]), remainder=StandardScaler())
models = {
    "mixture of two": moe,
    "one logistic regression": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
    "logistic, splines of age": make_pipeline(age, LogisticRegression()).fit(X, y),
    "boosting": HistGradientBoostingClassifier(learning_rate=0.03, random_state=0).fit(X, y),
}
none = {name: model.predict_proba(X_new)[:, 0] for name, model in models.items()}
missed = (y_new == "no visit").to_numpy()
for name, p in none.items():
    print(f"{name:<25} log loss {-np.log(np.where(missed, p, 1 - p)).mean():.3f}")

# %%
# Calibration over age: the share of new people without a visit (dots, with two standard errors) and
# the predictions. One logistic regression expects nearly twice as many small children without a
# visit as there are. The mixture follows the rise up to school age, and is too high about
# fifteen years.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
bins = pd.cut(X_new["age"], [-1, 3, 7, 12, 17, 25, 35, 45, 55, 70])
means = pd.DataFrame(none | {"age": X_new["age"].to_numpy(), "observed": missed})
means = means.groupby(bins.to_numpy())
mean, error = means.mean(), 2 * means["observed"].sem()
ax.errorbar(mean["age"], mean["observed"], error, fmt="o", color="black", label="observed")
for name, style in [("mixture of two", "-"), ("one logistic regression", "--")]:
    ax.plot(mean["age"], mean[name], style, linewidth=2.5, label=name)
ax.set(xlabel="age", ylabel="probability of no visit", ylim=(0, None))
ax.legend(loc="lower center")
plt.show()

# %%
# The report
# ----------
# One page for those who decide: regimes, pictures, scores on new people, and a panel in which a
# member can be changed. It is written to a temporary folder here.

path = Path(tempfile.mkdtemp()) / "visits.html"
export_html(moe, X, y, path, X_held_out=X_new, y_held_out=y_new, title="Who sees a doctor?")
print(path.name, "has", round(path.stat().st_size / 1000), "kB")

# %%
# The decision
# ------------
# The reminders go to the 500 new members with the largest probability of no visit. How many of them
# had in fact none? The standard error of such a number is about ten.

for name, p in none.items():
    print(f"{name:<25} {missed[np.argsort(-p)[:500]].sum()} of 500 without a visit")
print(f"{'drawn at random':<25} {round(500 * missed.mean())} of 500 without a visit")
chosen = X_new.iloc[np.argsort(-none["mixture of two"])[:500]]
print(pd.DataFrame({"chosen": chosen.mean(), "all": X_new.mean()}).round(1))

# %%
# **What this supports**: a list on which nearly twice as many people need the reminder as among
# members drawn at random. For the list alone any of the models will do. The mixture adds whom to
# write to, and in which words: large families with a low income and a high copayment, and more men
# than women. Its number of small children, who need other appointments, is nearer to the truth.
#
# **What it does not**: that a reminder works, which takes a trial with a control group. The
# copayment was drawn at random, so its effect is one; income and sex were not. People of one family
# are not independent, and these are the seventies.
