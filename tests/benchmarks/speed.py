"""Speed in ratios, each measured in one run with its ingredients, by section.

Times are of the processor (of all threads), the smallest of a few runs, unless a column says
otherwise. Set OPENBLAS_NUM_THREADS=1 on a busy machine: threads of BLAS that wait for a core count.

Usage: python tests/benchmarks/speed.py [--only NAME ...] [--data DIR] [--quick]
       python tests/benchmarks/speed.py --against REV [--kinds KIND ...]

With `--against` it compares fits with those of another revision, and fails if one is slower by more
than 15 per cent.
"""

# Loop variables are used at once, within the round that they belong to.
# ruff: noqa: B023

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from markdown import print_table
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.validation import validate_data

sys.path.insert(0, str(Path(__file__).parents[1]))
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.recipes import strong_classifier, strong_regressor

ROOT = Path(__file__).parents[2]

# Kinds of fits that are compared with those of another revision, and the largest ratio of one.
AGAINST = (
    "500 x 10",
    "20,000 x 10",
    "200,000 x 20, eight experts",
    "poisson",
    "gamma",
    "classes",
    "search",
    "memory map of a million rows",
)
MAX_RATIO = 1.15


def simulate(n_rows, n_features, n_experts, seed=0, noise=0.5):
    """Rows of as many regimes as experts: features, target and three classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    gate = X @ rng.normal(size=(n_features, n_experts)) + rng.gumbel(size=(n_rows, n_experts))
    regime = np.argmax(gate, axis=1)
    coef = rng.normal(size=(n_experts, n_features))
    mean = rng.normal(size=n_experts)[regime]
    for k in range(n_experts):
        mean[regime == k] += X[regime == k] @ coef[k]
    y = mean + noise * rng.normal(size=n_rows)
    return X, y, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))


def timed(work, repeats=1, clock=time.process_time):
    """What the work gives, and its seconds: the smallest of some runs."""
    seconds = []
    for _ in range(repeats):
        begin = clock()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = work()
        seconds.append(clock() - begin)
    return given, min(seconds)


def peak():
    """Most memory held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(**columns):
    """One line of a table."""
    texts = [
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in columns.items()
    ]
    print("   " + "  ".join(texts), flush=True)


# --- sections ---------------------------------------------------------------------------------


