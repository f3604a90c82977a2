"""What would travel on a cluster: bytes of a worker's sums, and a simulated tree reduction.

Rows are shared among workers; each sums up what its rows say, and the sums are added in pairs,
pairs of pairs, and so on. Prints the bytes of a worker's sums, how far those of the tree are from
those of one sum in order, and the times that a pass over 10^10 rows would take.

Usage: python tests/benchmarks/travel.py [--workers 100] [--bandwidth 1e9] [--speed 2e6]
"""

import argparse
import pickle
from functools import reduce

import numpy as np
from skmoe._mixture.initialization import smoothed
from skmoe._mixture.model import MixtureModel
from speed import simulate

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.scaling import design_matrix, fit_standardization
from skmoe._mixture.em import e_step, params_from_responsibilities
from skmoe._numerics.linalg import add_fields
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

N_ROWS = 10**10


def tree(looks):
    """Sums of pairs, until one is left, and the number of rounds."""
    rounds = 0
    while len(looks) > 1:
        pairs = [looks[i : i + 2] for i in range(0, len(looks), 2)]
        looks, rounds = [reduce(add_fields, pair) for pair in pairs], rounds + 1
    return looks[0], rounds


def main(n_workers, bandwidth, speed):
    header = ("experts", "columns", "bytes, curved", "bytes, plain", "rounds", "difference")
    print("".join(f"{name:>15}" for name in (*header, "compute s", "travel s")))
    for n_experts, n_features in ((4, 10), (8, 10), (8, 50), (16, 30)):
        X, y, _ = simulate(n_workers * 500, n_features, n_experts)
        design = design_matrix(X, fit_standardization(X, np.ones(len(X))), None)
        rows = Dataset(design, design, y[None], np.ones(len(X)))
        parts = MixtureModel(
            SoftmaxGate(), LinearExperts(noise_variance=(float(y.var()),)), n_experts
        )
        labels = np.arange(len(X)) % n_experts
        params = params_from_responsibilities(
            parts, rows, smoothed(np.eye(n_experts)[:, labels]), 1
        )
        shares = split_into_blocks(rows, 500)
        looks = [e_step(parts, [share], params, with_hessian=True) for share in shares]
        total, rounds = tree(looks)
        whole = reduce(add_fields, looks)
        curved, plain = (len(pickle.dumps(v)) for v in (total, total._replace(hessians=None)))
        pairs = zip(total.statistics, whole.statistics, strict=True)
        worst = max(
            np.abs(a - b).max() / np.abs(b).max()
            for one, other in pairs
            for a, b in zip(one, other, strict=True)
        )
        compute = N_ROWS / n_workers / speed
        # A node of the tree receives one other sum in each round, all nodes at once.
        travel = rounds * curved * 8 / bandwidth
        numbers = f"{n_experts:>15}{n_features + 1:>15}{curved:>15,}{plain:>15,}{rounds:>15}"
        print(f"{numbers}{worst:>15.1e}{compute:>15.0f}{travel:>15.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--bandwidth", type=float, default=1e9, help="bits per second of a link")
    parser.add_argument("--speed", type=float, default=2e6, help="rows per second of a worker")
    arguments = parser.parse_args()
    main(arguments.workers, arguments.bandwidth, arguments.speed)
