"""
Which regimes do counts have?
=============================

The target is a count: how often does a person see a doctor in a year? Which regimes do Poisson
experts find, and which counts do they expect?
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor

# sphinx_gallery_thumbnail_number = 1

# %%
# First years of the people of the RAND Health Insurance Experiment (1974 to 1982; public domain, a
# file of statsmodels). The copayment, 0 to 95 percent of a bill, was drawn at random.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
table = table.sort_values("year").groupby("zper").first()
X = table[["xage", "female", "disea"]].set_axis(["age", "female", "chronic diseases"], axis=1)
X = X.assign(copay=table["coins"].clip(upper=95) / 10).astype(float)  # in tens of percent
X, X_new, y, y_new = train_test_split(X, table["mdvis"], test_size=0.5, random_state=0)

moe = MixtureOfExpertsRegressor(2, family="poisson", random_state=0).fit(X, y)
rates = moe.predict_experts(X).mean(axis=0)
moe.set_expert_names(np.where(rates == rates.min(), "few visits", "many visits").tolist())
print("visits per year:", dict(zip(moe.expert_names_, rates.round(1), strict=True)))
print("probability:", moe.weights_.round(2))

# %%
# Poisson experts have a log link: the exponential of a slope is a *rate ratio*, the factor of the
# expected count for one unit more of the feature, here with its 95 % confidence interval. Ten
# percent more copayment multiply the visits by about 0.95 where they are few. Where they are many,
# the copayment has no effect that these rows could show.

table = moe.inference(X, y, method="sandwich").to_frame()
ratios = table.filter(like="rate ratio").dropna().round(2)
print(ratios.set_axis(["rate ratio", "lower", "upper"], axis=1))

# %%
# The log score of new people. Poisson experts beat one Poisson regression and normal experts. A
# negative binomial regression is better than both here: people differ in more than two regimes.

normal = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
models = {"two Poisson experts": moe, "two normal experts": normal}
for family in ("poisson", "negative_binomial"):
    models[f"one {family}"] = MixtureOfExpertsRegressor(1, family=family).fit(X, y)
for name, model in models.items():
    print(f"{name:<22} {model.score_samples(X_new, y_new).mean():.3f}")
low, high = moe.predict_interval(X_new, coverage=0.9).T
print(f"90 % intervals cover {np.mean((low <= y_new) & (y_new <= high)):.2f} of new people")

# %%
# How often each count occurs among new people, and the mean probability that the models give it.
# Normal experts also give probability to numbers below zero.

values = np.arange(-4, 16)
whole = normal.predict_dist(X_new)
by_normal = [(whole.cdf(value + 0.5) - whole.cdf(value - 0.5)).mean() for value in values]
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.bar(values, [np.mean(y_new == value) for value in values], color="#CCCCCC", label="new people")
styles = {"two Poisson experts": ("#0072B2", "o-"), "one poisson": ("#009E73", "^:")}
for name, (colour, style) in styles.items():
    probability = models[name].predict_dist(X_new).pmf(values[None]).mean(axis=0)
    ax.plot(values, probability, style, color=colour, label=name)
ax.plot(values, by_normal, "s--", color="#D55E00", fillstyle="none", label="two normal experts")
ax.set(xlabel="visits in a year", ylabel="fraction of the people", xticks=values[::2])
ax.legend()
plt.show()
