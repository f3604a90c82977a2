"""
What do the claims of a person cost?
====================================

Insurers model how often people claim, and what a claim costs. The product of both is the expected
cost per year. Claims are here visits to a doctor, and their exposure is the time of insurance.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor

# %%
# The RAND Health Insurance Experiment (1974 to 1982; public domain, a file of statsmodels) assigned
# families at random to plans with different copayments, the patient's part of the bill. For each
# person we add up years of insurance, visits to a doctor and the cost of outpatient care (dollars).

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
by_person = table.sort_values("year").groupby("zper")
people = by_person[["coins", "xage", "female", "disea", "xghindx"]].first()
X_all = people.assign(coins=np.log1p(people["coins"].clip(upper=95)), child=people["xage"] < 18)
totals = by_person[["time", "mdvis", "outpdol"]].sum().set_axis(["years", "visits", "cost"], axis=1)
X, X_new, train, new = train_test_split(X_all.astype(float), totals, test_size=0.5, random_state=0)

# %%
# **Frequency**, with the log of the years as offset. People differ in more than these features:
# four Poisson experts fit better than one, and a negative binomial, with continuous rates, best.

models = {}
for family, n_experts in [("negative_binomial", 1), ("poisson", 1), ("poisson", 4)]:
    frequency = MixtureOfExpertsRegressor(n_experts, family=family, random_state=0)
    models[family, n_experts] = frequency.fit(X, train["visits"], offset=np.log(train["years"]))
    score = frequency.score_samples(X_new, new["visits"], offset=np.log(new["years"])).mean()
    print(f"{n_experts} {family:<17} log score of other people {score:.2f}")
print("visits per year by expert:", frequency.predict_experts(X).mean(axis=0).round(1))

# %%
# **Cost of a visit**: the average of each person, in ``var_weights`` the number of visits: averages
# of n visits have the variance of one, divided by n. If all people counted the same, the total
# would be too high, as visits of people with few of them cost more. As ``sample_weight`` 50 visits
# were 50 rows with the same average: 95 % intervals then cover 45 %, and here 95 % (simulations).

seen = train[train["visits"] > 0]
data, visits = (X.loc[seen.index], seen["cost"] / seen["visits"]), seen["visits"]
price = MixtureOfExpertsRegressor(1, family="gamma").fit(*data, var_weights=visits)
errors = price.inference(*data, var_weights=visits)
print(errors.to_frame().filter(like="coins", axis=0).iloc[:, :2])

# %%
# **First**: visits of other people. **Second**: with higher copayments people see a doctor less
# often, but a visit costs nearly the same (dots: observed, lines: expected). **Third**: ten groups
# by expected cost, the product of both predictions if they are independent given the features.

new = new.assign(rate=frequency.predict(X_new), price=price.predict(X_new))
left, middle, right = (plt.subplots(figsize=(5, 4), layout="constrained")[1] for _ in range(3))
n = np.arange(41)
left.bar(n, [(new["visits"] == value).mean() for value in n], color="#CCCCCC", label="observed")
for k, colour in [(1, "C1"), (4, "C0")]:
    dist = models["poisson", k].predict_dist(X_new, offset=np.log(new["years"]))
    left.plot(n, dist.pmf(n[None]).mean(axis=0), color=colour, label=f"Poisson experts: {k}")
for k, (name, per, by) in enumerate([("visits", "years", "rate"), ("cost", "visits", "price")]):
    sums = new.assign(expected=new[by] * new[per]).groupby(np.expm1(X_new["coins"]).round()).sum()
    ratios = sums[[name, "expected"]].div(sums[per], axis=0)
    ratios.columns = [f"{name} per {per[:-1]}", "expected"]
    (ratios / ratios.iloc[0]).plot(ax=middle, style=["o", "-"], color=f"C{k}")
tenths = new.assign(x=new["rate"] * new["price"], y=new["cost"] / new["years"])
tenths = tenths.groupby(pd.qcut(tenths["x"], 10, labels=False))[["x", "y"]]
right.errorbar(*tenths.mean().to_numpy().T, 2 * tenths.sem()["y"], fmt="o", color="C0")
right.axline((20, 20), slope=1, color="#999999")
left.set(xlabel="visits in up to five years", ylabel="share of people")
middle.set(xlabel="copayment in %", ylabel="relative to no copayment", ylim=(0, 1.2))
right.set(xlabel="expected cost per year", ylabel="observed cost per year")
left.legend()
plt.show()
