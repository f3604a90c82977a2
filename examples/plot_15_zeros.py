"""
More zeros than a Poisson distribution has
==========================================

Some rows can count nothing, whatever their features: a visitor who does not fish catches no fish.
Which part of the zeros is of this kind, and what does the rest depend on? A list of families puts a
point mass at zero beside Poisson regressions.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import RootogramDisplay

# %%
# Simulated groups of visitors to a park. Those with a camper fish more often (odds times 4); the
# catch of groups that fish doubles with each adult, and falls by a third with each child.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"camper": rng.integers(0, 2, n_rows), "adults": rng.integers(1, 5, n_rows)})
    X["children"] = rng.integers(0, 4, n_rows)
    fishes = rng.uniform(size=n_rows) < 1 / (1 + np.exp(0.7 - np.log(4) * X["camper"]))
    catch = rng.poisson(0.5 * 2.0 ** X["adults"] * (2 / 3) ** X["children"])
    return X, np.where(fishes, catch, 0), fishes


X, y, fishes = simulate(2000, seed=0)
X_new, y_new, _ = simulate(20_000, seed=1)
inflated = MixtureOfExpertsRegressor(2, family=["zero", "poisson"], random_state=0).fit(X, y)
plain = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y)

# %%
# The gate has the log odds of fishing: the effect of a camper is log 4, or 1.39, less its penalty.
# The rate ratios of the expert are those of groups that fish, 2 and 2/3 (and 1 for a camper). One
# regression for all rows mixes both.

print(inflated.summary(X, y))
for name, moe in {"one Poisson regression": plain, "with excess zeros": inflated}.items():
    print(f"{name:<24} log score of new rows {moe.score_samples(X_new, y_new).mean():.3f}")

# %%
# An empty catch is one of two kinds. The responsibility of the point mass is the probability that
# the group did not fish; it is large where a group that fishes would have caught something.

empty = y == 0
not_fishing = inflated.responsibilities(X, y)[:, 0]
group = pd.cut(not_fishing[empty], [0.0, 0.5, 0.8, 0.95, 1.0])
table = pd.DataFrame({"responsibility": not_fishing[empty], "did not fish": ~fishes[empty]})
print(table.groupby(group, observed=True).mean().round(2))

# %%
# **Left and middle**: rootograms of new rows. Bars, the square roots of the observed frequencies,
# hang from the expected ones; below the axis there are more such rows than expected. **Right**: the
# share of empty catches (grey) of groups with a camper and without children, and both models.

models = {"poisson": (plain, "#D55E00"), "zero and poisson": (inflated, "#0072B2")}
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
grid = pd.DataFrame({"camper": 1, "adults": np.arange(1, 5), "children": 0})
chosen = X_new[(X_new["camper"] == 1) & (X_new["children"] == 0)]
empty_catches = pd.Series(y_new == 0)[chosen.index].groupby(chosen["adults"]).mean()
axes[2].bar(grid["adults"], empty_catches, color="#CCCCCC")
for (name, (moe, colour)), ax in zip(models.items(), axes, strict=False):
    RootogramDisplay.from_estimator(moe, X_new, y_new, max_count=15, ax=ax)
    ax.set(xlabel=f"fish, {name}", ylim=(-40, 120))
    axes[2].plot(grid["adults"], moe.predict_dist(grid).pmf(0), "o", color=colour, label=name)
axes[2].set(xlabel="adults", ylabel="probability of an empty catch", xticks=grid["adults"])
axes[2].legend()
plt.show()
