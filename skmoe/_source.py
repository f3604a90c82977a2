"""Blocks of rows from outside: what a first pass tells of them, and the passes of a fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from skmoe import _stream_validation, _validation
from skmoe._em import Look, together
from skmoe._mixture import make_rows
from skmoe._numerics import Array, Design
from skmoe._online import Moments, feature_scale, joined, moments_of, output_scale
from skmoe._rows import Rows, Scale, in_blocks
from skmoe.blocks import DaskBlocks, RowBlocks


class Block(NamedTuple):
    """Checked rows; labels of a classifier are as given."""

    X: Design
    y: Array
    weight: Array


class Survey(NamedTuple):
    """What the first pass tells."""

    sample: Block  # rows drawn, with the weight of all rows
    names: Array | None  # of the features
    n_rows: int
    scale: Scale
    target: Scale | None
    factors: dict[Any, float] | None  # weights of the classes
    classes: Array | None


@dataclass(frozen=True)
class Source:
    """Rows ready for EM, read anew in each pass; stands where `Rows` do.

    Parameters
    ----------
    blocks : RowBlocks
    estimator : estimator
        Checks what the blocks hold: it knows their columns.
    survey : Survey
    columns : tuple
        Columns of gate and experts.
    """

    blocks: RowBlocks
    estimator: Any
    survey: Survey
    columns: tuple[Array | None, Array | None]

    def __iter__(self) -> Iterator[Rows]:
        n_rows = 0
        for index, block in enumerate(self.blocks):
            rows, n_here = self.rows(index, block)
            n_rows += n_here
            yield from in_blocks(rows)
        _stream_validation.check_same_rows(n_rows, self.survey.n_rows)

    def rows(self, index: int, block: Any) -> tuple[Rows, int]:
        """Rows of positive weight of a block, and the number of all of them."""
        X, y, weight = _check_block(self.estimator, index, block)
        n_rows = len(weight)
        y, weight = self._target(index, y, weight)
        present = np.flatnonzero(weight > 0.0)
        if len(present) < n_rows:
            X, y, weight = X[present], y[..., present], weight[present]
        return make_rows(X, self.survey.scale, *self.columns, y, weight), n_rows

    def _target(self, index: int, y: Array, weight: Array) -> tuple[Array, Array]:
        survey = self.survey
        if survey.classes is None:
            center, spread = survey.target  # type: ignore[misc]
            return (y.reshape(len(y), -1).T - center[:, None]) / spread[:, None], weight
        codes = _stream_validation.in_block(index, _validation.class_codes, y, survey.classes)
        weights = _validation.class_weights(survey.factors, survey.classes, codes, weight)
        return codes, weights


class DaskSource(Source):
    """Blocks that stay where they are: `over` sends out the work, and gets one sum back."""

    def over(self, look: Callable[[Rows], Look], source: DaskSource) -> list[Look]:
        """The sum of what the blocks say, as the one entry of a list."""
        assert isinstance(self.blocks, DaskBlocks)
        sample = Block(*(values[:0] for values in self.survey.sample))
        light = replace(self, blocks=RowBlocks(tuple), survey=self.survey._replace(sample=sample))
        return [self.blocks.total(partial(_look_at, light, look), together)]


def _look_at(source: Source, look: Callable[[Rows], Look], index: int, block: Any) -> Look:
    return reduce(together, map(look, in_blocks(source.rows(index, block)[0])))


def make_source(blocks: RowBlocks, *known: Any) -> Source:
    """The source of a fit, from its blocks and what else it knows."""
    return (DaskSource if isinstance(blocks, DaskBlocks) else Source)(blocks, *known)


def survey(
    blocks: RowBlocks, estimator: Any, n_sample: int, rng: np.random.Generator
) -> tuple[Survey, Any]:
    """Go through the blocks once: check all, sum up moments, and draw rows.

    Returns the survey, and a copy of the estimator that knows the columns.
    """
    probe = copy.copy(estimator)
    for name in ("n_features_in_", "feature_names_in_"):
        vars(probe).pop(name, None)
    features = outputs = None
    counts: dict[Any, float] = {}
    kept: list[Block] = []
    n_rows, keys = 0, np.empty(0)
    for index, given in enumerate(blocks):
        block = _check_block(probe, index, given)
        n_rows += len(block.weight)
        present = np.flatnonzero(block.weight > 0.0)
        if not len(present):
            continue
        block = _take(block, present)
        features = _join(features, moments_of(block.X, block.weight))
        if is_classifier(estimator):
            _count(counts, block)
        else:
            y = block.y.reshape(len(block.y), -1)
            outputs = _join(outputs, moments_of(y, block.weight))
        kept, keys = _draw(kept, keys, block, n_sample, rng)
    _stream_validation.check_some_rows(n_rows, features is not None)
    assert features is not None
    sample = kept[0]
    total = sample.weight.sum()
    # Penalties are to weigh as much against the sample as against all rows.
    sample = sample._replace(weight=sample.weight * (features.weight / total))
    classes, factors = _classes(blocks, estimator, counts)
    found = Survey(
        sample,
        getattr(probe, "feature_names_in_", None),
        n_rows,
        feature_scale(features, sample.X),
        None if outputs is None else output_scale(outputs),
        factors,
        classes,
    )
    return found, probe


def _join(old: Moments | None, new: Moments) -> Moments:
    return new if old is None else joined(old, new, 1.0)


def _take(block: Block, index: Array) -> Block:
    if len(index) == len(block.weight):
        return block
    return Block(*(values[index] for values in block))


def _count(counts: dict[Any, float], block: Block) -> None:
    labels, codes = np.unique(block.y, return_inverse=True)
    for label, weight in zip(labels.tolist(), np.bincount(codes, block.weight), strict=True):
        counts[label] = counts.get(label, 0.0) + float(weight)


def _classes(
    blocks: RowBlocks, estimator: Any, counts: dict[Any, float]
) -> tuple[Array | None, dict[Any, float] | None]:
    """All labels, and their weights if they have any."""
    if not is_classifier(estimator):
        return None, None
    found = np.unique(np.array(list(counts)))
    if blocks.classes is not None:
        _validation.class_codes(found, np.unique(np.asarray(blocks.classes)))
    totals = np.array([counts[label] for label in found.tolist()])
    codes, weights = np.arange(len(found)), estimator.class_weight
    if weights is None:
        return found, None
    factors = _validation.class_weights(weights, found, codes, totals) / totals
    return found, dict(zip(found.tolist(), factors.tolist(), strict=True))


def _draw(
    kept: list[Block], keys: Array, block: Block, n_sample: int, rng: np.random.Generator
) -> tuple[list[Block], Array]:
    """A uniform sample of the rows so far: those with the smallest random keys."""
    here = rng.uniform(size=len(block.weight))
    if len(keys) == n_sample:
        chosen = np.flatnonzero(here < keys.max())
        block, here = Block(*(values[chosen] for values in block)), here[chosen]
    stack = sparse.vstack if sparse.issparse(block.X) else np.concatenate
    pairs = [*kept, block]
    keys = np.concatenate([keys, here])
    whole = Block(
        stack([b.X for b in pairs]),
        np.concatenate([b.y for b in pairs]),
        np.concatenate([b.weight for b in pairs]),
    )
    smallest = np.argsort(keys, kind="stable")[:n_sample]
    X = sparse.csr_array(whole.X)[smallest] if sparse.issparse(block.X) else whole.X[smallest]
    return [Block(X, whole.y[smallest], whole.weight[smallest])], keys[smallest]


def _check_block(probe: Any, index: int, block: Any) -> Block:
    """Checked rows of a block; the probe remembers columns, dtype and outputs of the first."""
    X, y, *rest = _stream_validation.check_block(index, block)
    first = not hasattr(probe, "n_features_in_")
    dtypes, shape = _dtypes(X), np.shape(y)[1:]
    if first:
        probe._block_kind = dtypes, shape
    X = _stream_validation.in_block(
        index, validate_data, probe, X, reset=first, accept_sparse="csr", dtype=np.float64
    )
    _stream_validation.check_block_kind(index, (dtypes, shape), probe._block_kind)
    if is_classifier(probe):
        y = _stream_validation.in_block(index, column_or_1d, y)
    else:
        y = _stream_validation.in_block(
            index, check_array, y, ensure_2d=False, dtype=np.float64, input_name="y"
        )
    _stream_validation.in_block(index, _validation.check_same_length, X, y.T)
    weight = np.asarray(rest[0], dtype=np.float64) if rest else np.ones(len(y))
    _stream_validation.in_block(index, _stream_validation.check_block_weights, weight, len(y))
    return Block(_validation.as_csr(X), y, weight)


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a frame."""
    if hasattr(X, "dtypes"):
        return ", ".join(sorted({str(dtype) for dtype in np.ravel(X.dtypes)}))
    return str(getattr(X, "dtype", type(X).__name__))
