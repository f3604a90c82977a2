"""Small changes of the code, made from its syntax trees.

Each change is one place: a weight that is not used, a comparison, sign, index or constant that is
another one, a branch that is always or never taken. Messages, annotations, defaults and the tuning
constants of modules are left as they are: no law says what they must be.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """A change of one place of a file."""

    file: str  # relative to the repository
    line: int
    begin: int  # offsets in the text of the file
    end: int
    old: str
    new: str
    law: str
    equivalent: bool = False  # nobody can notice it

    @property
    def name(self) -> str:
        """A short name that stays the same while the file and the change do."""
        text = f"{self.file}|{self.old}|{self.new}|{self.law}|{self.begin}"
        return hashlib.sha1(text.encode()).hexdigest()[:8]

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.name} {self.file}:{self.line} {self.law}: {old} -> {new}"


COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}

OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}

NAMES = {
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "zeros": "ones",
    "zeros_like": "ones_like",
    "logsumexp": "np.max",
}

# Functions whose two arguments may change places.
SYMMETRIC = {"maximum", "minimum", "max", "min", "array_equal", "logaddexp", "hypot"}

# Rows, columns or experts in another order, or all of them.
INDICES = {"order", "columns", "kept", "index", "rows", "train", "test", "chosen", "present"}

# Arguments that say how work is done and not what comes of it.
MANNERS = {"stacklevel", "verbose", "n_jobs", "n_threads", "kind", "dtype", "optimize"}

# What a picture looks like, as keywords and as keys of dicts: no law asks for a width of lines.
LOOKS = {"linewidth", "linewidths", "markersize", "markeredgewidth", "zorder", "layout", "figsize"}
LOOKS |= {
    "s",
    "alpha",
    "bbox_to_anchor",
    "borderpad",
    "frameon",
    "labelpad",
    "rotation",
    "fontsize",
    "constrained",
    "length",
    "borderaxespad",
    "elinewidth",
    "capsize",
    "line_width",
    "min_border_right",
    "labelsize",
}


# Changes that nobody can notice: a file, text of the line, the text in its place, and the reason.
EQUIVALENT = [
    (
        "_numerics/linalg.py",
        "rarity * np.count_nonzero(weights) < weights.size",
        ("<=", "True", "False", "/"),
        "both ways to sum Gram matrices give the same sums",
    ),
    (
        "_numerics/probability.py",
        "np.count_nonzero(kept) > top_k * kept.shape[1]",
        (">=", "True"),
        "where there are no ties none are found",
    ),
    (
        "_numerics/probability.py",
        "if top_k is None or top_k >= len(log_probs):",
        (">",),
        "all are kept either way",
    ),
    (
        "_numerics/probability.py",
        "where=shifted > LOG_TINY)",
        (">=",),
        "no exponent is exactly the bound",
    ),
    (
        "_numerics/probability.py",
        "if logits.shape[1] <= FEW_CLASSES:",
        ("<", "True", "False"),
        "both ways give the same probabilities",
    ),
    (
        "_numerics/multinomial.py",
        "if 2 * len(rows) > len(weight):",
        (">=", "True", "False", "/", "3"),
        "improbable pairs of classes may be left out or not",
    ),
    (
        "_numerics/normal_mixtures.py",
        "newton = np.where(second < 0.0",
        ("<=",),
        "no second derivative is exactly zero",
    ),
    (
        "distributions/_normal.py",
        "q if q <= 0.5 else 1.0 - q",
        ("<",),
        "one half is one minus one half",
    ),
    (
        "_estimators/problem.py",
        "len(index) <= MIN_INIT_ROWS",
        ("<",),
        "all distinct rows are the distinct rows",
    ),
    (
        "_estimators/partial_fit.py",
        "if gain < MIN_REINITIALIZATION_GAIN",
        ("<=",),
        "no gain is exactly the bound",
    ),
    (
        "_data/duplicates.py",
        "/ unit * direction).sum(axis=1)",
        ("/",),
        "any random numbers tell different rows apart",
    ),
    (
        "_numerics/linalg.py",
        "tol2 = tol**2 * rz if tol2 is None else tol2",
        ("True",),
        "steps without end of conjugate gradients take longer and change nothing",
    ),
    (
        "experts/_named_estimators.py",
        "C=1.0 / max(alpha, 1e-12)",
        ("2e-12",),
        "both are no penalty",
    ),
    (
        "families/_counts.py",
        "rng.negative_binomial(2.0, 1.0 / 3.0, size=(1, n_rows))",
        ("*", "2.0", "3.0", "4.0", "6.0"),
        "an example may have any mean",
    ),
    (
        "families/_ordinal.py",
        "if max(-float(upper.min()), float(lower.max())) > MAX_EXPONENT:",
        ("True", ">="),
        "up to the largest exponent both terms are zero",
    ),
    (
        "families/_counts.py",
        "if y.ndim < 2 or not largest < n_rows",
        ("<=", "True"),
        "a table of values has the values",
    ),
    (
        "_data/first_pass.py",
        "if class_weight is None:",
        ("False",),
        "class weights of one change nothing",
    ),
    (
        "inspection/_checks.py",
        'wanted = "row" if n_rows is None else',
        ("True", "False", "is not"),
        "both are words of a message",
    ),
    (
        "inspection/_responsibilities.py",
        "ylim=(0.0, 1.03)",
        ("2.06",),
        "the end of an axis is a matter of looks",
    ),
    (
        "protocols/_experts.py",
        "np.ones(y.shape[-1], dtype=bool)",
        ("",),
        "the last one of two axes is the second one",
    ),
    (
        "distributions/_count_families.py",
        "gammainccinv(np.maximum(shape, 1e-300), q)",
        ("2e-300",),
        "both are next to nothing",
    ),
    (
        "distributions/_normal.py",
        "return means + stds * rng.standard_normal(means.shape)",
        ("-",),
        "the normal distribution is symmetric",
    ),
    (
        "distributions/_student_t.py",
        "power = -np.exp(np.minimum(exponent, 690.0))",
        ("1380.0",),
        "a search that begins at minus infinity finds the same quantile",
    ),
    (
        "inspection/_report/_charts.py",
        'marker="diamond", size=11',
        ("12",),
        "the size of a mark is a matter of looks",
    ),
    (
        "inspection/_importance.py",
        "ax.set_ylim(len(names) - 0.5, -0.5)",
        ("1.0",),
        "the end of an axis is a matter of looks",
    ),
    (
        "inspection/_responsibilities.py",
        "whis=(5, 95)",
        ("6",),
        "whiskers of another percentile look alike",
    ),
    (
        "inspection/_n_experts.py",
        '"elinewidth": 1.2, "capsize": 3',
        ("4",),
        "the size of a mark is a matter of looks",
    ),
    (
        "inspection/_feature_axes.py",
        '"rotation": 40, "ha": "right"',
        ("",),
        "the angle of a label is a matter of looks",
    ),
    (
        "inspection/_forest.py",
        "ylim=(n_rows - 0.5, -0.5)",
        ("1.0",),
        "the end of an axis is a matter of looks",
    ),
    (
        "inspection/_report/_export.py",
        "_summarize(mixture if steps else estimator, rows_of_mixture)",
        ("True",),
        "without steps both are the same mixture, and inference done twice is the same",
    ),
    (
        "inspection/_waterfall.py",
        "xlim=(min(ends) - margin / 3, max(ends) + margin)",
        ("*", "4"),
        "the space beside bars is a matter of looks",
    ),
    (
        "inspection/_waterfall.py",
        "right = max(position, after, after + bar.gate)",
        ("-",),
        "the place of a label is a matter of looks",
    ),
    (
        "inspection/_feature_axes.py",
        "ax.set_xlim(-0.6, len(categories) - 0.4)",
        ("", "+"),
        "the end of an axis is a matter of looks",
    ),
    (
        "_numerics/quadrature.py",
        "legvander(SUM_NODES, SUM_ORDER - 1)",
        ("0",),
        "polynomials of higher degree are not used",
    ),
    (
        "_mixture/e_step.py",
        "_part_hessians(model, params, rows, weighted, log_gate) if with_hessian else None",
        ("True",),
        "Hessians that are not used take time and change nothing",
    ),
    (
        "_mixture/unit_initialization.py",
        "mean = (mean + TINY**0.5) * every_row",
        ("1.0",),
        "both are next to nothing",
    ),
    (
        "inspection/_importance_by_part.py",
        "min(n_experts, ROWS_AT_ONCE // n_rows)",
        ("*",),
        "all experts at once have the same densities as one after the other",
    ),
    (
        "distributions/_poisson.py",
        "int(np.max(last - first)) + 1)",
        ("+",),
        "terms beyond the last are next to nothing",
    ),
    (
        "distributions/_general_searches.py",
        "where=grid > best + apart",
        (">=",),
        "no point is exactly at the distance",
    ),
    (
        "experts/_mean_family.py",
        "if not open_.any():",
        ("False",),
        "steps that are all accepted are not changed by further halving",
    ),
    (
        "_inference/coefficients.py",
        "index[: block.shape[1]]",
        ("0",),
        "blocks of covariances are square",
    ),
    (
        "_inference/summary.py",
        "abs(effect[j]) > MIN_RELATIVE_EFFECT * largest",
        (">=",),
        "no effect is exactly the bound",
    ),
    (
        "_estimators/likelihood_ratio_checks.py",
        'check_integer("n_experts", number, least=1)',
        ("0",),
        "the check of the parameters of the fit has the same message",
    ),
    (
        "_estimators/unit_checks.py",
        'check_columns("gate_features", params.gate_features, X.shape[1], names)',
        ("0",),
        "the check of the columns of the fit has the same message",
    ),
    (
        "_estimators/document_checks.py",
        "n_shown, columns = min(model.n_experts, 2)",
        ("max",),
        "parameters of more experts show the same shapes but for the number of experts",
    ),
    (
        "_estimators/document_checks.py",
        "gate.init_params(min(n_experts, 2)",
        ("max",),
        "parameters of more experts show the same shapes but for the number of experts",
    ),
    (
        "_estimators/dask_methods.py",
        "return np.zeros((1, *X.shape[1:]), dtype=X.dtype)",
        ("ones",),
        "of the results for this row only the shape is used",
    ),
    (
        "_estimators/row_buffer.py",
        "n_units += int(own.max(initial=-1)) + 1",
        ("",),
        "a larger number leaves some numbers out, and any numbers tell units apart",
    ),
    (
        "_numerics/linalg.py",
        "if 2 * len(kept) < len(weight):",
        ("True", "False", "<=", "/", "3"),
        "rows of weight zero may be left out or not",
    ),
    (
        "_numerics/linalg.py",
        "if design.size * design.shape[1] <= MAX_SMALL_PRODUCT:",
        ("True", "False", "<", "/", "0"),
        "both products are the same Gram matrix",
    ),
    (
        "_numerics/linalg.py",
        "rarity = max(SPARSE_WEIGHTS_FACTOR, SPARSE_WEIGHTS_COLUMNS / design.shape[1])",
        ("min", "*", "0"),
        "both ways to sum Gram matrices give the same sums",
    ),
    (
        "_numerics/linalg.py",
        "design.nnz > MAX_SPARSE_DENSITY * design.shape[0] * n_columns",
        (">=", "/", "1", "False"),
        "dense and sparse forms have the same Gram matrices",
    ),
    (
        "_numerics/linalg.py",
        "if sparse.issparse(design) or 2 * len(weights) <= n_columns:",
        ("True", "<", "/", "3"),
        "both ways to sum Gram matrices give the same sums",
    ),
    (
        "_numerics/linalg.py",
        "if pivots.min() < PIVOT_TOL * pivots.max():",
        ("<=",),
        "no ratio of pivots is exactly the bound",
    ),
    (
        "_numerics/linalg.py",
        "keep = values > PIVOT_TOL**2 * max(values[-1], TINY)",
        (">=",),
        "no eigenvalue is exactly the bound",
    ),
    (
        "_numerics/linalg.py",
        "copy=False)",
        ("True",),
        "a copy has the same values",
    ),
    (
        "_numerics/linalg.py",
        "preconditioner = 1.0 / np.where(diagonal > 0.0, diagonal, 1.0)",
        ("2.0",),
        "steps of conjugate gradients do not depend on the scale of the preconditioner",
    ),
    (
        "_numerics/linalg.py",
        "rhs - product(start) if start.any() else rhs",
        ("True",),
        "the product with zero is zero",
    ),
    (
        "_numerics/linalg.py",
        "if (rz <= tol2).all():",
        ("False", "<"),
        "systems that have converged are not changed by further steps",
    ),
    (
        "_numerics/linalg.py",
        "active = (rz > tol2) & (pAp > 0.0)",
        (">=",),
        "a system at its tolerance, or in no direction, does not move",
    ),
    (
        "_numerics/multinomial.py",
        "np.nonzero(weighted > MIN_PAIR_PROB)",
        (">=",),
        "no probability is exactly the bound",
    ),
    (
        "_numerics/multinomial.py",
        "if len(hessian) > FEW_CLASSES:",
        ("False", ">="),
        "both factorizations solve the same system",
    ),
    (
        "_numerics/multinomial.py",
        'np.einsum("aadd->d", hessian) / n_classes, TINY)',
        ("*",),
        "any curvature along equal coefficients will do",
    ),
    (
        "_numerics/multinomial.py",
        "matrix[:, columns, :, columns] += (level / n_classes)[:, None, None]",
        ("*",),
        "any curvature along equal coefficients will do",
    ),
    (
        "_numerics/multinomial.py",
        "if np.diag(factor).min() > PIVOT_TOL * np.diag(factor).max():",
        (">=",),
        "no ratio of pivots is exactly the bound",
    ),
    (
        "_numerics/multinomial.py",
        "jitter = max(10.0 * jitter, 1e-13 * scale)",
        ("20.0", "2e-13"),
        "both are small multiples of the identity",
    ),
    (
        "_numerics/evidence.py",
        "penalty = (moved[0] / LOG_STRENGTH_STD) ** 2 + np.square(moved[1:] / LOG_SCALE_STD)",
        ("*",),
        "both standard deviations are one",
    ),
    (
        "_numerics/evidence.py",
        "bounds += [(value - 30.0, value + 5.0) for value in center[1:]]",
        ("60.0", "10.0"),
        "the prior keeps the logs of scales far from their bounds",
    ),
    (
        "_numerics/probability.py",
        "joint = np.where(impossible, 0.0, joint)",
        ("1.0",),
        "responsibilities are equal for any equal numbers",
    ),
    (
        "_numerics/probability.py",
        "if top_k is None:",
        ("False",),
        "probabilities that sum to one are normalised already",
    ),
    (
        "_numerics/normal_mixtures.py",
        "np.where(weights > 0.0, quantiles,",
        (">=",),
        "the quantile is found in a wider bracket too",
    ),
    (
        "_numerics/normal_mixtures.py",
        "low, high = np.where(excess < 0.0, x, low), np.where(excess < 0.0, high, x)",
        ("<=",),
        "a point without excess is the quantile",
    ),
    (
        "_numerics/normal_mixtures.py",
        "unsolved = (np.abs(excess) > SEARCH_TOL)",
        (">=", "4.0"),
        "the last step of the search is round-off",
    ),
    (
        "_numerics/normal_mixtures.py",
        "if not unsolved.any():",
        ("False",),
        "steps without a mixture that is left change nothing",
    ),
    (
        "_numerics/normal_mixtures.py",
        "inside = (newton > low) & (newton < high) & (step % 3 < 2)",
        (">=", "<=", "4", "3"),
        "steps of Newton and bisections in another order find the same quantile",
    ),
    (
        "_numerics/normal_mixtures.py",
        "newton = np.where(second < 0.0",
        ("2.0",),
        "where the second derivative is not negative the quotient is not used",
    ),
    (
        "_numerics/normal_mixtures.py",
        "step = np.where(reached[1] > reached[0], newton, fixed_point)",
        (">=",),
        "of two steps that reach the same density either one is right",
    ),
    (
        "_mixture/online.py",
        "if outputs is not None:",
        ("True",),
        "experts whose outputs have no units stay as they are",
    ),
    (
        "experts/_cross_fitted.py",
        "log_density = np.zeros((len(params.models), features.shape[0]))",
        ("ones",),
        "the densities of experts without one of their own are not used",
    ),
    (
        "experts/_cross_fitted.py",
        "np.where(self._has_density(), 0.0, terms.sum(axis=1))",
        ("1.0",),
        "a constant is the same before and after a refit",
    ),
    (
        "experts/_cross_fitted.py",
        "weight = np.maximum(resp[k, rows], TINY**0.5)",
        ("1.0",),
        "both are next to nothing",
    ),
    (
        "experts/_cross_fitted_families.py",
        "np.maximum(scaled, TINY**0.5)",
        ("1.0",),
        "both are next to nothing",
    ),
    (
        "experts/_mean_family.py",
        "np.maximum(np.array(self.target_mean), TINY**0.5)",
        ("1.0",),
        "both are next to nothing",
    ),
    (
        "experts/_named_estimators.py",
        "max_iter=1000",
        ("1001",),
        "one more iteration of a solver that has converged changes nothing",
    ),
    (
        "experts/_generalized_linear/_params.py",
        "np.where(possible, y, 1.0)",
        ("2.0",),
        "rows that an expert cannot have made have no weight",
    ),
    (
        "families/_normal.py",
        "return np.log(np.where(y > 0.0, y, 1.0))",
        ("2.0",),
        "densities and derivatives outside the support are not used",
    ),
    (
        "families/_gamma.py",
        "positive = np.where(y > 0.0, y, 1.0)",
        ("2.0",),
        "the density outside the support is replaced",
    ),
    (
        "experts/_generalized_linear/_params.py",
        "return y if possible.all() else np.where(possible, y, 1.0)",
        ("False",),
        "where all values are possible none is replaced",
    ),
    (
        "families/_counts.py",
        "return logs if possible.all() else np.where(possible, logs, -np.inf)",
        ("False",),
        "where all values are possible none is replaced",
    ),
    (
        "families/_ordinal.py",
        "return logs if possible.all() else np.where(possible, logs, -np.inf)",
        ("False",),
        "where all values are possible none is replaced",
    ),
    (
        "families/_counts.py",
        "if len(y) == 1:",
        ("False",),
        "both ways take the same entries of the table",
    ),
    (
        "experts/_generalized_linear/_densities.py",
        "if np.isfinite(family.max_predictor):",
        ("True",),
        "an infinite bound bounds nothing",
    ),
    (
        "experts/_generalized_linear/_em_steps.py",
        "if not len(theta):",
        ("False",),
        "a family without dispersions has no sums of them",
    ),
    (
        "experts/_generalized_linear/_prior.py",
        "log_dispersion = np.zeros((*shape, self._n_dispersions))",
        ("ones",),
        "log dispersions that an expert does not have are projected to zero",
    ),
    (
        "_estimators/training_data.py",
        "dummy_X = np.zeros((X.shape[0], 1))",
        ("ones",),
        "of the features that stand for a frame only the number of rows is used",
    ),
    (
        "_estimators/part_parameters.py",
        "all(_same(first, e) for e in expert)",
        ("e, first",),
        "values of one type are equal in either order",
    ),
    (
        "_estimators/dask_methods.py",
        'of_row = {"offset": np.zeros(few_rows.shape[0])} if',
        ("ones",),
        "of the results for these rows only the shape is used",
    ),
    (
        "_estimators/dask_methods.py",
        "pure=False",
        ("True",),
        "tasks of equal names have equal results",
    ),
    (
        "_estimators/dask_methods.py",
        "new_axes = dict(enumerate(example.shape[1:], start=3))",
        ("4",),
        "numbers of axes need only differ",
    ),
    (
        "_estimators/dask_methods.py",
        "meta=np.empty((0,) * example.ndim, dtype=example.dtype)",
        ("1",),
        "Dask empties the array of which it uses the type",
    ),
    (
        "_data/dask_chunks.py",
        "return values if own_sizes == sizes else values.rechunk({0: sizes})",
        ("False",),
        "chunks that are cut again at the same rows are the same",
    ),
    (
        "_estimators/fit_rows.py",
        "abs(total - fitted) > SAME_WEIGHT_RTOL * fitted",
        (">=",),
        "no difference is exactly the bound",
    ),
    (
        "_estimators/problem.py",
        "seeds=np.random.default_rng(seed).integers(2**31 - 1, size=shape)",
        ("0",),
        "seeds below another bound are random as well",
    ),
    (
        "_estimators/capabilities.py",
        'option = "" if experts is None else experts.option_for_parts',
        ("False",),
        "rows in parts without a family are refused before",
    ),
    (
        "distributions/_general_searches.py",
        "present = np.zeros(low.shape, dtype=bool)",
        ("ones",),
        "a bracket of a continuous distribution may end at counts",
    ),
    (
        "distributions/_general_searches.py",
        "open_, some = last - first > 1.0",
        (">=", "2.0"),
        "counts that are left between the ends are found by halving the interval of numbers",
    ),
    (
        "distributions/_general_searches.py",
        "step[rows] *= 8.0",
        ("16.0",),
        "wider steps lead to a bracket of the same quantile",
    ),
    (
        "distributions/_general_searches.py",
        "width = 1e-6 * np.maximum(high - low",
        ("2e-06",),
        "a wider bracket has the same quantile",
    ),
    (
        "distributions/_count_searches.py",
        "width = 2.0 * width",
        ("4.0",),
        "wider steps lead to a bracket of the same quantile",
    ),
    (
        "distributions/_diversity.py",
        "upper = np.arange(len(ordered) - 1)[:, None] >= len(ordered) // 2",
        (">", "3"),
        "the variance of both tails is the same but for round-off",
    ),
    (
        "distributions/_negative_binomial.py",
        "return (1.0 + x) * np.log1p(x) - x",
        ("+",),
        "what this adds to the two rates of a probability has the sum zero",
    ),
    (
        "distributions/_poisson.py",
        "near = stirling & (np.abs(mean - series) < 0.5 * series)",
        ("<=",),
        "both forms of the probability are the same",
    ),
    (
        "inspection/_prediction_panels.py",
        "(value, min(total, 0.9))",
        ("1.8",),
        "the place of a label is a matter of looks",
    ),
    (
        "inspection/_leading.py",
        "if slopes is None or n_experts == 1 or not slopes.any():",
        ("0",),
        "the gate of one expert has slopes of zero",
    ),
    (
        "inspection/_forest.py",
        "margin = AXIS_MARGIN * (high - low) or 1.0",
        ("2.0",),
        "an axis without any number has any ends",
    ),
    (
        "inspection/_densities.py",
        "[gate >= MIN_GATE_SHOWN]",
        (">",),
        "no probability is exactly the bound",
    ),
    (
        "inspection/_heat_map.py",
        "spine.set_visible(False)",
        ("True",),
        "a frame around cells is a matter of looks",
    ),
    (
        "inspection/_segment_profile.py",
        "text_width(experts) + 0.05",
        ("-",),
        "the space between names is a matter of looks",
    ),
    (
        "inspection/_style.py",
        "shift = (k * SHIFT_OF_MARKS) % 1.0",
        ("/",),
        "multiples of the golden section and of its inverse differ by integers",
    ),
]


def is_equivalent(mutant: Mutant, source: str) -> bool:
    """Whether a change is one of `EQUIVALENT`."""
    line = source.splitlines()[mutant.line - 1]
    if mutant.law == "flag" and mutant.old == "True" and "strict=True" in line:
        return True  # `zip(..., strict=True)` guards against what does not happen
    return any(
        mutant.file.endswith(file) and text in line and mutant.new in new
        for file, text, new, _ in EQUIVALENT
    )


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str, source: str) -> None:
        self.file, self.source = file, source
        starts = [0]
        for text in source.encode().splitlines(keepends=True):
            starts.append(starts[-1] + len(text))
        self.starts = starts
        self.found: list[Mutant] = []
        self.inside = 0  # functions around

    # --- places ---

    def _offset(self, line: int, column: int) -> int:
        """Offset in characters; columns of the tree count bytes."""
        return len(self.source.encode()[: self.starts[line - 1] + column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        begin = self._offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return begin, self._offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _add(self, begin: int, end: int, new: str, law: str) -> None:
        if self.inside:
            line = self.source.count("\n", 0, begin) + 1
            old = self.source[begin:end]
            self.found.append(Mutant(self.file, line, begin, end, old, new, law))

    def _replace(self, node: ast.AST, new: str, law: str) -> None:
        self._add(*self._span(node), new, law)

    def _between(self, left: ast.AST, right: ast.AST, old: str, new: str, law: str) -> None:
        begin, end = self._span(left)[1], self._span(right)[0]
        at = self.source.find(old, begin, end)
        if at >= 0:
            self._add(at, at + len(old), new, law)

    # --- what is left as it is ---

    def visit_Raise(self, node: ast.Raise) -> None:
        """Messages."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """What types cannot say."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside += 1
        for statement in node.body:
            self.visit(statement)
        self.inside -= 1

    # --- changes ---

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, node.comparators, strict=False):
            old, new = COMPARISONS[type(operator)]
            self._between(left, right, old, new, "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right))
        if type(node.op) in OPERATORS and not texts:
            self._between(node.left, node.right, *OPERATORS[type(node.op)], "operator")
        for side in (node.left, node.right):
            self._drop_weight(side)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self._between(node.values[0], node.values[1], old, new, "and/or")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            begin, _ = self._span(node)
            self._add(begin, self._span(node.operand)[0], "", "sign")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value), "flag")
        elif isinstance(value, int):
            self._replace(node, str(1 - value) if value in (0, 1) else str(value + 1), "constant")
        elif isinstance(value, float):
            self._replace(node, repr(2.0 * value) if value else "1.0", "constant")

    def _branch(self, test: ast.expr) -> None:
        for value in ("True", "False"):
            self._replace(test, value, "branch")

    def visit_If(self, node: ast.If) -> None:
        only_raises = all(isinstance(statement, ast.Raise) for statement in node.body)
        if only_raises and not node.orelse:
            self._replace(node.test, "False", "refusal")
        else:
            self._branch(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._branch(node.test)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass", "statement")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            names = [part.id for part in parts if isinstance(part, ast.Name)]
            if INDICES & set(names):
                begin, end = self._span(node.value)[1], self._span(node)[1]
                self._add(begin, end, "", "index")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        if name == "warn":
            return
        if name in NAMES:
            end = self._span(function)[1]
            self._add(end - len(name), end, NAMES[name].removeprefix("np."), "function")
        for argument in node.args if name != "len" else ():  # there are as many ones as weights
            self._drop_weight(argument)
        if len(node.args) == 2 and not any(isinstance(a, ast.Starred) for a in node.args):
            (a, b), (c, d) = (self._span(argument) for argument in node.args)
            first, middle, second = (self.source[i:j] for i, j in ((a, b), (b, c), (c, d)))
            both = isinstance(node.args[0], ast.Name) and isinstance(node.args[1], ast.Name)
            if both and first != second and name not in SYMMETRIC:
                self._add(a, d, second + middle + first, "arguments")
        for keyword in node.keywords:
            if keyword.arg in ("sample_weight", "weights", "weight"):
                self._replace(keyword.value, "None", "weight")
        self.visit(function)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in MANNERS | LOOKS:
                self.visit(keyword.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and key.value in LOOKS):
                self.visit(value)

    def _drop_weight(self, node: ast.expr) -> None:
        """Weights of one in the place of weights."""
        name = getattr(node, "id", getattr(node, "attr", ""))
        if isinstance(node, ast.Name | ast.Attribute) and name.endswith("weight"):
            self._replace(node, f"np.ones_like({ast.unparse(node)})", "weight")


def mutants_of(root: Path, path: Path) -> list[Mutant]:
    """All changes of a file."""
    source = path.read_text()
    visitor = _Visitor(path.relative_to(root).as_posix(), source)
    visitor.visit(ast.parse(source))
    return [m._replace(equivalent=is_equivalent(m, source)) for m in visitor.found]


def apply(source: str, mutant: Mutant) -> str:
    """The text of a file with a change."""
    assert source[mutant.begin : mutant.end] == mutant.old
    return source[: mutant.begin] + mutant.new + source[mutant.end :]


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def sample(root: Path, number: int, seed: int) -> Iterator[Mutant]:
    """Changes of all modules in turn, in an order of their own, equivalent ones among them."""
    files = sorted((root / "skmoe").rglob("*.py"))
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in files}

    def draw(mutant: Mutant) -> float:
        """A uniform number that is the same while the line of the change is."""
        line = sources[mutant.file].splitlines()[mutant.line - 1].strip()
        text = f"{seed}|{mutant.file}|{line}|{mutant.old}|{mutant.new}|{mutant.law}"
        return random.Random(text).random()

    # A module is met as often as it has changes, to the power of one half: large ones more often.
    pool = []
    for path in files:
        pile = sorted((draw(mutant), mutant) for mutant in mutants_of(root, path))
        pool += [((i + u) / len(pile) ** 0.5, mutant) for i, (u, mutant) in enumerate(pile)]
    pool.sort(key=lambda entry: entry[0])
    programs = (m for _, m in pool if _parses(apply(sources[m.file], m)))
    yield from islice(programs, number)
