"""
What does sparse routing change?
================================

With ``top_k`` each row is routed to its most probable experts only, as in large sparse networks.
What does that change in the gate, in the load of the experts and in the fit?
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import ExpertsDisplay, GateDisplay

# sphinx_gallery_thumbnail_number = 2

# %%
# The carbon dioxide in the air at Mauna Loa, week by week from 1958 to 2001 (Keeling and Whorf
# 2004; public domain, a file of statsmodels). The target is the difference from the mean of a year,
# in parts per million: the wave of the seasons, which short lines can approximate.

table = pd.read_csv(files("statsmodels.datasets.co2") / "co2.csv").dropna()
day = pd.to_datetime(table["date"].astype(str), format="%Y%m%d")
trend = table["co2"].rolling(52, center=True, min_periods=26).mean()
X = pd.DataFrame({"month": 1 + (day.dt.day_of_year - 1) / 30.5})
y = (table["co2"] - trend).rename("difference (ppm)")
X, X_new, y, y_new = train_test_split(X, y, test_size=0.5, random_state=0)

# %%
# The same mixture of six, with all experts for each row, with two and with one. Fewer experts for
# each row cost some density. The numbers of weeks are those of each
# expert, the most probable one there: not all six are needed.

models = {}
for top_k in (None, 2, 1):
    moe = MixtureOfExpertsRegressor(6, gate=SoftmaxGate(0.1, top_k=top_k), random_state=0).fit(X, y)
    models["dense" if top_k is None else f"top_k={top_k}"] = moe
    n_routed = (moe.predict_gate(X_new) > 0).sum(axis=1).mean()
    print(
        f"top_k={top_k!s:<5} experts per row {n_routed:.1f}   "
        f"log density of new weeks {moe.score_samples(X_new, y_new).mean():+.3f}   "
        f"weeks {np.bincount(moe.apply(X), minlength=6)}"
    )

# %%
# **Above**: the mean of the mixture (dashed), which jumps where experts are switched on and off.
# **Below**: the gate. With ``top_k`` every row has at most that many experts with positive
# probability.

figure, axes = plt.subplots(2, 3, figsize=(13, 6), sharex=True, sharey="row", layout="constrained")
for (name, moe), column in zip(models.items(), axes.T, strict=True):
    ExpertsDisplay.from_estimator(moe, X, y, ax=column[0], coverage=None)
    GateDisplay.from_estimator(moe, X, ax=column[1])
    column[0].set(title=name, xlabel="")
    for ax in column:
        if ax.get_legend():
            ax.get_legend().remove()
plt.show()

# %%
# One panel of these, larger: with one expert for each row the mean is one line at a time.

display = ExpertsDisplay.from_estimator(models["top_k=1"], X, y, coverage=None)
display.ax_.set_title("one expert for each week")
plt.show()
