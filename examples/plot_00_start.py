"""
What makes a wine dark?
=======================

The table of 178 wines that ships with scikit-learn has measurements of three cultivars. The mixture
does not see the cultivar. A quarter of the wines is held out, for the checks of "The first hour".
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import RegimesDisplay, export_text

wine = load_wine(as_frame=True).frame
X, y = wine[["alcohol", "flavanoids", "hue"]], wine["color_intensity"]
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X_train, y_train)
print(export_text(moe, X=X_train))
RegimesDisplay.from_estimator(moe, X_train, y_train)
plt.show()

# %%
# The upper panel shows the gate: wines with few flavanoids belong to expert 1. The lower panels are
# the two models, each over its most important feature, with the wines in the colour of the expert
# with the larger responsibility. A line is pale where the gate gives its expert a low probability.
#
# The experts agree with the cultivars, which the mixture has not seen:

expert = pd.Series(moe.apply(X), name="expert")
pd.crosstab(wine["target"].rename("cultivar"), expert)
