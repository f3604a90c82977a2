"""Optional packages, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_pandas(user: str) -> Any:
    """pandas, for what a method gives as a frame."""
    return _import("pandas", user, "frames")


def import_pyplot(user: str) -> Any:
    """Matplotlib's pyplot, for pictures."""
    return _import("matplotlib.pyplot", user, "plot")


def import_parquet(user: str) -> Any:
    """Parquet files, by pyarrow."""
    return _import("pyarrow.parquet", user, "parquet")


def import_dask(user: str) -> Any:
    """Dask, for tables on a cluster."""
    return _import("dask", user, "dask")


def import_skl2onnx(user: str) -> Any:
    """skl2onnx, for models in ONNX."""
    return _import("skl2onnx", user, "onnx")


def _import(package: str, user: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{user} needs {package.split('.')[0]}, which is not installed. Install it: "
            f'pip install "skmoe[{extra}]"'
        ) from error
