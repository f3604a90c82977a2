"""
Counts in two regimes
=====================

The target is a count. Which regimes do Poisson experts find, and which counts do they expect? The
rows are simulated: calls to a help desk in an hour, by the weeks since a product was released and
by the number of its customers.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor

# %%
# In the first ten weeks each further thousand customers multiplies the calls by 1.5, later by 1.1.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"weeks": rng.uniform(0, 20, n_rows), "customers": rng.uniform(0, 6, n_rows)})
    ratio = np.where(X["weeks"] < 10, 1.5, 1.1)
    return X, rng.poisson(1.5 * ratio ** X["customers"])


X, y = simulate(2000, seed=0)
X_new, y_new = simulate(20_000, seed=1)
moe = MixtureOfExpertsRegressor(2, family="poisson", tol=1e-8, random_state=0).fit(X, y)
normal = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)

# %%
# Poisson experts have a log link: the exponential of a slope is a *rate ratio*, the factor of the
# expected count for one unit more of the feature, here with its 95 % confidence interval. Those of
# the customers are 1.5 and 1.1, and those of the weeks 1, as simulated.

table = moe.inference(X, y).to_frame()
print(table[["ratio", "ratio lower", "ratio upper"]].dropna().round(2))

# %%
# The predictive distribution is one of counts. Intervals end at counts, and cover at least as many
# rows as requested, since no interval of counts has a probability of exactly 90 %.

intervals = moe.predict_interval(X_new, coverage=0.9)
inside = (intervals[:, 0] <= y_new) & (y_new <= intervals[:, 1])
print("intervals of three rows:", intervals[:3].tolist())
print(f"coverage of new rows: {inside.mean():.3f}")
for name, fitted in {"Poisson experts": moe, "normal experts": normal}.items():
    print(f"{name}: log score of new rows {fitted.score_samples(X_new, y_new).mean():.3f}")

# %%
# **Left**: the counts, moved a little at random so that they do not overlap, in the colours of the
# experts with the largest responsibilities; the mean and the 90 % interval of the mixture in the
# median week of each expert. **Right**: how often each count occurs in new rows, and the mean
# probability that the mixtures give it. Normal experts also give probability to numbers below zero.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
assigned = moe.responsibilities(X, y).argmax(axis=1)
moved = y + np.random.default_rng(2).uniform(-0.3, 0.3, size=len(y))
for k, colour in enumerate(["#0072B2", "#E69F00"]):
    own = assigned == k
    grid = pd.DataFrame({"weeks": X["weeks"][own].median(), "customers": np.linspace(0, 6, 100)})
    left.scatter(X["customers"][own], moved[own], s=5, color=colour, alpha=0.3)
    left.plot(grid["customers"], moe.predict(grid), color=colour, label=f"expert {k}")
    left.step(grid["customers"], moe.predict_interval(grid), color=colour, linewidth=0.8)
left.set(xlabel="customers (thousands)", ylabel="calls")
left.legend()

values = np.arange(-3, 16)
whole = normal.predict_dist(X_new)
by_normal = [(whole.cdf(value + 0.5) - whole.cdf(value - 0.5)).mean() for value in values]
by_poisson = moe.predict_dist(X_new).pmf(values[None]).mean(axis=0)
right.bar(values, [(y_new == value).mean() for value in values], color="#CCCCCC", label="new rows")
right.plot(values, by_poisson, "o", color="#0072B2", label="Poisson experts")
right.plot(values, by_normal, "s", color="#D55E00", fillstyle="none", label="normal experts")
right.set(xlabel="calls", ylabel="fraction of the rows")
right.legend()
plt.show()
