"""
Why are there more zeros than a Poisson distribution has?
=========================================================

Some rows can count nothing: who is not in psychotherapy has no visits. Which part of the zeros is
of this kind, and what does the rest depend on? A list of families puts a point mass at zero beside
a regression of counts.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import RootogramDisplay

# sphinx_gallery_thumbnail_number = 2

# %%
# Psychotherapy visits of adults in their first year of the RAND Health Insurance Experiment (1974
# to 1982; public domain, a file of statsmodels). The index of mental health rises with health.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
table = table.sort_values("year").groupby("zper").first()
table = table[table["xage"] >= 18]
X = table[["mhi", "female", "educdec", "coins"]].fillna(12).astype(float)
X = X.set_axis(["mental health", "female", "education", "copay"], axis=1)
X, X_new, y, y_new = train_test_split(X, table["mentvis"], test_size=0.5, random_state=0)
print(f"{np.mean(y > 0):.1%} have any visit, and these {y[y > 0].mean():.1f} on average")

# %%
# Four models; the log score of new people decides. One Poisson regression fails: most people have
# no visit, and a few have dozens. A negative binomial regression alone has nearly the best score;
# the point mass adds which part of the zeros are people who are not in therapy.

families = {
    "poisson": "poisson",
    "negative binomial": "negative_binomial",
    "zero and poisson": ["zero", "poisson"],
    "zero and negative binomial": ["zero", "negative_binomial"],
}
models = {}
for name, family in families.items():
    n_experts = len(family) if isinstance(family, list) else 1
    moe = MixtureOfExpertsRegressor(n_experts, family=family, tol=1e-8, random_state=0)
    models[name] = moe.fit(X, y)
    print(f"{name:<27} log score of new people {moe.score_samples(X_new, y_new).mean():.3f}")

# %%
# The gate has the log odds of being in therapy, the expert the rate ratios of those who are.

print(models["zero and negative binomial"].summary(X, y))

# %%
# Rootograms of new people. Bars, the square roots of the observed frequencies, hang from the
# expected ones; below the axis there are more such people than expected.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for name, ax in zip(["poisson", "zero and negative binomial"], axes, strict=True):
    RootogramDisplay.from_estimator(models[name], X_new, y_new, max_count=20, ax=ax)
    ax.set(xlabel=f"visits, {name}")
plt.show()

# %%
# The last model alone.

display = RootogramDisplay.from_estimator(models[name], X_new, y_new, max_count=20)
display.ax_.set(xlabel=f"visits, {name}")
plt.show()
