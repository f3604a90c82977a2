"""Check that sdist and wheel have the files of the repository.

    python tests/check_sdist_and_wheel.py DIR

DIR has one sdist, and the wheel that was built from it.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
# What a build adds, and what only the repository needs.
ADDED = {"PKG-INFO"}
LEFT_OUT = {".gitignore", ".ci/run"}


def tracked():
    """Files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    return {name for name in listed.stdout.decode().split("\0") if name}


def contents_of_sdist(path):
    """Bytes by name, without the folder that holds all."""
    with tarfile.open(path) as archive:
        files = [member for member in archive if member.isfile()]
        names = [str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in files]
        return {
            name: archive.extractfile(member).read()
            for name, member in zip(names, files, strict=True)
        }


def contents_of_wheel(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def check(folder):
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    source, built = contents_of_sdist(sdist), contents_of_wheel(wheel)
    of_package = {name for name in tracked() if name.startswith("skmoe/")}

    found = {name for name in source if not name.startswith("skmoe.egg-info/")} - ADDED
    expected = tracked() - LEFT_OUT
    assert found == expected, f"sdist: {sorted(found ^ expected)}"

    packed = {name for name in built if ".dist-info/" not in name}
    assert packed == of_package, f"wheel: {sorted(packed ^ of_package)}"
    assert {"skmoe/py.typed", "skmoe/datasets/LICENCES.md"} <= packed
    assert any(name.endswith("LICENSE") for name in built), "wheel: no licence"
    for name in of_package:
        assert built[name] == source[name] == (ROOT / name).read_bytes(), name
    print(f"{sdist.name}: {len(source)} files; {wheel.name}: {len(built)} files")


if __name__ == "__main__":
    check(Path(sys.argv[1]))
