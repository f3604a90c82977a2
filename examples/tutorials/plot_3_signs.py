"""
Signs for a regulator: does a tariff give discounts for poor health?
====================================================================

**The question.** A health insurer wants a tariff for hospital admissions. The regulator accepts no
discount for poor health, nor a higher rate for a higher copayment. What do these rules cost in
accuracy?
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor

# sphinx_gallery_thumbnail_number = 1

# %%
# The data
# --------
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels) has the
# admissions of each person in up to five years of insurance. The copayment, in percent, is the part
# of a bill that patients pay. People called their own health excellent, good, fair or poor. Two
# columns are steps of this scale: not excellent, and fair or poor. The insurer has the members of
# the largest of six places, and wants to sell the tariff in the five others, which are kept for
# the check.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
people = table.sort_values("year").groupby("zper")
first, totals = people.first(), people[["time", "totadm"]].sum()
columns = {"xage": "age", "female": "female", "coins": "copay", "disea": "chronic diseases"}
X = first[[*columns, "physlm"]].rename(columns=columns | {"physlm": "physical limits"})
fair = first["hlthf"] + first["hlthp"]
X = X.assign(copay=X["copay"].clip(upper=95), **{"not excellent": first["hlthg"] + fair})
X = X.assign(**{"fair or poor": fair}).astype(float)
is_home = (first["site"] == first["site"].mode()[0]).to_numpy()
X, X_new, train, new = X[is_home], X[~is_home], totals[is_home], totals[~is_home]
y, y_new, years = train["totadm"], new["totadm"].to_numpy(), new["time"].to_numpy()
offset, offset_new = np.log(train["time"]), np.log(years)
print(len(X), "members with", int(y.sum()), "admissions, and", len(X_new), "people elsewhere")

# %%
# The fit
# -------
# The log of the years is an ``offset``, so that the experts describe admissions per year. The gate
# takes age and sex, for which there is no rule. ``monotonic_cst`` has the signs of the others.

signs = {"copay": -1, "chronic diseases": 1, "physical limits": 1}
signs |= {"not excellent": 1, "fair or poor": 1}
options = {"family": "negative_binomial", "n_init": 3, "random_state": 0}
gate = {"gate_features": ["age", "female"]}
models = {
    "one regression": MixtureOfExpertsRegressor(1, **options),
    "two experts": MixtureOfExpertsRegressor(2, **gate, **options),
    "two experts, signs": MixtureOfExpertsRegressor(2, **gate, monotonic_cst=signs, **options),
}
slopes = {}
for name, moe in models.items():
    moe.fit(X, y, offset=offset)
    proba = moe.predict_gate(X)
    ages = proba.T @ X["age"] / proba.sum(axis=0)
    for k, age in enumerate(ages):
        slopes[name, f"mean age {age:.0f}"] = moe.expert_coef_[k]
slopes = pd.DataFrame(slopes, index=X.columns).loc[list(signs)]
is_wrong = slopes.mul(pd.Series(signs), axis=0) < 0
print("slopes of the wrong sign:", is_wrong.sum().groupby(level=0).sum().to_dict())

# %%
# The picture has the factor by which the rate changes for a worse value. The regulator refuses the
# dots in the grey area, which are discounts. Even one regression has one, and two experts have
# more. With signs these slopes are zero, and the others change little.

steps = {"copay": -25, "chronic diseases": 5, "physical limits": 1}
steps |= {"not excellent": 1, "fair or poor": 1}
factors = np.exp(slopes.mul(pd.Series(steps), axis=0))
labels = [f"{name} {step:+d}" for name, step in steps.items()]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained", sharey=True, sharex=True)
for ax, name in zip(axes, models, strict=True):
    for (expert, factor), marker in zip(factors[name].items(), "os", strict=False):
        ax.plot(factor, labels, marker, label=expert)
    ax.axvspan(0.5, 1 - 1e-9, color="0.9")
    ax.set(title=name, xlabel="factor of the rate", xlim=(0.5, 3))
    ax.legend(loc="upper right")
axes[0].invert_yaxis()
plt.show()

# %%
# The check
# ---------
# What do the rules cost in accuracy? The gain is that of the log probability of the people
# elsewhere over one regression.

scores = {name: moe.score_samples(X_new, y_new, offset=offset_new) for name, moe in models.items()}
check = pd.DataFrame(index=["log probability", "gain", "standard error"])
for name, score in scores.items():
    gain = score - scores["one regression"]
    check[name] = [score.mean(), gain.mean(), gain.std() / np.sqrt(len(gain))]
print(check.T.round(4))
gain = scores["two experts, signs"] - scores["two experts"]
print(f"signs: gain {gain.mean():.4f}, standard error {gain.std() / np.sqrt(len(gain)):.4f}")

# %%
# The audit
# ---------
# The regulator asks for predictions and not for slopes. Each column changes one value of all people
# elsewhere for the worse, and has the share of people whose rate falls.

audit = pd.DataFrame(index=list(models), columns=labels, dtype=float)
for (feature, step), label in zip(steps.items(), labels, strict=True):
    X_worse = X_new.assign(**{feature: X_new[feature] + step})
    for name, moe in models.items():
        audit.loc[name, label] = np.mean(moe.predict(X_worse) < moe.predict(X_new) - 1e-9)
print(audit.T.round(2))

# %%
# The decision
# ------------
# The tariff with signs is filed. It is the only one without discounts for poor health, and the
# signs cost nothing: they improve the predictions elsewhere. Do rates agree with admissions? People
# elsewhere are divided into fifths by their rate. Dots have two standard errors.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained", sharey=True)
for ax, name in zip(axes, ("one regression", "two experts, signs"), strict=True):
    rate = models[name].predict(X_new)
    counts = pd.DataFrame({"tariff": rate * years, "observed": y_new, "years": years})
    counts = counts.groupby(pd.qcut(rate, 5, labels=False) + 1).sum()
    ax.plot(counts.index, counts["tariff"] / counts["years"], "o-", label="tariff")
    error = 2 * np.sqrt(counts["observed"]) / counts["years"]
    ax.errorbar(
        counts.index, counts["observed"] / counts["years"], error, fmt="ks", label="observed"
    )
    ax.set(title=name, xlabel="fifth of people elsewhere", ylim=(0, 0.3))
    total = counts["tariff"].sum() / counts["observed"].sum()
    print(f"{name}: admissions of the tariff over those observed {total:.2f}")
axes[0].set_ylabel("admissions per year")
axes[0].legend(loc="upper left")
plt.show()

# %%
# **What this supports**: a tariff that passes the audit for all people, by its form and not by
# chance, with the right total in other places. Knowledge of signs replaces data here: the wrong
# slopes are probably errors of a small table.
#
# **What would change it**: the rates of the lowest fifth are too small, so that a lowest premium is
# needed. Age and sex decide between the experts. If the regulator had rules for them, they would
# have to leave the gate, since signs hold only for features that the gate does not use. A slope at
# zero may be small and not zero. With more members fit again, and see which signs still bind.
