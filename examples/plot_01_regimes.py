"""
When did the flow of the Nile change?
=====================================

In which year did the flow of the Nile change, and by how much? The table has the flow at Aswan in
each year from 1871 to 1970, in 100 million cubic metres. A mixture of experts is not given the year
of the change: the gate finds it.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, GateDisplay, export_text

# %%
# A file of statsmodels (public domain; Cobb 1978).

table = pd.read_csv(files("statsmodels.datasets.nile") / "nile.csv")
X, y = table[["year"]], table["volume"].rename("flow")

# %%
# ``"auto"`` compares numbers of experts on held-out years, and selects two. The penalty on the gate
# is small, so that it can change from one year to the next.

moe = MixtureOfExpertsRegressor("auto", gate_alpha=0.01, random_state=0).fit(X, y)
is_later = moe.predict_gate(X)[-1] > 0.5
moe.set_expert_names(np.where(is_later, "later years", "early years").tolist())
print(export_text(moe, X=X))
later = moe.predict_gate(X)[:, is_later.argmax()]
print("first year in which the later regime is more probable:", X["year"][later > 0.5].min())
means = [y[later <= 0.5].mean(), y[later > 0.5].mean()]
print("mean flow before and after it:", np.round(means))

# %%
# **Above**: the opacity of each line is the probability of its expert; the band holds 90 % of the
# predictive distribution. The flow falls by more than a fifth, once, and not year by year.
#
# **Below**: the gate, which is sure of the regime but for a few years about 1898.

figure, axes = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
ExpertsDisplay.from_estimator(moe, X, y, ax=axes[0])
gate = GateDisplay.from_estimator(moe, X, ax=axes[1])
gate.legend_.remove()  # that of the upper panel serves both
axes[0].set(xlabel="", ylabel="flow (100 million m³)")
plt.show()
