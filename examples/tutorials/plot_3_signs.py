"""
Signs for a regulator: which premium may never fall with poor health?
=====================================================================

**The question.** A health insurer wants a tariff for hospital admissions. The regulator accepts none
in which a member pays less because of poorer health, or more because of a higher copayment.
What do these rules cost in accuracy?
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CoefficientsDisplay

# sphinx_gallery_thumbnail_number = 1

# %%
# The data
# --------
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels) has the
# admissions of each person in up to five years of insurance. The copayment, in percent, is the part
# of a bill that patients pay. People called their own health excellent, good, or fair; the few
# with poor health are counted as fair. The insurer has 1000 members. The others are new people.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
people = table.sort_values("year").groupby("zper")
columns = {"xage": "age", "female": "female", "coins": "copay", "disea": "chronic diseases"}
columns |= {"physlm": "physical limits", "hlthg": "good health", "hlthf": "fair health"}
first = people.first()
X = first[list(columns)].rename(columns=columns).astype(float)
X = X.assign(copay=X["copay"].clip(upper=95), **{"fair health": first["hlthf"] + first["hlthp"]})
totals = people[["time", "totadm"]].sum().set_axis(["years", "admissions"], axis=1)
X, X_new, train, new = train_test_split(X, totals, train_size=1000, random_state=0)
y, y_new = train["admissions"], new["admissions"].to_numpy()
offset, offset_new = np.log(train["years"]), np.log(new["years"])
print(len(X), "members,", int(y.sum()), "admissions;", len(X_new), "new people")

# %%
# The fit
# -------
# The log of the years is an ``offset``, so that the experts describe admissions per year. The gate
# takes age and sex, for which there is no rule. ``monotonic_cst`` has the signs of the others.

signs = {"copay": -1, "chronic diseases": 1, "physical limits": 1}
signs |= {"good health": 1, "fair health": 1}
options = {"family": "negative_binomial", "n_init": 3, "random_state": 0}
gate = {"gate_features": ["age", "female"]}
models = {
    "one regression": MixtureOfExpertsRegressor(1, **options),
    "two experts": MixtureOfExpertsRegressor(2, **gate, **options),
    "two experts, signs": MixtureOfExpertsRegressor(2, **gate, monotonic_cst=signs, **options),
}
for moe in models.values():
    moe.fit(X, y, offset=offset)
free, signed = models["two experts"], models["two experts, signs"]
for name in ("two experts", "two experts, signs"):
    print(name, "(slopes)")
    print(pd.DataFrame(models[name].expert_coef_, columns=list(X)).round(3).T)

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for ax, name in zip(axes, ("two experts", "two experts, signs"), strict=True):
    CoefficientsDisplay.from_estimator(models[name], X, y, offset=offset, ax=ax)
    ax.set_title(name)
plt.show()

# %%
# The check
# ---------
single = models["one regression"].score_samples(X_new, y_new, offset=offset_new)
check = pd.DataFrame(index=["log probability", "gain", "standard error"])
for name, moe in models.items():
    score = moe.score_samples(X_new, y_new, offset=offset_new)
    gain = score - single
    check[name] = [score.mean(), gain.mean(), gain.std() / np.sqrt(len(gain))]
print(check.T.round(4))

worse = {"chronic diseases": 5.0, "copay": -25.0}
print("share of new people whose rate falls")
audit = pd.DataFrame(index=models)
for feature, sign in signs.items():
    X_worse = X_new.copy()
    step = {"copay": 25.0, "chronic diseases": 5.0}.get(feature, 1.0)
    X_worse[feature] += sign * step
    audit[feature] = [np.mean(moe.predict(X_worse) < moe.predict(X_new) * (1 - 1e-9)) for moe in models.values()]
print(audit.round(2))

# %%
fifth = {name: pd.qcut(moe.predict(X_new), 5, labels=False) for name, moe in models.items()}
for name, moe in models.items():
    rate = moe.predict(X_new)
    g = pd.DataFrame({"expected": rate * new["years"].to_numpy(), "observed": y_new, "years": new["years"].to_numpy()}).groupby(fifth[name]).sum()
    print(name); print(g.assign(e=g.expected / g.years, o=g.observed / g.years).round(3))
for n in (1000, 1500, 2956):
    pass
