"""Speed in ratios, each measured in one run with its ingredients, by section.

Times are of the processor (of all threads), the smallest of a few runs, unless a column says
otherwise. Set OPENBLAS_NUM_THREADS=1 on a busy machine: threads of BLAS that wait for a core count.

Usage: python tests/benchmarks/speed.py [--only NAME ...] [--data DIR] [--quick]
"""

# Loop variables are used at once, within the round that they belong to.
# ruff: noqa: B023

import argparse
import resource
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
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
from tables import load_tables

sys.path.insert(0, str(Path(__file__).parents[1]))
from skmoe._mixture.initialization import INITIALIZERS, smoothed
from skmoe._mixture.model import MixtureModel, Params

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.scaling import Standardization, design_matrix, fit_standardization
from skmoe._mixture import em
from skmoe._mixture.em import (
    EMOptions,
    EMStart,
    evaluate,
    hessian_refresh_interval,
    m_step,
    params_from_responsibilities,
    run_em,
)
from skmoe._numerics import multinomial
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from skmoe.protocols import Experts
from skmoe.recipes import strong_classifier, strong_regressor
from support.expert_kinds import draw, example

PRODUCT_ROWS = 8192


def simulate(n_rows, n_features, n_experts, seed=0):
    """Rows of as many regimes as experts: features, target and three classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    gate = X @ rng.normal(size=(n_features, n_experts)) + rng.gumbel(size=(n_rows, n_experts))
    regime = np.argmax(gate, axis=1)
    coef = rng.normal(size=(n_experts, n_features))
    mean = rng.normal(size=n_experts)[regime]
    for k in range(n_experts):
        mean[regime == k] += X[regime == k] @ coef[k]
    y = mean + 0.5 * rng.normal(size=n_rows)
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


def products(design, resp, gate, coef):
    """The products that an iteration cannot do without."""
    n_experts, d = coef.shape
    grams, cross = np.zeros((n_experts, d, d)), np.zeros((n_experts, d))
    for begin in range(0, len(design), PRODUCT_ROWS):
        block = slice(begin, begin + PRODUCT_ROWS)
        X, R = design[block], resp[:, block]
        X @ gate.T
        X @ coef.T
        for k in range(n_experts):
            root = X * np.sqrt(R[k])[:, None]
            grams[k] += root.T @ root
        cross += R @ X
    return grams, cross


def iteration(options):
    """One iteration of EM against its bare products; goals 2, 2 and 2.5."""
    for n, d, n_experts in [(200_000, 21, 8), (200_000, 51, 8), (1_000_000, 11, 4)]:
        n //= 10 if options.quick else 1
        rng = np.random.default_rng(0)
        scale = Standardization(np.zeros(d - 1), np.ones(d - 1))
        design = design_matrix(rng.normal(size=(n, d - 1)), scale, None)
        rows = Dataset(design, design, rng.normal(size=(1, n)), np.ones(n))
        blocks, parts = (
            split_into_blocks(rows),
            MixtureModel(SoftmaxGate(), LinearExperts(), n_experts),
        )
        gate, coef = rng.normal(size=(2, n_experts, d))
        params = Params(
            parts.gate.init_params(n_experts, d)._replace(coef=0.3 * gate),
            parts.experts.init_params(n_experts, d)._replace(coef=0.1 * coef[:, None]),
        )
        known, by_rows = evaluate(parts, blocks, params), np.ascontiguousarray(design)
        resp = rng.dirichlet(np.ones(n_experts), size=n).T.copy()
        for clock in (time.process_time, time.perf_counter):
            _, bare = timed(lambda: products(by_rows, resp, gate, coef), 5, clock)
            _, seen = timed(lambda: evaluate(parts, blocks, params, known), 5, clock)
            _, curved = timed(lambda: evaluate(parts, blocks, params), 3, clock)
            _, solved = timed(lambda: m_step(parts, known, 1.0), 3, clock)
            life = hessian_refresh_interval(n_experts)
            mean = ((life - 1) * seen + curved) / life + solved
            with ThreadPoolExecutor(2) as pool:
                _, shared = timed(
                    lambda: evaluate(parts, blocks, params, known, pool.map), 5, clock
                )
            say(
                clock="processor" if clock is time.process_time else "wall",
                n=n,
                d=d,
                K=n_experts,
                products=bare,
                sweep=seen,
                with_curvature=curved,
                solve=solved,
                two_threads=shared,
                ratio_sweep=seen / bare,
                ratio_mean=mean / bare,
                ratio_two_threads=shared / bare,
            )


def families(options):
    """An iteration of each family beside that of linear experts; goal 2.5 for counts."""
    n, p, n_experts = 200_000 // (10 if options.quick else 1), 20, 8
    rng = np.random.default_rng(0)
    design = np.asfortranarray(np.column_stack([rng.normal(size=(n, p)), np.ones(n)]))
    predictor, life = 0.5 + 0.2 * design[:, :3].sum(axis=1), hessian_refresh_interval(n_experts)
    scaling = Standardization(np.zeros(1), np.ones(1))
    cases = {"linear": (LinearExperts(), predictor + rng.normal(size=n))}
    for name, family in FAMILIES.items():
        if family.link and name != "normal":
            experts = LinearExperts((example(name),))
            y = draw(name, predictor, rng)
            cases[name] = experts.fitted_to(design, y[None], np.ones(n), scaling), y
    linear = None
    for name, (experts, y) in cases.items():
        model = MixtureModel(SoftmaxGate(), experts, n_experts)
        blocks = split_into_blocks(Dataset(design, design, y[None], np.ones(n)))
        start = experts.init_params(n_experts, p + 1)
        start = start._replace(coef=start.coef + 0.1 * rng.normal(size=start.coef.shape))
        params = Params(model.gate.init_params(n_experts, p + 1), start)
        known, first = timed(lambda: evaluate(model, blocks, params), 3)
        _, seen = timed(lambda: evaluate(model, blocks, params, known), 5)
        mean = ((life - 1) * seen + first) / life
        linear = linear or mean
        say(family=name, n=n, d=p + 1, K=n_experts, seconds=mean, ratio=mean / linear)


def problems(options):
    """Tables of real data, if there are any, and simulated ones to make ten."""
    found = (
        [(name, X, y) for name, X, y, _ in load_tables(options.data, "regression")]
        if (options.data)
        else []
    )
    found = [(name, X[:5000], y[:5000]) for name, X, y in found if len(y) > 1000][:7]
    for seed in range(10 - len(found)):
        X, y, _ = simulate(5000, 5 + 5 * seed, 4 + 2 * seed, seed)
        found.append((f"simulated {seed}", X, y))
    return found[:3] if options.quick else found


def iterations(options):
    """Time to 1e-4 nats per row below the end, of plain EM over accelerated; goal 3 on 7 of 10."""
    ratios = []
    for name, X, y in problems(options):
        scale = fit_standardization(X, np.ones(len(X)))
        design = design_matrix(X, scale, None)
        target = ((y - y.mean()) / y.std())[None]
        rows = Dataset(design, design, target, np.ones(len(y)))
        parts = MixtureModel(SoftmaxGate(), LinearExperts(alpha=0.1, noise_variance=(0.1,)), 8)
        labels = INITIALIZERS["kmeans"](
            design[:, :-1], target, rows.weight, 8, np.random.default_rng(0)
        )
        params = params_from_responsibilities(parts, rows, smoothed(np.eye(8)[:, labels]), 5)
        runs = {}
        for kind, n_plain, life in [("plain", 10**9, 1), ("fast", 5, None)]:
            kept, clocks = em.hessian_refresh_interval, []
            em.hessian_refresh_interval = (lambda n: life) if life else kept
            try:
                run = run_em(
                    parts,
                    split_into_blocks(rows),
                    EMStart(params),
                    EMOptions(options.most, 1e-7, n_plain),
                    lambda i, run: clocks.append(time.process_time()),
                )
            finally:
                em.hessian_refresh_interval = kept
            runs[kind] = run.lower_bounds, np.array(clocks) - clocks[0]
        goal = min(bounds[-1] for bounds, _ in runs.values()) - 1e-4
        at = {kind: int(np.argmax(np.array(b) >= goal)) for kind, (b, _) in runs.items()}
        took = {kind: runs[kind][1][i] for kind, i in at.items()}
        ratios.append(took["plain"] / max(took["fast"], 1e-9))
        say(
            problem=name.replace(" ", "_"),
            plain_iterations=at["plain"],
            fast_iterations=at["fast"],
            plain=took["plain"],
            fast=took["fast"],
            ratio=ratios[-1],
            fast_ends_higher_by=runs["fast"][0][-1] - runs["plain"][0][-1],
        )
    say(problems=len(ratios), at_least_3=sum(ratio >= 3 for ratio in ratios))


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


@contextmanager
def exact_hessians():
    """Every pair of classes in the Hessians, and probabilities computed for each use of them."""
    few, at = multinomial.FEW_CLASSES, LogisticExperts.at
    multinomial.FEW_CLASSES, LogisticExperts.at = 10**9, Experts.at
    try:
        yield
    finally:
        multinomial.FEW_CLASSES, LogisticExperts.at = few, at


def classes(options):
    """Fits of few and many classes beside K of LogisticRegression, and exact Hessians; goal 15."""
    n = 1000 if options.quick else 5000
    for n_classes in (3, 10, 26):
        X, y = clusters(2 * n, n_classes)
        X = StandardScaler().fit(X[:n]).transform(X)
        moe, logistic = MixtureOfExpertsClassifier(4, random_state=0), LogisticRegression()
        for way, setting in [("default", nullcontext), ("exact", exact_hessians)]:
            _, base = timed(lambda: [clone(logistic).fit(X[:n], y[:n]) for _ in range(4)], 3)
            with setting():
                ours, seconds = timed(lambda: clone(moe).fit(X[:n], y[:n]), 2)
            say(
                classes=n_classes,
                way=way,
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


def experts(options):
    """Seconds per iteration by number of experts, with and without routing to two."""
    n = 10_000 if options.quick else 50_000
    rng = np.random.default_rng(0)
    design = design_matrix(
        rng.normal(size=(n, 10)), Standardization(np.zeros(10), np.ones(10)), None
    )
    rows = Dataset(design, design, rng.normal(size=(1, n)), np.ones(n))
    blocks, first = split_into_blocks(rows), {}
    for n_experts in (2, 4, 8, 16, 32, 64):
        gate, coef = rng.normal(size=(2, n_experts, 11))
        for top_k in (None, 2):
            parts = MixtureModel(SoftmaxGate(), LinearExperts(), n_experts, top_k)
            params = Params(
                parts.gate.init_params(n_experts, 11)._replace(coef=gate),
                parts.experts.init_params(n_experts, 11)._replace(coef=coef[:, None]),
            )
            known, curved = timed(lambda: evaluate(parts, blocks, params), 2)
            _, seen = timed(lambda: evaluate(parts, blocks, params, known), 3)
            _, solved = timed(lambda: m_step(parts, known, 1.0), 2)
            life = hessian_refresh_interval(n_experts)
            mean = ((life - 1) * seen + curved) / life + solved
            base = first.setdefault(top_k, mean / 2)
            say(
                K=n_experts,
                top_k=top_k,
                sweep=seen,
                with_curvature=curved,
                solve=solved,
                iteration=mean,
                ratio_to_linear=mean / (n_experts * base),
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
    """The strong recipes beside one fit of boosting: CPU time, memory and prediction.

    The memory is the most that the process has used until then, so that efforts go upwards.
    """
    columns = ["boosting, s", "fit, s", "ratio", "memory, GB", "rows predicted per second"]
    rows = {}
    for n, effort in product(
        (1000, 10_000) if options.quick else (1000, 10_000, 100_000), ("fast", "balanced", "best")
    ):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, 10))
        y = np.where(X[:, 0] > 0, X[:, 1], X[:, 2] ** 2) + 0.3 * rng.normal(size=n)
        for recipe, boosting, target in [
            (strong_regressor, HistGradientBoostingRegressor(), y),
            (strong_classifier, HistGradientBoostingClassifier(), y > 0.5),
        ]:
            begin = time.process_time()
            boosting.fit(X, target)
            base = time.process_time() - begin
            moe = recipe(effort=effort, random_state=0).fit(X, target)
            fitted = time.process_time()
            moe.predict(X)
            cost = fitted - begin - base
            figures = [
                f"{base:.2f}",
                f"{cost:.1f}",
                f"{cost / base:.0f}",
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}",
                f"{n / (time.process_time() - fitted):.0f}",
            ]
            name = f"{recipe.__name__}, {effort}, {n} rows"
            rows[name] = figures
            say(recipe=name, ratio=cost / base)
    print_table("of 10 features", columns, rows)


SECTIONS = {
    section.__name__: section
    for section in (
        iteration,
        iterations,
        families,
        fits,
        small,
        million,
        classifier,
        classes,
        wide,
        experts,
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
    parser.add_argument("--most", type=int, default=400, help="iterations of the climbs compared")
    options = parser.parse_args()
    for name in options.only:
        print(f"{name}: {SECTIONS[name].__doc__}", flush=True)
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
