"""
A stream that changes
=====================

What does a mixture do whose regimes change while it learns? Every batch is first predicted, then
learnt by `partial_fit`. Half-way the slope of the right regime doubles. A mixture that keeps all
rows predicts an average of old and new; one whose rows count half after 2000 newer ones follows.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor

N_BATCHES, BATCH_ROWS = 120, 200


def batches(rng):
    """The right regime rises at first gently, and in the second half of the stream steeply."""
    for batch in range(N_BATCHES):
        X = rng.uniform(-2, 2, size=(BATCH_ROWS, 1))
        slope = 1.0 if batch < N_BATCHES // 2 else 2.0
        y = np.where(X[:, 0] < 0, -0.5 * X[:, 0], slope * X[:, 0])
        yield X, y + 0.2 * rng.normal(size=BATCH_ROWS)


mixtures = {
    f"half_life={half_life}": MixtureOfExpertsRegressor(2, half_life=half_life, random_state=0)
    for half_life in (None, 2000)
}
scores = {label: [] for label in mixtures}
for batch, (X, y) in enumerate(batches(np.random.default_rng(0))):
    for label, moe in mixtures.items():
        if batch:
            scores[label].append(moe.score_samples(X, y).mean())
        moe.partial_fit(X, y)

# %%
# On the left the score drops at the change and, with a half-life, comes back within some ten
# batches. On the right the line of the mixture that forgets lies on the newest rows.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
grid = np.linspace(-2, 2, 200)[:, None]
right.scatter(X, y, s=8, color="0.75", label="last batch")
for label, moe in mixtures.items():
    left.plot(np.arange(1, N_BATCHES), scores[label], label=label)
    right.plot(grid, moe.predict(grid), label=label)
left.axvline(N_BATCHES / 2, color="0.5", linestyle=":", label="the regime changes")
left.set(xlabel="batch", ylabel="log density of rows not yet learnt", ylim=(-6, None))
left.set_title("Predicted first, then learnt")
right.set(xlabel="x", ylabel="y", title="At the end")
left.legend()
right.legend()
for label, values in scores.items():
    before, after = np.mean(values[40:59]), np.mean(values[65:85])
    print(f"{label}: log density {before:.2f} before the change, {after:.2f} after it")
