"""
Do intervals adapt to the noise?
================================

What does a family spend on food, and how far can it be from that? A linear model with one noise
variance gives every family an interval of the same width: too wide for the poor, too narrow for the
rich. A mixture has a noise variance for each regime.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from skmoe import MixtureOfExpertsRegressor

# sphinx_gallery_thumbnail_number = 1

# %%
# Income and expenditure for food of 235 working-class households in Belgium, in francs per year
# (Engel 1857; public domain, a file of statsmodels). The one household with more than 4000 francs
# is left out of the picture, not of the fit.

table = pd.read_csv(files("statsmodels.datasets.engel") / "engel.csv")
X, y = table[["income"]], table["foodexp"]

# %%
# Each household is predicted by a fit to the other nine tenths. ``"auto"`` selects two experts on
# the whole table. The third model is one lognormal regression on the log of the income.

moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
models = {"one expert": MixtureOfExpertsRegressor(1)}
models["two experts"] = MixtureOfExpertsRegressor(moe.n_experts_, random_state=0)
models["logarithms"] = MixtureOfExpertsRegressor(1, family="lognormal")
third = pd.qcut(X["income"], 3, labels=["lowest", "middle", "highest"])
for name, model in models.items():
    data = np.log(X) if name == "logarithms" else X
    inside, density = np.zeros(len(X)), np.zeros(len(X))
    for fit, held in KFold(10, shuffle=True, random_state=0).split(X):
        model.fit(data.iloc[fit], y.iloc[fit])
        low, high = model.predict_interval(data.iloc[held], coverage=0.9).T
        inside[held] = (low <= y.iloc[held]) & (y.iloc[held] <= high)
        density[held] = model.score_samples(data.iloc[held], y.iloc[held])
    print(f"{name}: log density of held-out households {density.mean():.2f}, coverage by income")
    print(pd.Series(inside).groupby(third, observed=True).mean().round(2).to_dict())

# %%
# The bands hold 90 % of the predictive distributions. That of one expert is too wide for poor
# families and too narrow for rich ones; that of two grows with the income. If the noise grows in
# proportion, as here, logarithms are simpler and have a better density. A mixture is for noise
# whose form is not known.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
grid = pd.DataFrame({"income": np.linspace(X["income"].min(), 3000, 300)})
for ax, (name, model) in zip(axes, list(models.items())[:2], strict=True):
    model.fit(X, y)
    low, high = model.predict_interval(grid, coverage=0.9).T
    ax.scatter(X["income"], y, s=10, color="#666666", label="households")
    ax.plot(grid["income"], model.predict(grid), color="#0072B2", linewidth=2.5, label="mean")
    ax.fill_between(grid["income"], low, high, alpha=0.3, color="#0072B2", label="90 %")
    ax.set(title=name, xlabel="income (francs per year)", xlim=(300, 3050), ylim=(0, 2100))
axes[0].set_ylabel("food (francs per year)")
axes[0].legend(loc="upper left")
plt.show()
