"""A stream whose regimes change: a mixture that forgets follows, one that keeps all does not.

Every batch is first predicted, then learnt. Half-way one of the two regimes changes. Needs
matplotlib: pip install skmoe[plot]
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor

N_BATCHES, BATCH_ROWS = 120, 200
HALF_LIVES = {"half_life=None": None, "half_life=2000": 2000}


def batches(rng):
    """The right regime rises at first gently, and in the second half of the stream steeply."""
    for batch in range(N_BATCHES):
        X = rng.uniform(-2, 2, size=(BATCH_ROWS, 1))
        slope = 1.0 if batch < N_BATCHES // 2 else 2.0
        y = np.where(X[:, 0] < 0, -0.5 * X[:, 0], slope * X[:, 0])
        yield X, y + 0.2 * rng.normal(size=BATCH_ROWS)


def main(path):
    mixtures = {
        label: MixtureOfExpertsRegressor(2, half_life=half_life, random_state=0)
        for label, half_life in HALF_LIVES.items()
    }
    scores = {label: [] for label in mixtures}
    for batch, (X, y) in enumerate(batches(np.random.default_rng(0))):
        for label, moe in mixtures.items():
            if batch:
                scores[label].append(moe.score_samples(X, y).mean())
            moe.partial_fit(X, y)

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    grid = np.linspace(-2, 2, 200)[:, None]
    right.scatter(X, y, s=8, color="0.75", label="last batch")
    for label, moe in mixtures.items():
        left.plot(np.arange(1, N_BATCHES), scores[label], label=label)
        right.plot(grid, moe.predict(grid), label=label)
    left.axvline(N_BATCHES / 2, color="0.5", linestyle=":", label="the regime changes")
    left.set(xlabel="batch", ylabel="log density of rows not yet learnt", ylim=(-6, None))
    right.set(xlabel="x", ylabel="y", title="At the end")
    left.set_title("Predicted first, then learnt")
    left.legend()
    right.legend()
    figure.savefig(path)
    for label in mixtures:
        before, after = (np.mean(scores[label][s]) for s in (slice(40, 59), slice(65, 85)))
        print(f"{label}: log density {before:.2f} before the change, {after:.2f} after it")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "drifting_stream.png")
