"""Blocks of rows from outside: what a first pass tells of them, and the passes of a fit."""

from __future__ import annotations

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
from skmoe._numerics import Array, Design, add
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
            outputs = y if y.ndim > 1 else y[:, None]
            return (outputs.T - center[:, None]) / spread[:, None], weight
        codes = _stream_validation.in_block(index, _validation.class_codes, y, survey.classes)
        weights = _validation.class_weights(survey.factors, survey.classes, codes, weight)
        return codes, weights


class DaskSource(Source):
    """Blocks that stay where they are: `over` sends out the work, and gets one sum back."""

    def over(self, look: Callable[[Rows], Any], source: DaskSource) -> list[Any]:
        """The sum of what the blocks say, as the one entry of a list."""
        assert isinstance(self.blocks, DaskBlocks)
        sample = Block(*(values[:0] for values in self.survey.sample))
        light = replace(self, blocks=RowBlocks(tuple), survey=self.survey._replace(sample=sample))
        return [self.blocks.total(partial(_look_at, light, look), partial(_both, _added))]


def _look_at(source: Source, look: Callable[[Rows], Any], index: int, block: Any) -> Any:
    """What the rows of a block say; nothing if there are none."""
    rows, _ = source.rows(index, block)
    return reduce(_added, map(look, in_blocks(rows))) if len(rows.weight) else None


def _added(one: Any, other: Any) -> Any:
    return together(one, other) if isinstance(one, Look) else add(one, other)


