"""
Ten lines to a picture
======================

What makes a wine dark? The table of 178 wines that ships with scikit-learn has measurements of
three cultivars, but the cultivar is not given to the mixture.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import RegimesDisplay, export_text

wine = load_wine(as_frame=True).frame
X, y = wine[["alcohol", "flavanoids", "hue"]], wine["color_intensity"]
moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
print(export_text(moe, X=X))
RegimesDisplay.from_estimator(moe, X, y)
plt.show()

# %%
# The upper panel shows the gate: wines with few flavanoids belong to expert 1. The lower panels are
# the two models, each over its most important feature, with the wines in the colour of the expert
# with the larger responsibility. A line is pale where the gate gives its expert a low probability.
#
# The experts agree with the cultivars, which the mixture has not seen:

expert = pd.Series(moe.predict_gate(X).argmax(axis=1), name="expert")
pd.crosstab(wine["target"].rename("cultivar"), expert)
