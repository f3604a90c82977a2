"""
A strong prediction distilled: who will not see a doctor, and why?
==================================================================

**The question.** A health insurer sends 500 reminders of a check-up to new members who would go
through the year without seeing a doctor. Boosting predicts them best, but each letter must give its
reason. Does a mixture that is fitted to the predictions of boosting send as good a list?
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier
from skmoe.inspection import PredictionDisplay, RegimesDisplay

# sphinx_gallery_thumbnail_number = 1

# %%
# The data
# --------
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels)
# assigned families at random to plans. These differ in the copayment, the part of a bill that
# patients pay. We take the first year of each person, so that each row is another person. Income
# is in thousands of dollars, the copayment in percent, and the health index rises with health.
# Half of the people are kept for the check.

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
# The strong model, distilled
# ---------------------------
# A mixture is fitted to the class probabilities of boosting instead of to the labels, which are
# noisier: each person is a row for each class, whose weight is the probability. This needs no
# labels. The people for the check show what is lost: the Kullback-Leibler divergence of the mixture
# from boosting.

boosting = HistGradientBoostingClassifier(learning_rate=0.03, random_state=0).fit(X, y)
two = MixtureOfExpertsClassifier(2, n_init=3, random_state=0)
classes, weight = np.tile(boosting.classes_, len(X)), boosting.predict_proba(X).ravel()
distilled = clone(two).fit(X.loc[X.index.repeat(2)], classes, sample_weight=weight)
expected, found = boosting.predict_proba(X_new), distilled.predict_proba(X_new)
divergence = (expected * np.log(expected / found)).sum(axis=1).mean()
print(f"divergence {divergence:.3f} nats, R2 {r2_score(expected, found):.2f}")

# %%
# What has boosting learnt? The gate separates members by age. We name the experts after the mean
# age of their members. Above, the gate over age. Below, the probability of a visit in each regime
# over the feature that changes it most: small children see a doctor more often than older ones.

gate = distilled.predict_gate(X)
ages = gate.T @ X["age"] / gate.sum(axis=0)
distilled.set_expert_names(np.where(ages == ages.max(), "adults", "children").tolist())
print("mean age:", dict(zip(distilled.expert_names_, ages.round().tolist(), strict=True)))
RegimesDisplay.from_estimator(distilled, X, y)
plt.show()

# %%
# The check
# ---------
# The rivals are the same mixture fitted to the labels, and one logistic regression. The log loss
# of new people is the smaller the better. The last column counts the people without a visit among
# the 500 with the largest probability of it; its standard error is about ten.

models = {
    "boosting": boosting,
    "distilled mixture": distilled,
    "mixture fitted to labels": two.fit(X, y),
    "one logistic regression": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
}
none = {name: model.predict_proba(X_new)[:, 0] for name, model in models.items()}
missed = (y_new == "no visit").to_numpy()
check = pd.DataFrame(index=["log loss", "without a visit, of 500"])
for name, p in none.items():
    loss = -np.log(np.where(missed, p, 1 - p))
    check[name] = [loss.mean(), missed[np.argsort(-p)[:500]].sum()]
print(check.T.round(3))
print("drawn at random:", round(500 * missed.mean()), "of 500 without a visit")
# %%
# What is lost? The picture has means over age, with the observed share of people without a visit
# (dots, with two standard errors). Boosting predicts small children as observed. One logistic
# regression expects nearly twice as many without a visit, and the mixture is half-way between.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
bins = pd.cut(X_new["age"], [-1, 3, 7, 12, 17, 25, 35, 45, 55, 70]).to_numpy()
means = pd.DataFrame(none | {"age": X_new["age"].to_numpy(), "observed": missed}).groupby(bins)
mean, error = means.mean(), 2 * means["observed"].sem()
ax.errorbar(mean["age"], mean["observed"], error, fmt="o", color="black", label="observed")
styles = {"boosting": ":", "distilled mixture": "-", "one logistic regression": "--"}
for name, style in styles.items():
    ax.plot(mean["age"], mean[name], style, linewidth=2.5, label=name)
ax.set(xlabel="age", ylabel="probability of no visit", ylim=(0, None))
ax.legend(loc="lower center")
plt.show()

# %%
# The decision
# ------------
# The list of the distilled mixture is as good as that of boosting, within the standard error, so
# that the letters follow the mixture. The two lists have three of five people in common.

lists = {name: np.argsort(-none[name])[:500] for name in ("boosting", "distilled mixture")}
chosen = lists["distilled mixture"]
print(len(np.intersect1d(*lists.values())), "of 500 people are on both lists")
print(pd.DataFrame({"chosen": X_new.iloc[chosen].mean(), "all": X_new.mean()}).round(1))

# %%
# The reasons of a letter: what each feature contributes to the probability of no visit, from the
# mean of all members to the first person of the list.

PredictionDisplay.from_estimator(distilled, X_new, row=chosen[0])
plt.show()

# %%
# **What this supports**: a list on which nearly twice as many people need the reminder as among
# members drawn at random, with reasons for each of them. The people chosen have large families, low
# incomes and high copayments. The reasons are those of the model that sends the letter, and not a
# second story about another model.
#
# **What would change it**: if only the number counts, or small children matter most, boosting is
# the better model, as its log loss shows. Reasons are no causes, apart from the copayment, which
# was drawn at random. Whether a reminder works takes a trial with a control group. People of one
# family are not independent, and these are the seventies.
