"""
Counts with exposure: how many hospital admissions?
===================================================

**The question.** How many hospital admissions must an insurer expect of a group of members next
year, and how many more may it be in a bad year?
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import nbinom
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CoefficientsDisplay, RootogramDisplay, export_html

# sphinx_gallery_thumbnail_number = 3

# %%
# The data
# --------
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels) has the
# admissions of each person in up to five years of insurance. A person who was insured longer has
# more admissions, so the years are the *exposure* of a count. Half of the people are kept for the
# check.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
people = table.sort_values("year").groupby("zper")
columns = {"xage": "age", "female": "female", "coins": "copay"}
columns |= {"disea": "chronic diseases", "xghindx": "health index"}
X = people[list(columns)].first().rename(columns=columns).astype(float)
X["copay"] = X["copay"].clip(upper=95)
totals = people[["time", "totadm"]].sum().set_axis(["years", "admissions"], axis=1)
X, X_new, train, new = train_test_split(X, totals, test_size=0.5, random_state=0)
y, y_new = train["admissions"], new["admissions"].to_numpy()
offset, offset_new = np.log(train["years"]), np.log(new["years"])
print(len(X), "people,", round(train["years"].sum()), "years,", int(y.sum()), "admissions")

# %%
# The fit
# -------
# The log of the years is an ``offset``: the experts then describe the *rate*, admissions per year.
# The negative binomial family allows people to differ more than a Poisson distribution does.
# ``"auto"`` compares numbers of experts on held-out people. Three predict best, but their lead over
# one is less than two standard errors, so that ``"auto"`` takes one. We read the three all the
# same, and check them on other people below.

selected = MixtureOfExpertsRegressor("auto", family="negative_binomial", random_state=0)
selected.fit(X, y, offset=offset)
print("log probability of held-out people:", selected.n_experts_scores_.round(3))
print("selected:", selected.n_experts_, "of", selected.n_experts_ties_)
moe = MixtureOfExpertsRegressor(3, family="negative_binomial", random_state=0)
moe = moe.fit(X, y, offset=offset)

# %%
# The regimes
# -----------
# We name the experts by the rates of their people, and look at who belongs to each. The lowest has
# mostly children and men, the middle one women, and the highest people of bad health.

resp = moe.responsibilities(X, y, offset=offset)
rates = resp.T @ y / (resp.T @ train["years"])
names = np.array(["low risk", "middle risk", "high risk"])[rates.argsort().argsort()]
moe.set_expert_names(names.tolist())
profile = pd.DataFrame(resp.T @ X.to_numpy() / resp.sum(axis=0)[:, None], names, X.columns)
print(profile.assign(**{"admissions per year": rates, "share": resp.mean(axis=0)}).round(2).T)

# %%
# Rate ratios: the factor of the rate for one standard deviation more of a feature, with 95 %
# intervals. In the middle regime the rate falls with age, as that of births would; in the highest
# it rises.

CoefficientsDisplay.from_estimator(moe, X, y, offset=offset)
plt.show()

# %%
# The check
# ---------
# The log probability of the counts of new people. The rivals are one Poisson regression, one
# negative binomial regression, and boosting of the rate with the dispersion of that regression.

single = {
    family: MixtureOfExpertsRegressor(1, family=family).fit(X, y, offset=offset)
    for family in ("poisson", "negative_binomial")
}
boosting = HistGradientBoostingRegressor(loss="poisson", learning_rate=0.03, max_depth=3)
boosting.fit(X, y / train["years"], sample_weight=train["years"])
expected = boosting.predict(X_new) * new["years"]
size = 1 / single["negative_binomial"].dispersion_[0]
scores = {"boosting, negative binomial": nbinom.logpmf(y_new, size, size / (size + expected))}
for name, fitted in {f"mixture of {moe.n_experts_}": moe, **single}.items():
    scores[name] = fitted.score_samples(X_new, y_new, offset=offset_new)
for name, score in scores.items():
    gain = score - scores["negative_binomial"]
    error = gain.std() / np.sqrt(len(gain))
    print(f"{name:<28} {score.mean():.3f}, gain {gain.mean():+.3f}, standard error {error:.3f}")

# %%
# Rootograms of new people: bars, the square roots of the observed frequencies, hang from the
# expected ones, and should end at zero. One Poisson regression expects too few people without an
# admission, and too few with many.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
both = {"one Poisson regression": single["poisson"], "mixture": moe}
for ax, (name, fitted) in zip(axes, both.items(), strict=True):
    RootogramDisplay.from_estimator(fitted, X_new, y_new, offset=offset_new, max_count=8, ax=ax)
    ax.set(xlabel=f"admissions, {name}")
plt.show()

# %%
# The report
# ----------
# The page shows rates, as the panel has no offset. It is written to a temporary folder here.

path = Path(tempfile.mkdtemp()) / "admissions.html"
held_out = {"X_held_out": X_new, "y_held_out": y_new, "offset_held_out": offset_new}
export_html(moe, X, y, path, offset=offset, title="Hospital admissions per year", **held_out)
print(path.name, "has", round(path.stat().st_size / 1000), "kB")

# %%
# The decision
# ------------
# The new people are a portfolio whose admissions must be paid. Random draws of the predictive
# distribution of each person, added up, give the distribution of the total. The reserve is the
# number that is exceeded in one of twenty such portfolios.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, fitted), colour in zip(both.items(), ["0.6", "#0072B2"], strict=True):
    drawn = fitted.predict_dist(X_new, offset=offset_new).rvs(1000, random_state=0).sum(axis=0)
    print(f"{name:<22} expected {drawn.mean():.0f}, reserve {np.quantile(drawn, 0.95):.0f}")
    ax.hist(drawn, bins=30, density=True, alpha=0.7, color=colour, label=name)
print("observed", int(y_new.sum()))
ax.axvline(y_new.sum(), color="black", linestyle="--", label="observed")
ax.set(xlabel="admissions of all new people", ylabel="density", yticks=[])
ax.legend()
plt.show()

# %%
# **What this supports**: a reserve for a group of members of this kind, by age and health.
# **What it does not**: the reserve supposes that people are independent and that the parameters are
# known. Families and epidemics make bad years worse, and so does the error of the fit:
# ``inference`` with ``cluster=`` has its size.
