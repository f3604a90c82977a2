"""Time of group-based trajectories for large cohorts, and whether the groups are found.

Usage: python tests/benchmarks/trajectories.py [--units 100000] [--times 10] [--groups 4]
"""

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from skmoe.recipes import mixture_of, trajectories


def cohort(n_units: int, n_times: int, n_groups: int, seed: int):
    """Cubic courses of groups whose probabilities depend on one feature of the units."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(n_groups, 4)) * [2.0, 4.0, 4.0, 4.0]
    age = rng.normal(size=n_units)
    logits = np.outer(age, np.linspace(-1.0, 1.0, n_groups)) + rng.gumbel(size=(n_units, n_groups))
    group = logits.argmax(axis=1)
    t = np.sort(rng.uniform(size=(n_units, n_times)), axis=1)
    course = (coefficients[group][:, None, :] * t[..., None] ** np.arange(4)).sum(axis=2)
    y = course + rng.normal(size=t.shape)
    frame = pd.DataFrame({"time": t.ravel(), "age": np.repeat(age, n_times)})
    return frame, y.ravel(), np.repeat(np.arange(n_units), n_times), group


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of trajectories of large cohorts.")
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--knots", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    X, y, units, group = cohort(given.units, given.times, given.groups, given.seed)
    pipeline = trajectories(given.groups, "time", ["age"], n_knots=given.knots, random_state=0)
    start, cpu = time.perf_counter(), time.process_time()
    pipeline.fit(X, y, mixture__units=units)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    mixture = mixture_of(pipeline)
    start = time.perf_counter()
    found = mixture.responsibilities(X, y, units=units).proba.argmax(axis=1)
    of_units = time.perf_counter() - start
    start = time.perf_counter()
    mixture.inference(X, y, units=units)
    errors = time.perf_counter() - start
    print(f"{len(y)} rows of {given.units} units, {given.groups} groups:")
    print(f"fit {seconds:.1f} s ({cpu:.1f} s of processors, {mixture.n_iter_} iterations)")
    print(f"responsibilities {of_units:.1f} s, standard errors {errors:.1f} s")
    print(f"adjusted Rand index {adjusted_rand_score(group, found):.3f}")


if __name__ == "__main__":
    main()
