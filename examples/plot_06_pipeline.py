"""
How does a mixture join a pipeline and a grid search?
=====================================================

How is a mixture used with the other tools of scikit-learn? The table is that of 442 people with
diabetes; sex is a category, the rest are numbers. The search is scored by the log density of
held-out rows, which depends on the whole predictive distribution.
"""

import matplotlib.pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import export_text
from skmoe.metrics import log_density_scorer
from skmoe.recipes import mixture_of

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X["sex"] = X["sex"].map({1: "a", 2: "b"})

# %%
# Categories are encoded as columns; ``set_output`` keeps their names for the mixture.
# Two starts are enough for fits to so few rows.

numbers = [name for name in X.columns if name != "sex"]
columns = make_column_transformer(
    (OneHotEncoder(drop="first", sparse_output=False), ["sex"]),
    (StandardScaler(), numbers),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
pipeline = make_pipeline(columns, MixtureOfExpertsRegressor(n_init=2, random_state=0))

# %%
# Parameters are reached through the name of the step.

step = "mixtureofexpertsregressor"
grid = {f"{step}__n_experts": [1, 2, 3], f"{step}__gate_alpha": [1.0, 10.0]}
search = GridSearchCV(pipeline, grid, scoring=log_density_scorer, cv=5).fit(X, y)
print("best:", search.best_params_)

# %%
# The best mixture as text, with the names and units of the columns. ``mixture_of`` returns it with
# all of its methods, such as intervals.

print(export_text(search, X=X, max_features=3))
print("intervals:", mixture_of(search).predict_interval(X[:2], coverage=0.9).round())

# %%
# Mean score of the folds for each candidate, with the standard error. A second expert improves the
# score, a third improves it less, and the larger penalty on the gate is safer. The standard errors
# are as large as the last differences: so few rows do not determine the number of experts.

results = search.cv_results_
styles = {1.0: ("#E69F00", "s--", -0.06), 10.0: ("#0072B2", "o-", 0.06)}
plt.figure(figsize=(6, 4), layout="constrained")
for gate_alpha, (colour, marker, shift) in styles.items():
    rows = [p[f"{step}__gate_alpha"] == gate_alpha for p in results["params"]]
    mean, error = results["mean_test_score"][rows], results["std_test_score"][rows] / 5**0.5
    at = [k + shift for k in grid[f"{step}__n_experts"]]
    label = f"gate_alpha={gate_alpha:g}"
    plt.errorbar(at, mean, error, fmt=marker, color=colour, capsize=3, label=label)
plt.xticks(grid[f"{step}__n_experts"])
plt.xlabel("number of experts")
plt.ylabel("log density per held-out row")
plt.legend()
plt.show()
