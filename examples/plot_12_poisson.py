"""
Counts: a family of your own
============================

The target is a count. What do Poisson regressions as experts see that normal ones do not? The
family is ``poisson_expert.py`` beside this file, 80 lines that
:doc:`Write your own expert </write_your_own_expert>` goes through.
"""

import matplotlib.pyplot as plt
import numpy as np
from poisson_expert import PoissonExperts
from scipy.stats import poisson

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts import EXPERTS

# %%
# A row in the registry makes a name of the family.

EXPERTS["my_poisson"] = {"regressor": PoissonExperts}

# %%
# Simulated counts of calls: they rise with x1 where x0 is negative, and fall where it is positive.


def simulate(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    log_mean = np.where(X[:, 0] < 0, 1.5 * X[:, 1], 1 - X[:, 1])
    return X, rng.poisson(np.exp(log_mean))


X, y = simulate(2000, seed=0)
X_new, y_new = simulate(20_000, seed=1)
counts = MixtureOfExpertsRegressor(2, expert="my_poisson", random_state=0).fit(X, y)
normal = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
print("slopes of the log means:", counts.coef_.round(2).tolist())
for name, moe in {"Poisson experts": counts, "normal experts": normal}.items():
    error = np.sqrt(np.mean((moe.predict(X_new) - y_new) ** 2))
    print(f"{name:<16} error {error:.3f}   lowest prediction {moe.predict(X_new).min():+.2f}")

# %%
# **Left**: the counts, a little shaken so that they do not hide each other, in the colours of the
# experts that explain them, and the mean of each expert. **Right**: how often each count occurs in
# new rows, and how often the mixtures expect it. A normal density also expects what cannot be: the
# squares below zero.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
colours = ["#0072B2", "#E69F00"]
line = np.column_stack([np.zeros(100), np.linspace(-1, 1, 100)])
explains = counts.responsibilities(X, y).argmax(axis=1)
shaken = y + np.random.default_rng(2).uniform(-0.3, 0.3, size=len(y))
for k, colour in enumerate(colours):
    own = explains == k
    left.scatter(X[own, 1], shaken[own], s=5, color=colour, alpha=0.4)
    left.plot(line[:, 1], counts.predict_experts(line)[:, k], color=colour, label=f"expert {k}")
left.set(xlabel="x1", ylabel="count")
left.legend()

values = np.arange(-3, 11)
gate, means = counts.predict_gate(X_new), counts.predict_experts(X_new)
by_poisson = [(gate * poisson.pmf(value, means)).sum(axis=1).mean() for value in values]
whole = normal.predict_dist(X_new)
by_normal = [(whole.cdf(value + 0.5) - whole.cdf(value - 0.5)).mean() for value in values]
right.bar(values, [(y_new == value).mean() for value in values], color="#CCCCCC", label="new rows")
right.plot(values, by_poisson, "o", color="#0072B2", label="Poisson experts")
right.plot(values, by_normal, "s", color="#D55E00", fillstyle="none", label="normal experts")
right.set(xlabel="count", ylabel="share of the rows")
right.legend()
plt.show()
