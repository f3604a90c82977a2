"""
Which family for times, shares and amounts?
===========================================

The family is the distribution of y within a regime. A wrong one invents regimes, and predicts
values that cannot occur. Three real tables show the families for times, shares and amounts.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import Tweedie
from skmoe.inspection import export_text

data = files("statsmodels.datasets")  # public domain

# %%
# **Times.** How long do strikes last, given unexpected industrial production (62 strikes, Kennan
# 1985)? With normal noise "auto" finds two regimes, and the interval begins below zero. With times
# that are exponential, or nearly so, there is one regime, and BIC is better by 54.

strikes = pd.read_csv(data / "strikes" / "strikes.csv")
times = {}
for family in ["normal", "lognormal", "inverse_gaussian", "gamma", "weibull", "exponential"]:
    moe = MixtureOfExpertsRegressor("auto", family=family, random_state=0)
    times[family] = moe.fit(strikes[["iprod"]], strikes["duration"])
    low, high = moe.predict_interval(strikes[["iprod"]].iloc[:1])[0]
    bic = moe.bic(strikes[["iprod"]], strikes["duration"])
    print(f"{family:<17}experts: {moe.n_experts_}  BIC {bic:.0f}  days {low:.0f} to {high:.0f}")

# %%
# **Shares.** Which part of their medical costs do people have outside of hospitals and drugstores?
# (RAND Health Insurance Experiment, 1974 to 1982.) A fifth of them has all costs there, and some
# have none. Point masses at 0 and 1 are experts of their own. The young and the healthy often have
# all costs there. Of the other people the share falls with age.

people = pd.read_csv(data / "randhie" / "src" / "randhie.csv").sort_values("year")
people = people.groupby("zper").first()
X = people[["xage", "female", "disea"]].set_axis(["age", "female", "diseases"], axis=1)
X["copayment"] = np.log1p(people["coins"].clip(upper=95))
paid = people["meddol"] > 0
share = (people["outpdol"] / people["meddol"])[paid]
shares = MixtureOfExpertsRegressor(3, family=["zero", "beta", "one"], random_state=0)
print(export_text(shares.fit(X[paid], share), X=X[paid]))

# %%
# **Amounts that are often 0.** What does a person cost in a year? One Tweedie regression has the
# zeros and the costs in one distribution, and its power is chosen by the log density of other
# people. Two regimes of it, or zeros apart from two kinds of costs, describe them much better.

X_train, X_new, y_train, y_new = train_test_split(X, people["meddol"], random_state=0)
families = {f"Tweedie, power {power}": [Tweedie(power)] for power in (1.5, 1.7, 1.8)}
families["two Tweedie, power 1.5"] = [Tweedie(1.5)] * 2
families["zero, two gamma"] = ["zero", "gamma", "gamma"]
for name, family in families.items():
    costs = MixtureOfExpertsRegressor(len(family), family=family, n_init=2, random_state=0)
    log_density = costs.fit(X_train, y_train).score_samples(X_new, y_new).mean()
    print(f"{name:<24}log density of other people {log_density:.2f}")

# %%
# **Left**: densities of the duration of a typical strike. **Right**: shares and the fitted mixture.

left, right = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")[1]
days, typical = np.linspace(-50, 250, 301), strikes[["iprod"]].median().to_frame().T
left.plot(strikes["duration"], np.zeros(len(strikes)), "|", color="black")
for family in ["normal", "exponential"]:
    left.plot(days, times[family].predict_dist(typical).pdf(days[None])[0], label=family)
left.set(xlabel="days of strike", ylabel="density")
left.legend()
grid = np.linspace(0.01, 0.99, 99)
right.hist(share, bins=50, density=True, color="#CCCCCC")
right.plot(grid, shares.predict_dist(X[paid][:300]).pdf(grid[None]).mean(axis=0))
right.set(xlabel="outpatient share of costs", ylabel="density, and point masses at 0 and 1")
plt.show()
