"""
How does a mixture follow a stream that changes?
================================================

How does a mixture follow regimes that change? Every batch is first predicted, then used by
``partial_fit``. In the middle of the stream the slope of the right regime doubles. A mixture that
weighs all rows equally predicts an average of old and new; one in which the weight of a row is
halved after 2000 newer ones adapts.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor

N_BATCHES, BATCH_ROWS = 120, 200


def batches(rng):
    """Batches whose right regime has a slope of 1, and of 2 in the second half of the stream."""
    for batch in range(N_BATCHES):
        X = rng.uniform(-2, 2, size=(BATCH_ROWS, 1))
        slope = 1.0 if batch < N_BATCHES // 2 else 2.0
        y = np.where(X[:, 0] < 0, -0.5 * X[:, 0], slope * X[:, 0])
        yield X, y + 0.2 * rng.normal(size=BATCH_ROWS)


mixtures = {
    f"half_life={half_life}": (MixtureOfExpertsRegressor(2, random_state=0), half_life)
    for half_life in (None, 2000)
}
scores = {label: [] for label in mixtures}
for batch, (X, y) in enumerate(batches(np.random.default_rng(0))):
    for label, (moe, half_life) in mixtures.items():
        if batch:
            scores[label].append(moe.score_samples(X, y).mean())
        moe.partial_fit(X, y, half_life=half_life)

# %%
# The score of each batch before it is used. It drops at the change and, with a half-life, recovers
# within some ten batches. The arrow has the smallest score, which is below the axis.

styles = dict(zip(mixtures, [("#E69F00", "--"), ("#0072B2", "-")], strict=True))
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for label, (colour, dash) in styles.items():
    ax.plot(np.arange(1, N_BATCHES), scores[label], dash, color=colour, label=label)
change = N_BATCHES / 2
ax.axvline(change, color="0.5", linestyle=":", label="the regime changes")
lowest = f"down to {min(map(min, scores.values())):.0f}"
ax.annotate(lowest, (change, -6), (70, -5.6), arrowprops={"arrowstyle": "->"}, va="center")
ax.set(xlabel="batch", ylabel="log density of the next batch", ylim=(-6, None))
ax.legend(loc="lower left")
plt.show()

# %%
# The last batch, and the predictions at the end: those with a half-life agree with it.

grid = np.linspace(-2, 2, 200)[:, None]
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.scatter(X, y, s=8, color="0.75", label="last batch")
for label, (colour, dash) in styles.items():
    ax.plot(grid, mixtures[label][0].predict(grid), dash, color=colour, label=label)
ax.set(xlabel="x", ylabel="y")
ax.legend()
plt.show()
for label, values in scores.items():
    before, after = np.mean(values[40:59]), np.mean(values[65:85])
    print(f"{label}: log density {before:.2f} before the change, {after:.2f} after it")
