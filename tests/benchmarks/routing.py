"""What sparse routing saves in prediction: K forests as experts, each row sent to two of them.

Prints the rows that experts are asked about, the seconds of `predict`, their ratios to the dense
mixture, and how far the two agree. Usage: python tests/benchmarks/routing.py
"""

import time
import warnings

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import RandomForestRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate

N_EXPERTS = 16


class CountingForest(RandomForestRegressor):
    """A forest that counts the rows it is asked about."""

    asked = 0

    def predict(self, X):
        """Count and predict."""
        CountingForest.asked += len(X)
        return super().predict(X)


def main():
    """Print a line for the dense and for the routed mixture."""
    X, y = make_friedman1(3000, noise=0.5, random_state=0)
    new, y_new = make_friedman1(30_000, noise=0.5, random_state=1)
    said, work, seconds = {}, {}, {}
    for top_k in (None, 2):
        moe = MixtureOfExpertsRegressor(
            N_EXPERTS,
            expert=CountingForest(20, random_state=0),
            cross_fit=False,
            gate=SoftmaxGate(top_k=top_k),
            n_init=1,
            max_iter=5,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moe.fit(X, y)
        CountingForest.asked = 0
        begin = time.perf_counter()
        said[top_k] = moe.predict(new)
        seconds[top_k] = time.perf_counter() - begin
        work[top_k] = CountingForest.asked / len(new)
        error = np.sqrt(np.mean((said[top_k] - y_new) ** 2))
        print(
            f"top_k={top_k!s:<5} experts asked per row {work[top_k]:5.2f}  "
            f"seconds {seconds[top_k]:6.2f}  RMSE {error:.3f}"
        )
    print(
        f"ratios: work {work[2] / work[None]:.3f} (2/{N_EXPERTS} = {2 / N_EXPERTS:.3f}), "
        f"seconds {seconds[2] / seconds[None]:.3f}; correlation of the predictions "
        f"{np.corrcoef(said[None], said[2])[0, 1]:.4f}"
    )


if __name__ == "__main__":
    main()
