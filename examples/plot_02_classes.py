"""
Which rows follow which model?
==============================

Who buys medicine on prescription in a year? For children each year of age makes it less probable,
for adults age hardly matters. A single logistic regression can have one slope only. A mixture of
two finds both parts, and the probability of each for every person.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsClassifier
from skmoe.inspection import export_text

# %%
# First years of the people of the RAND Health Insurance Experiment (1974 to 1982; public domain, a
# file of statsmodels). The copayment is the part of a bill that the patient pays.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
table = table.sort_values("year").groupby("zper").first()
X = table[["xage", "female", "coins", "disea"]].astype(float)
X = X.set_axis(["age", "female", "copay", "chronic diseases"], axis=1)
y = np.where(table["drugdol"] > 0, "yes", "no")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

# %%
# The mean log probability of people that neither model has seen, larger is better.

moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X_train, y_train)
logistic = LogisticRegression(max_iter=1000).fit(X_train, y_train)
single = np.log(logistic.predict_proba(X_test)[np.arange(len(X_test)), (y_test == "yes") * 1])
print(f"one logistic regression: {single.mean():.3f}")
print(f"mixture of two:          {moe.score_samples(X_test, y_test).mean():.3f}")
resp = moe.responsibilities(X_train, y_train)
ages = resp.T @ X_train["age"] / resp.sum(axis=0)
moe.set_expert_names([f"people of {age:.0f} on average" for age in ages])
print(export_text(moe, X=X_train, max_features=3))

# %%
# **Left**: people who bought medicine, by age (dots, of the people of the check, with two standard
# errors). The probability is high for small children, low at school age, and then rises; one
# logistic regression is nearly flat. **Right**: the responsibilities, the
# probability that a person follows the expert of the older people, given what the person bought.
# Between childhood and thirty years both experts occur.

bins = pd.cut(X_test["age"], [-1, 2, 5, 9, 13, 17, 22, 27, 33, 40, 50, 70])
means = X_test[["age"]].assign(bought=y_test == "yes", mixture=moe.predict_proba(X_test)[:, 1])
means["logistic"] = logistic.predict_proba(X_test)[:, 1]
means, errors = means.groupby(bins).mean(), 2 * means.groupby(bins)["bought"].sem()

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.errorbar(means["age"], means["bought"], errors, fmt="o", color="black", label="observed")
left.plot(means["age"], means["mixture"], color="#0072B2", linewidth=2.5, label="mixture of two")
left.plot(means["age"], means["logistic"], "--", color="#D55E00", linewidth=2, label="one logistic")
left.set(xlabel="age", ylabel="probability of buying medicine", ylim=(0, 1))
left.legend(loc="lower right")
for answer, colour, marker in [("yes", "#0072B2", "o"), ("no", "#E69F00", "x")]:
    who = y_train == answer
    age, older = X_train["age"][who][:300], resp[who, ages.argmax()][:300]
    right.scatter(age, older, s=12, linewidths=0.8, marker=marker, color=colour, label=answer)
right.set(xlabel="age", ylabel="responsibility of the older expert")
right.legend(title="bought medicine", loc="lower right")
plt.show()
