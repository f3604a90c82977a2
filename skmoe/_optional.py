"""Optional packages, imported on first use."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any


def _import(package: str, extra: str, caller: str) -> Any:
    """A package of an extra; `caller` is named in the error if it is missing."""
    try:
        return import_module(package)
    except ImportError as error:
        missing = (error.name or package).split(".")[0]  # it may be one that the package needs
        raise ImportError(
            f"{caller} needs {missing}, which is not installed. Install it: pip install {missing}, "
            f'or in a copy of the repository pip install ".[{extra}]"'
        ) from error


import_pandas = partial(_import, "pandas", "frames")
import_pyplot = partial(_import, "matplotlib.pyplot", "plot")
import_report_pyplot = partial(_import, "matplotlib.pyplot", "report")
import_parquet = partial(_import, "pyarrow.parquet", "parquet")
import_skl2onnx = partial(_import, "skl2onnx", "onnx")
import_jinja2 = partial(_import, "jinja2", "report")