def _both(join: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """What two blocks say together, either of which may say nothing."""
    if one is None or other is None:
        return other if one is None else one
    return join(one, other)


def make_source(blocks: RowBlocks, *known: Any) -> Source:
    """The source of a fit, from its blocks and what else it knows."""
    return (DaskSource if isinstance(blocks, DaskBlocks) else Source)(blocks, *known)


class Sums(NamedTuple):
    """What blocks add to the survey, by their rows of positive weight."""

    n_rows: int
    features: Moments
    outputs: Moments | None
    counts: dict[Any, float]  # weight of each label
    sample: Block  # the rows with the smallest keys, in their order
    keys: Array


def survey(blocks: RowBlocks, estimator: Any, n_sample: int, seed: int) -> tuple[Survey, Any]:
    """Go through the blocks once: check all, sum up moments, and draw rows.

    Returns the survey, and an estimator that knows the columns.
    """
    probe = type(estimator)(**estimator.get_params(deep=False))
    see, join = partial(_see, probe, n_sample, seed), partial(_joined, n_sample)
    n_rows: int = 0
    sums: Sums | None = None
    if isinstance(blocks, DaskBlocks):
        _check_block(probe, 0, blocks.first())  # with which the others are compared
        counts = blocks.each(_n_present)
        befores = np.cumsum([0, *counts]).tolist()
        n_rows, sums = blocks.total(partial(_see_at, see, befores), join)
    else:
        for index, block in enumerate(blocks):
            before = 0 if sums is None else sums.n_rows
            n_rows, sums = join((n_rows, sums), see(before, index, block))
    _stream_validation.check_some_rows(n_rows, sums is not None)
    assert sums is not None
    # Penalties are to weigh as much against the sample as against all rows.
    weight = sums.sample.weight * (sums.features.weight / sums.sample.weight.sum())
    classes, factors = _classes(blocks, estimator, sums.counts)
    found = Survey(
        sums.sample._replace(weight=weight),
        getattr(probe, "feature_names_in_", None),
        n_rows,
        feature_scale(sums.features, sums.sample.X),
        None if sums.outputs is None else output_scale(sums.outputs),
        factors,
        classes,
    )
    return found, probe


def _n_present(index: int, block: Any) -> int:
    """Rows of positive weight."""
    _, y, *rest = _stream_validation.check_block(index, block)
    return int(np.count_nonzero(np.asarray(rest[0]) > 0.0)) if rest else len(y)


def _see_at(see: Callable[..., Any], before: list[int], index: int, block: Any) -> Any:
    return see(before[index], index, block)


def _see(
    probe: Any, n_sample: int, seed: int, before: int, index: int, given: Any
) -> tuple[int, Sums | None]:
    """The number of rows of a block, and what those of positive weight say.

    Their keys are those of the rows, `before` of which are in other blocks, however they are cut.
    """
    block = _check_block(probe, index, given)
    n_rows, present = len(block.weight), np.flatnonzero(block.weight > 0.0)
    if not len(present):
        return n_rows, None
    block = _take(block, present)
    outputs, counts = None, {}
    if is_classifier(probe):
        counts = _count(block)
    else:
        outputs = moments_of(block.y.reshape(len(block.y), -1), block.weight)
    keys = np.random.Generator(np.random.PCG64(seed).advance(before)).random(len(present))
    features = moments_of(block.X, block.weight)
    return n_rows, _smallest(n_sample, Sums(len(present), features, outputs, counts, block, keys))


def _joined(
    n_sample: int, one: tuple[int, Sums | None], other: tuple[int, Sums | None]
) -> tuple[int, Sums | None]:
    return one[0] + other[0], _both(partial(_join, n_sample), one[1], other[1])


def _join(n_sample: int, one: Sums, other: Sums) -> Sums:
    """What two sets of blocks say."""
    counts = dict(one.counts)
    for label, weight in other.counts.items():
        counts[label] = counts.get(label, 0.0) + weight
    outputs = None
    if one.outputs is not None and other.outputs is not None:
        outputs = joined(one.outputs, other.outputs, 1.0)
    if len(one.keys) == n_sample:  # most rows of the other have no chance
        other = _chosen(other, np.flatnonzero(other.keys < one.keys[-1]))
    stack = sparse.vstack if sparse.issparse(one.sample.X) else np.concatenate
    sample = Block(
        stack([one.sample.X, other.sample.X]),
        np.concatenate([one.sample.y, other.sample.y]),
        np.concatenate([one.sample.weight, other.sample.weight]),
    )
    n_rows, features = one.n_rows + other.n_rows, joined(one.features, other.features, 1.0)
    keys = np.concatenate([one.keys, other.keys])
    return _smallest(n_sample, Sums(n_rows, features, outputs, counts, sample, keys))


def _smallest(n_sample: int, sums: Sums) -> Sums:
    """A uniform sample of the rows: those with the smallest random keys."""
    return _chosen(sums, np.argsort(sums.keys, kind="stable")[:n_sample])


def _chosen(sums: Sums, index: Array) -> Sums:
    return sums._replace(sample=_take(sums.sample, index), keys=sums.keys[index])


def _take(block: Block, index: Array) -> Block:
    X = sparse.csr_array(block.X) if sparse.issparse(block.X) else block.X
    return Block(X[index], block.y[index], block.weight[index])


def _count(block: Block) -> dict[Any, float]:
    """Weight of the rows of each label."""
    labels, codes = np.unique(block.y, return_inverse=True)
    weights = np.bincount(codes, block.weight)
    return dict(zip(labels.tolist(), weights.tolist(), strict=True))


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


def _check_block(probe: Any, index: int, block: Any) -> Block:
    """Checked rows of a block; the probe remembers columns, dtype and outputs of the first."""
    X, y, *rest = _stream_validation.check_block(index, block)
    first = not hasattr(probe, "n_features_in_")
    dtypes, shape = _dtypes(X), np.shape(y)[1:]
    if first:
        probe._block_kind = dtypes, shape
    X = _stream_validation.in_block(
        index,
        validate_data,
        probe,
        X,
        reset=first,
        accept_sparse="csr",
        dtype=np.float64,
        ensure_min_samples=0,
    )
    _stream_validation.check_block_kind(index, (dtypes, shape), probe._block_kind)
    if is_classifier(probe):
        y = _stream_validation.in_block(index, column_or_1d, y)
    else:
        y = _stream_validation.in_block(
            index,
            check_array,
            y,
            ensure_2d=False,
            dtype=np.float64,
            input_name="y",
            ensure_min_samples=0,
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
