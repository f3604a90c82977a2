"""
Regimes: which wines need the slow analysis?
============================================

**The question.** A laboratory measures proline, an amino acid, by a slow analysis. For which wines
do five routine measurements give the same answer?

This tutorial goes from that question to a decision: data, fit, regimes, check, report, rule.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict, train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CalibrationDisplay, CoefficientsDisplay, RegimesDisplay, export_html

# sphinx_gallery_thumbnail_number = 4

# %%
# The data
# --------
# The table has 178 wines of one region in Italy, made from three grapes (UCI Machine Learning
# Repository, 1991, CC BY 4.0; it ships with scikit-learn). The source gives no units. The grape is
# in the table too. We do not use it, since the laboratory does not know it. A third of the wines
# is kept for the check, and no choice is made with them.

table = load_wine(as_frame=True).frame.rename(columns={"color_intensity": "colour"})
X, y = table[["alcohol", "colour", "hue", "flavanoids", "magnesium"]], table["proline"]
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, random_state=0)
print(len(X), "wines for the fit,", len(X_new), "for the check")
print(y.describe().round(0).to_string())

# %%
# The fit
# -------
# ``"auto"`` tries one, two, three and more experts on held-out parts of the 118 wines. It takes the
# number with the best score: the log density of the held-out wines, less a penalty for each expert.
# One expert would be a linear regression, and the mixture would then not be needed. Two are
# selected.

moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
for n_experts, score in zip(moe.n_experts_tried_, moe.n_experts_scores_, strict=True):
    print(n_experts, "experts: score", score.round(3))
print("selected:", moe.n_experts_)

# %%
# The regimes
# -----------
# Numbers of experts mean nothing, so we give each expert the name of what it describes. Then we
# look at the gate, which separates the regimes by alcohol and flavanoids. In rich wines proline
# rises with the colour, in plain wines it hardly depends on it.

is_rich = moe.predict_experts(X).mean(axis=0) > y.mean()
moe.set_expert_names(np.where(is_rich, "rich", "plain").tolist())
RegimesDisplay.from_estimator(moe, X, y)
plt.show()

# %%
# The coefficients with their 95 % intervals show the difference in numbers: the change of proline
# for one standard deviation more of a feature. Intervals that cross zero are no evidence of an
# effect.

CoefficientsDisplay.from_estimator(moe, X, y)
plt.show()

# %%
# Are these regimes real? The grape was not used in the fit, and the regimes agree with it.

grapes = table.loc[X.index, "target"].map("grape {}".format)
regimes = np.array(moe.expert_names_)[moe.responsibilities(X, y).argmax(axis=1)]
print(pd.crosstab(regimes, grapes, rownames=["regime"], colnames=[""]))

# %%
# The check
# ---------
# The rule will need probabilities, so the score is the log density of held-out wines: it rewards
# a distribution that is right, not only a mean. Linear regression and boosting get the variance of
# their out-of-fold errors. The mixture and boosting have about the same density, which is better
# than that of one regression. Boosting has the smallest error if only a mean is needed.

linear = MixtureOfExpertsRegressor(1).fit(X, y)
boosting = HistGradientBoostingRegressor(random_state=0)
noise = np.std(y - cross_val_predict(boosting, X, y, cv=5))
boosted = norm(boosting.fit(X, y).predict(X_new), noise)
check = pd.DataFrame(index=["log density", "root mean squared error"])
for name, fitted in {"mixture": moe, "one linear regression": linear}.items():
    error = np.sqrt(np.mean((y_new - fitted.predict(X_new)) ** 2))
    check[name] = [fitted.score_samples(X_new, y_new).mean(), error]
error = np.sqrt(np.mean((y_new - boosted.mean()) ** 2))
check["boosting"] = [boosted.logpdf(y_new).mean(), error]
print(check.T.round(2))

# %%
# Calibration: the predicted probability of a smaller value should be uniform over new wines. The
# bars stay in the grey band, which is what 60 wines allow.

CalibrationDisplay.from_estimator(moe, X_new, y_new)
plt.show()

# %%
# The report
# ----------
# One file for colleagues without Python: experts, pictures, scores, and a panel in which the
# measurements can be moved. ``path`` is in a temporary folder here; choose your own.

path = Path(tempfile.mkdtemp()) / "wines.html"
export_html(moe, X, y, path, X_held_out=X_new, y_held_out=y_new, title="Proline of wines")
print(path.name, "has", round(path.stat().st_size / 1000), "kB")

# %%
# The decision
# ------------
# Suppose a wine is graded by whether it has more than 700 of proline. A wine needs the analysis if
# the predicted probability of that is neither below 10 % nor above 90 %. The rest is graded
# without it.

decision = pd.DataFrame(index=["sent to analysis", "graded without", "of these wrong"])
for name, fitted in {"mixture": moe, "one linear regression": linear}.items():
    above = fitted.predict_dist(X_new).sf(700)
    sent = (above > 0.1) & (above < 0.9)
    wrong = ~sent & ((above > 0.5) != (y_new > 700))
    decision[name] = [sent.sum(), (~sent).sum(), wrong.sum()]
print(decision.T)

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
order, above = np.argsort(moe.predict(X_new)), moe.predict_dist(X_new).sf(700)
unclear = (above > 0.1) & (above < 0.9)
low, high = moe.predict_interval(X_new, coverage=0.9)[order].T
styles = [("graded without", "#0072B2", "-"), ("sent to analysis", "#D55E00", ":")]
for is_sent, (label, colour, dash) in enumerate(styles):
    place = np.flatnonzero(unclear[order] == is_sent)
    ax.vlines(place, low[place], high[place], colour, dash, linewidth=2, label=label)
ax.plot(y_new.to_numpy()[order], "o", color="black", markersize=3, label="observed")
ax.axhline(700, color="black", linestyle="--")
ax.set(xlabel="60 new wines, by predicted proline", ylabel="proline and 90 % interval")
ax.legend(loc="upper left")
plt.show()

# %%
# **What this supports**: a rule for new wines of the same region. Compared with one linear
# regression it sends fewer wines to the analysis, and a smaller share of the others is graded
# wrongly.
#
# **What would change it**: wines of other regions or years, which need a fit of their own, and
# other limits than 10 % and 90 %. With 60 wines an error rate is uncertain by several percent, so
# analyse some of the graded wines each month, and compare. The slopes are no causes: a rich wine
# does not get more proline by getting darker.
