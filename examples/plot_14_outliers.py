"""
How much do outliers change the fit?
====================================

One row of a table may be unlike all others. Does it decide the fit? The squared error of normal
experts follows outliers. Student's t has heavy tails, and a list of families may have a uniform
component that takes them.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import StudentT, Uniform

# %%
# Murders per 100 000 people, and single-parent households in percent, in the 50 states of the USA
# and the District of Columbia (2009; public domain, a file of statsmodels). The District is a city
# without a state about it.

table = pd.read_csv(files("statsmodels.datasets.statecrime") / "statecrime.csv", index_col=0)
X, y = table[["single"]], table["murder"]

# %%
# Three fits to all 51 rows, and one without the District. `"uniform"` would have the range of y in
# the fit, outside of which a new row has a very low density, so we give a wider one. In this small
# table the prior on dispersions hides the outlier, and the degrees of freedom of Student's t are
# estimated large, so we fix them; `dispersion_prior=1` would give about the same. The warning of a
# collapsed expert is right: the uniform component has one row, as it should.

mixtures = {
    "normal": MixtureOfExpertsRegressor(1, family="normal"),
    "Student's t": MixtureOfExpertsRegressor(1, family=StudentT(df=4)),
    "normal and uniform": MixtureOfExpertsRegressor(
        2, family=["normal", Uniform(low=(0.0,), high=(50.0,))], random_state=0
    ),
}
rest = table.index != "District of Columbia"
without = MixtureOfExpertsRegressor(1).fit(X[rest], y[rest])
print(f"without the District: slope {without.expert_coef_[0, 0]:.2f}")
for name, moe in mixtures.items():
    moe.fit(X, y)
    density = moe.score_samples(X[rest], y[rest]).mean()
    print(f"{name:<20} slope {moe.expert_coef_[0, 0]:.2f}, log density of the states {density:.2f}")

# %%
# The responsibility of the uniform component is the probability that a row is an outlier.

outlier = mixtures["normal and uniform"].responsibilities(X, y)[:, 1]
print(pd.Series(outlier, table.index).nlargest(3).round(3).to_string())

# %%
# The District (red) turns the line of the normal fit towards itself. The lines of the other two are
# nearly those of the states alone.

grid = pd.DataFrame({"single": [20.0, 50.0]})
figure, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
ax.scatter(X["single"], y, s=16, color=np.where(outlier > 0.5, "#D55E00", "#666666"))
styles = [("#E69F00", "-"), ("#0072B2", "--"), ("#009E73", ":")]
for (name, moe), (colour, dash) in zip(mixtures.items(), styles, strict=True):
    line = moe.predict_experts(grid)[:, 0]
    ax.plot(grid["single"], line, color=colour, linestyle=dash, linewidth=2.5, label=name)
ax.plot(
    grid["single"], without.predict(grid), color="black", linewidth=1, label="normal, states only"
)
ax.annotate("District of Columbia", (48, 24.2), (38, 22), color="#D55E00")
ax.set(xlabel="single-parent households (%)", ylabel="murders per 100 000 people", ylim=(0, 26))
ax.legend(loc="upper left")
plt.show()
