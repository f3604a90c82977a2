"""Files of checkpoints: replaced as a whole, and read only if they are whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

# The last bytes of a file, before the digest of all bytes before them. What reads pickles does not
# read on to them.
MARK = b"skmoe checkpoint 2 "

DIGEST_LENGTH = 64


def check_path(path: Any) -> Path:
    """A path at which a file can be written."""
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str) or not name or os.path.isdir(name):
        raise ValueError(f'path must name a file; got {name!r}. Give one, such as "fit.joblib".')
    folder = Path(name).parent
    if not os.path.isdir(folder):
        raise ValueError(
            f"path must be in a folder that exists; got {name!r}. Make the folder first."
        )
    probe = _temporary(Path(name))
    try:
        probe.open("xb").close()
        probe.unlink()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"path must be the name of a file that can be written; got {name!r:.300}: {error}. "
            "Use another folder or name."
        ) from error
    return Path(name)


def write_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole, so that a reader gets the previous one or the new one.

    Several processes may write the same file: each has a temporary file of its own.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
            file.write(content + MARK + _digest(content))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes:
    """The content of a file of `write_file`."""
    content, mark, digest = _split(path.read_bytes())
    if mark != MARK or digest != _digest(content):
        raise ValueError(damage_message(path, "is damaged, or no checkpoint of this release"))
    return content


def damage_message(path: Path, reason: str) -> str:
    """The error for a file that cannot be read."""
    return (
        f"path must be of a whole checkpoint; {path} {reason}. Use another path, or delete the "
        "file to begin the fit again."
    )


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Content, mark and digest."""
    start = len(data) - DIGEST_LENGTH
    return data[: start - len(MARK)], data[start - len(MARK) : start], data[start:]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid4().hex}.part")
