"""The fit of a checkpoint: a fit that is resumed must have the same parameters and data."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone

from skmoe._data.digests import data_digest


class Origin(NamedTuple):
    """The fit of a checkpoint."""

    estimator_class: type[Any]
    parameters: dict[str, Any]
    digests: dict[str, str]  # of X, y, sample_weight, offset and units


def data_digests(given: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the data by name; those that are no data are refused by the fit."""
    digests = {}
    for name, data in given.items():
        try:
            digests[name] = data_digest(data)
        except (TypeError, ValueError):
            digests[name] = "invalid"
    return digests


def _comparable_params(origin: Origin) -> dict[str, tuple[str, str]]:
    """Text and digest of what must be the same for a fit to be resumed."""
    estimator_class = origin.estimator_class
    estimator = clone(estimator_class(**origin.parameters))
    given = {
        name: (_param_text(value), _param_digest(value))
        for name, value in estimator.get_params().items()
        if name not in ("max_iter", "warm_start", "n_jobs", "verbose")
    }
    return {"estimator": (estimator_class.__name__, joblib.hash(estimator_class))} | given


def _param_text(value: Any) -> str:
    # The text of a generator has its address.
    return "a RandomState" if isinstance(value, np.random.RandomState) else repr(value)


def _param_digest(value: Any) -> str:
    if isinstance(value, np.random.RandomState):
        # The digest of the object depends on which of its strings are the same objects.
        state: Any = value.get_state()
        value = repr([np.asarray(part).tolist() for part in state])
    # Arrays that are equal have the same digest in any memory layout.
    digest: str = data_digest(value) if isinstance(value, np.ndarray) else joblib.hash(value)
    return digest


def as_pickle(value: Any) -> bytes:
    """A value as the bytes of `joblib.dump`."""
    buffer = BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


def written_params(parameters: dict[str, Any]) -> dict[str, Any]:
    """The constructor parameters as they are read from a file."""
    try:
        read: dict[str, Any] = joblib.load(BytesIO(as_pickle(parameters)))
    except Exception as error:  # of any class
        raise ValueError(
            f"fit_with_checkpoints needs parameters that can be pickled: {error}. Define their "
            "classes and functions in a module."
        ) from error
    return read


def check_checkpoint(path: Path, previous: Origin, current: Origin) -> None:
    """A checkpoint must be of the same estimator with the same parameters and data."""
    before, now = _comparable_params(previous), _comparable_params(current)
    different = _different(before, now)
    if different:
        name = different[0]
        texts = [params.get(name, ("None", ""))[0] for params in (before, now)]
        shown = f"{name} is {texts[0]} there, and {texts[1]} here"
        if texts[0] == texts[1]:
            shown = f"{name} has other values there"
        raise ValueError(
            f"path must be of a fit with the same parameters; {path} differs in {different}: "
            f"{shown}. Set the same parameters, or use another path."
        )
    different = _different(previous.digests, current.digests)
    if different:
        raise ValueError(
            f"path must be of a fit of the same data; {path} differs in {different}. Use another "
            "path, or delete the file to begin the fit again."
        )


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other if one.get(name) != other.get(name))
