"""Input validation for the report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.row_checks import check_weights
from skmoe.inspection._checks import check_rows, check_target
from skmoe.inspection._grid import take_rows
from skmoe.inspection._report._held_out import HeldOutRows
from skmoe.inspection._report._pictures import MAX_CLASSES_DRAWN


def check_path(path: Any) -> Path:
    """A path in a folder that exists and can be written."""
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"path must be a file; got the folder {str(file)!r}.")
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of path must exist; got {str(file)!r}. Make {str(file.parent)!r} first."
        )
    if not os.access(file.parent, os.W_OK):
        raise PermissionError(
            f"The folder of path must be writable; got {str(file)!r}. Choose another folder."
        )
    return file


def check_held_out(estimator: Any, given: HeldOutRows) -> HeldOutRows | None:
    """Rows and targets that were held out; None if none are given."""
    if (given.X is None) != (given.y is None):
        missing = "X_held_out" if given.X is None else "y_held_out"
        raise ValueError(
            f"X_held_out and y_held_out must be given together; got no {missing}. "
            "Pass both, or neither."
        )
    if given.X is None:
        if given.weight is not None or given.offset is not None:
            raise ValueError(
                "sample_weight_held_out and offset_held_out belong to X_held_out and y_held_out; "
                "got neither of these. Pass both, or none of the four."
            )
        return None
    table = check_rows("y_held_out", estimator, given.X, given.y)
    if is_classifier(estimator):
        unknown = np.setdiff1d(np.asarray(given.y), estimator.classes_)
        if len(unknown):
            raise ValueError(
                f"y_held_out must hold classes seen in fit, {estimator.classes_.tolist()}; got "
                f"{unknown[0]!r}. Leave out rows of other classes."
            )
    if given.weight is None:
        return given
    weight = check_weights(given.weight, table.shape[0])
    kept = np.flatnonzero(weight > 0.0)  # rows of weight zero are absent
    offset = None if given.offset is None else take_rows(given.offset, kept)
    return HeldOutRows(take_rows(table, kept), take_rows(given.y, kept), weight[kept], offset)


def check_targets(estimator: Any, target: Any, table: Any) -> list[int]:
    """Indices of the classes that are drawn, or of the output that is described."""
    if is_classifier(estimator) and target is None and len(estimator.classes_) > 2:
        return list(range(min(len(estimator.classes_), MAX_CLASSES_DRAWN)))
    return [check_target(estimator, target, table)]
