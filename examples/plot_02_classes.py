"""
Which rows follow which model?
==============================

Two kinds of customers in one table: the young buy cheap products, the old expensive ones. A single
logistic regression finds no effect of the price at all. A mixture of two finds both kinds, and the
probability of each for every customer.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsClassifier
from skmoe.inspection import ExpertsDisplay

# %%
# Simulated customers. The effect of the price changes its sign smoothly at about fifty years.

rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.uniform(20, 80, 1500), "price": rng.uniform(0, 10, 1500)})
old = rng.uniform(size=len(X)) < 1 / (1 + np.exp(-(X["age"] - 50) / 3))
logit = np.where(old, 1.0, -1.0) * 1.2 * (X["price"] - 5)
y = np.where(rng.uniform(size=len(X)) < 1 / (1 + np.exp(-logit)), "yes", "no")
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Accuracy on customers that neither model has seen.

moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X_train, y_train)
logistic = LogisticRegression().fit(X_train, y_train)
print(f"one logistic regression: {logistic.score(X_test, y_test):.2f}")
print(f"mixture of two:          {moe.score(X_test, y_test):.2f}")
print(moe.summary())

# %%
# **Left**: the probability of buying over age and price, as the mixture predicts it: high in two
# opposite corners. **Middle**: the responsibilities, the probability of expert 0 given what the
# customer did; both experts occur near fifty. **Right**: the experts over the price, at the median
# age, where the gate gives both about the same probability.

figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
age, price = np.meshgrid(np.linspace(20, 80, 100), np.linspace(0, 10, 100))
grid = pd.DataFrame({"age": age.ravel(), "price": price.ravel()})
buys = moe.predict_proba(grid)[:, 1].reshape(age.shape)
filled = axes[0].contourf(age, price, buys, levels=np.linspace(0, 1, 11), cmap="RdBu_r")
figure.colorbar(filled, ax=axes[0], label="probability of buying")
resp = moe.responsibilities(X_train, y_train)[:, 0]
points = axes[1].scatter(X_train["age"], X_train["price"], c=resp, s=8, cmap="cividis")
figure.colorbar(points, ax=axes[1], label="responsibility of expert 0")
for ax in axes[:2]:
    ax.set(xlabel="age", ylabel="price")
ExpertsDisplay.from_estimator(moe, X_train, y_train, "price", target="yes", ax=axes[2])
plt.show()