def by_iteration(estimator, *data):
    """Seconds of an iteration: what more of them add to a fit that goes on and on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [clone(estimator).set_params(tol=1e-12, max_iter=most) for most in (20, 40)]
        (short, begun), (long, ended) = (timed(lambda fit=fit: fit.fit(*data)) for fit in fits)
    return (ended - begun) / (long.n_iter_ - short.n_iter_)


def fits(options):
    """Whole fits beside GaussianMixture on [X, y], and iterations; goals 3 for n = 100,000."""
    n = 10_000 if options.quick else 100_000
    X, y, _ = simulate(n, 20, 8)
    joint, mixture = np.column_stack([X, y]), GaussianMixture(8, random_state=0)
    theirs, base = timed(lambda: clone(mixture).fit(joint))
    # Where y says nothing of X, no fit ends early.
    noise = np.random.default_rng(0).permutation(y)
    once = by_iteration(mixture, np.column_stack([X, noise]))
    for n_init in (1, 4):
        moe = MixtureOfExpertsRegressor(8, n_init=n_init, random_state=0)
        ours, seconds = timed(lambda moe=moe: clone(moe).fit(X, y))
        iteration = by_iteration(moe, X, noise)
        say(
            n=n,
            n_init=n_init,
            mixture=base,
            mixture_iterations=theirs.n_iter_,
            mixture_iteration=once,
            fit=seconds,
            iterations=ours.n_iter_,
            iteration=iteration,
            ratio=base / seconds,
            ratio_by_iteration=once / iteration,
        )


def surplus(options):
    """Eight experts where four regimes are true, beside GaussianMixture on [X, y]."""
    n = 10_000 if options.quick else 100_000
    for noise in (0.1, 0.5):
        X, y, _ = simulate(n, 10, 4, noise=noise)
        mixture = GaussianMixture(8, random_state=0)
        base = timed(lambda: mixture.fit(np.column_stack([X, y])))[1]
        moe, seconds = timed(lambda: MixtureOfExpertsRegressor(8, random_state=0).fit(X, y))
        n_used = int((moe.weights_ > 1e-3).sum())
        say(n=n, noise=noise, mixture=base, fit=seconds, ratio=base / seconds, experts_used=n_used)


def small(options):
    """Default fits of small tables beside GaussianMixture on [X, y]."""
    for n, p, n_experts in [(20_000, 10, 4), (2_000, 1, 2)]:
        X, y, _ = simulate(n, p, n_experts)
        joint, mixture = np.column_stack([X, y]), GaussianMixture(n_experts, random_state=0)
        moe = MixtureOfExpertsRegressor(n_experts, random_state=0)
        repeats = 3 if options.quick else 11
        theirs, base = timed(lambda: clone(mixture).fit(joint), repeats)
        ours, seconds = timed(lambda: clone(moe).fit(X, y), repeats)
        say(
            n=n,
            p=p,
            K=n_experts,
            mixture=base,
            mixture_iterations=theirs.n_iter_,
            fit=seconds,
            starts=moe.n_init,
            iterations=ours.n_iter_,
            fit_over_mixture=seconds / base,
        )


def million(options):
    """A million rows from a cold start; goals 60 s and 1.5 times the memory of X in extra."""
    n = 100_000 if options.quick else 1_000_000
    X, y, _ = simulate(n, 20, 8)
    before, size = peak(), X.nbytes / 2**20
    begin = time.perf_counter()
    ours, seconds = timed(lambda: MixtureOfExpertsRegressor(8, random_state=0).fit(X, y))
    say(
        n=n,
        seconds=seconds,
        wall=time.perf_counter() - begin,
        iterations=ours.n_iter_,
        X_MB=size,
        extra_MB=peak() - before,
        memory_ratio=(peak() - before) / size,
    )


def classifier(options):
    """The classifier against K fits of LogisticRegression; goal 10."""
    n = 10_000 if options.quick else 100_000
    X, _, classes = simulate(n, 20, 4)
    _, base = timed(lambda: [LogisticRegression().fit(X, classes) for _ in range(4)])
    for n_init in (1, 4):
        moe = MixtureOfExpertsClassifier(4, n_init=n_init, random_state=0)
        ours, seconds = timed(lambda: moe.fit(X, classes))
        say(
            n=n,
            n_init=n_init,
            logistic=base,
            fit=seconds,
            iterations=ours.n_iter_,
            ratio=seconds / base,
        )


def clusters(n_rows, n_classes, n_features=16, seed=0):
    """Rows of classes that are mixtures of four clusters each, with features rounded to 0 to 15."""
    rng = np.random.default_rng(seed)
    centre = 0.9 * rng.normal(size=(n_classes, 1, n_features))
    centre = centre + rng.normal(size=(n_classes, 4, n_features))
    scale = rng.uniform(0.5, 1.5, size=centre.shape)
    y, part = rng.integers(n_classes, size=n_rows), rng.integers(4, size=n_rows)
    X = centre[y, part] + scale[y, part] * rng.normal(size=(n_rows, n_features))
    return np.round(np.clip(7.5 + 2.0 * X, 0.0, 15.0)), y


def classes(options):
    """Fits of few and many classes beside K of LogisticRegression; goal 15."""
    n = 1000 if options.quick else 5000
    for n_classes in (3, 10, 26):
        X, y = clusters(2 * n, n_classes)
        X = StandardScaler().fit(X[:n]).transform(X)
        moe, logistic = MixtureOfExpertsClassifier(4, random_state=0), LogisticRegression()
        _, base = timed(lambda: [clone(logistic).fit(X[:n], y[:n]) for _ in range(4)], 3)
        ours, seconds = timed(lambda: clone(moe).fit(X[:n], y[:n]), 2)
        say(
            classes=n_classes,
            logistic=base,
            fit=seconds,
            iterations=ours.n_iter_,
            ratio=seconds / base,
            bound=f"{ours.lower_bound_:.5f}",
            log_loss=f"{log_loss(y[n:], ours.predict_proba(X[n:])):.5f}",
        )


def wide(options):
    """Many columns, at most 50 iterations; goals: minutes, memory linear in what is stored."""
    rng = np.random.default_rng(0)
    for kind, n, p in [("sparse", 100_000, 5000), ("dense", 20_000, 500)]:
        n //= 10 if options.quick else 1
        if kind == "sparse":
            stored = 10 * n  # a density of 0.2 %
            values, columns = rng.exponential(size=stored), rng.integers(p, size=stored)
            X = sparse.csr_array((values, columns, np.arange(0, stored + 1, 10)), shape=(n, p))
            X.sum_duplicates()
            size = (X.data.nbytes + X.indices.nbytes) / 2**20
        else:
            X = rng.normal(size=(n, p))
            size = X.nbytes / 2**20
        gate = rng.normal(size=(p, 4)) * (rng.uniform(size=(p, 1)) < 0.1)
        logits = X @ gate * (2.0 if kind == "sparse" else 0.3)
        regime = np.argmax(logits + rng.gumbel(size=(n, 4)), axis=1)
        means = X @ rng.normal(size=(p, 4)) + 3.0 * np.arange(4)
        y = means[np.arange(n), regime] + 0.3 * rng.normal(size=n)
        before = peak()
        moe = MixtureOfExpertsRegressor(4, n_init=1, max_iter=50, random_state=0)
        ours, seconds = timed(lambda X=X, y=y: moe.fit(X, y))
        say(
            kind=kind,
            n=n,
            p=p,
            seconds=seconds,
            iterations=ours.n_iter_,
            smallest_gain=float(np.diff(ours.lower_bounds_).min()),
            X_MB=size,
            extra_MB=peak() - before,
        )


def prediction(options):
    """Rows per second and core, p = 10 and K = 4, and the time of one row; goals 5e6 and 150 µs."""
    n = 100_000 if options.quick else 1_000_000
    X, y, _ = simulate(n, 10, 4)
    moe, _ = timed(
        lambda: MixtureOfExpertsRegressor(4, n_init=1, random_state=0).fit(X[:5000], y[:5000])
    )
    _, seconds = timed(lambda: moe.predict(X), 5)
    one, many = X[:1], range(500)

    def check(row):
        return validate_data(moe, row, reset=False, accept_sparse="csr", dtype=np.float64)

    _, checked = timed(lambda: [check(one) for _ in many], 5)
    _, told = timed(lambda: [moe.predict(one) for _ in many], 5)
    say(
        rows=n,
        seconds=seconds,
        million_rows_per_second=n / seconds / 1e6,
        row_us=told / len(many) * 1e6,
        validation_us=checked / len(many) * 1e6,
        beyond_us=(told - checked) / len(many) * 1e6,
    )


def trees(options):
    """Cross-fitted trees against folds x one pass of K weighted fits x iterations; goal 3."""
    n = 2000 if options.quick else 10_000
    X, y, _ = simulate(n, 10, 4)
    moe = MixtureOfExpertsRegressor(4, expert="tree", n_init=1, max_iter=20, random_state=0)
    ours, seconds = timed(lambda: moe.fit(X, y))
    resp = ours.responsibilities(X, y).T

    def one_pass():
        for weight in resp:
            kept = np.flatnonzero(weight > 1e-3)
            tree = DecisionTreeRegressor(min_samples_leaf=10)
            tree.fit(X[kept], y[kept], sample_weight=weight[kept])

    _, once = timed(one_pass, 3)
    bare = 5 * once * ours.n_iter_
    say(n=n, fit=seconds, one_pass=once, iterations=ours.n_iter_, bare=bare, ratio=seconds / bare)


def single(options):
    """float32 input against float64; goal: results within 1e-4."""
    n = 20_000 if options.quick else 100_000
    X, y, _ = simulate(n, 20, 8)
    X = X.astype(np.float32)
    moe = MixtureOfExpertsRegressor(8, n_init=1, random_state=0, max_iter=30)
    half, short = timed(lambda: clone(moe).fit(X, y))
    full, long = timed(lambda: clone(moe).fit(X.astype(np.float64), y))
    _, told_half = timed(lambda: half.predict(X), 5)
    _, told_full = timed(lambda: full.predict(X.astype(np.float64)), 5)
    gap = np.abs(half.predict(X) - full.predict(X.astype(np.float64))).max() / y.std()
    say(
        n=n,
        fit_float32=short,
        fit_float64=long,
        ratio=short / long,
        predict_float32=told_half,
        predict_float64=told_full,
        largest_difference=float(gap),
    )


def recipes(options):
    """CPU time of the strong recipes, in fits of boosting with defaults to the same rows."""
    sizes = (300, 800, 2500, 10_000, 100_000)[: 4 if options.quick else None]
    rows = {}
    for n, effort in product(sizes, ("fast", "balanced", "best")):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, 10))
        y = np.where(X[:, 0] > 0, X[:, 1], X[:, 2] ** 2) + 0.3 * rng.normal(size=n)
        for recipe, boosting, target in [
            (strong_regressor, HistGradientBoostingRegressor(), y),
            (strong_classifier, HistGradientBoostingClassifier(), y > 0.5),
        ]:
            _, base = timed(partial(boosting.fit, X, target), repeats=5)
            _, cost = timed(partial(recipe(effort=effort, random_state=0).fit, X, target))
            name = f"{recipe.__name__}, {effort}"
            rows.setdefault(name, []).append(f"{cost / base:.0f}")
            say(recipe=name, rows=n, boosting=base, seconds=cost)
    print_table("fits of boosting, by rows", [str(n) for n in sizes], dict(sorted(rows.items())))


# --- another revision -------------------------------------------------------------------------


def work_of(kind, folder):
    """A fit of one kind, as a function."""
    n_rows, n_features, n_experts = {
        "500 x 10": (500, 10, 4),
        "gamma": (5000, 5, 3),
        "search": (1000, 5, 3),
        "200,000 x 20, eight experts": (200_000, 20, 8),
        "memory map of a million rows": (1_000_000, 10, 4),
    }.get(kind, (20_000, 10, 4))
    X, y, labels = simulate(n_rows, n_features, n_experts)
    options, estimator = {}, MixtureOfExpertsRegressor
    rng = np.random.default_rng(1)
    if kind == "poisson":
        options, y = {"family": "poisson"}, rng.poisson(np.exp(np.clip(0.5 * y, -3.0, 3.0)))
    elif kind == "gamma":
        options, y = {"family": "gamma"}, rng.gamma(4.0, np.exp(0.3 * y) / 4.0)
    elif kind == "classes":
        estimator, y = MixtureOfExpertsClassifier, labels
    elif kind == "search":
        options = {"init": "search"}
    elif kind.startswith("memory"):
        np.save(folder / "X.npy", X)
        X, y = RowBlocks.from_arrays(np.load(folder / "X.npy", mmap_mode="r"), y), None
    moe = estimator(n_experts, random_state=0, **options)
    return lambda: clone(moe).fit(X, y)


def one_fit(kind):
    """Seconds, memory and lower bound of a fit, printed for the process that compares."""
    with tempfile.TemporaryDirectory() as folder:
        work = work_of(kind, Path(folder))
        before = peak()
        moe, seconds = timed(work, 3 if kind in ("500 x 10", "gamma") else 1)
    print(seconds, peak() - before, moe.lower_bound_)


def against(revision, kinds):
    """Fits beside those of another revision, in alternating runs of one thread."""
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        subprocess.run(
            ["git", "worktree", "add", "--detach", other, revision],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        try:
            for kind in kinds:
                found = {ROOT: [], other: []}
                for _ in range(3):
                    for root, runs in found.items():
                        variables = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
                        command = [sys.executable, __file__, "--one-fit", kind]
                        output = subprocess.run(
                            command, env=variables, check=True, capture_output=True, text=True
                        ).stdout
                        runs.append([float(number) for number in output.split()])
                ours, theirs = (np.min(runs, axis=0) for runs in found.values())
                ratios[kind] = ours[0] / theirs[0]
                say(
                    kind=kind.replace(" ", "_"),
                    seconds=ours[0],
                    other=theirs[0],
                    ratio=ratios[kind],
                    memory=ours[1],
                    other_memory=theirs[1],
                    bound=f"{ours[2]:.4f}",
                    other_bound=f"{theirs[2]:.4f}",
                )
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", other], cwd=ROOT, check=True)
    say(geometric_mean=float(np.exp(np.mean(np.log([*ratios.values()])))))
    slower = [kind for kind, ratio in ratios.items() if ratio > MAX_RATIO]
    if slower:
        sys.exit(f"Slower than {revision} by more than {MAX_RATIO - 1.0:.0%}: {', '.join(slower)}")


SECTIONS = {
    section.__name__: section
    for section in (
        fits,
        surplus,
        small,
        million,
        classifier,
        classes,
        wide,
        prediction,
        trees,
        single,
        recipes,
    )
}


def main():
    """Print each section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--data", type=Path, help="folder of tables")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--against", metavar="REV", help="compare fits with a revision, and fail")
    parser.add_argument("--kinds", nargs="*", choices=AGAINST, default=AGAINST)
    parser.add_argument("--one-fit", choices=AGAINST, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_fit:
        one_fit(options.one_fit)
        return
    if options.against:
        against(options.against, options.kinds)
        return
    for name in options.only:
        print(f"{name}: {SECTIONS[name].__doc__}", flush=True)
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
