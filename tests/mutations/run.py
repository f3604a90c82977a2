"""Change the code in one place and see whether a test notices.

    python tests/mutations/run.py --limit 200          # changes made from the syntax trees
    python tests/mutations/run.py --list --limit 50    # show, run nothing
    python tests/mutations/run.py --only 356f8c7a      # one of them, by its name
    python tests/mutations/run.py --budget 5 60        # seconds; survivors get the next budget
    python tests/mutations/run.py --only 356f8c7a --whole --tests tests/users    # no map

Not a test and not run by one. The repository is copied to a temporary folder, where the tests run
once to learn which of them reach which line and how long they take. Each change is then met by the
tests that reach its line, quick ones first, and by the tests that share a file with them, until one
fails or the time for one change is over. With several budgets, those that survive one meet the
further tests of the next. Printed are the changes that no test noticed, and their share.
Some changes cannot be noticed, since the code does the same with them: read those that are left.
The map of each file of tests is kept beside the copies and used again while the code and the file
are the same. Names of caught changes are kept while the code is; a new folder forgets them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import Queue
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent))
from generate import Mutant, apply, sample

ROOT = Path(__file__).resolve().parents[2]

# Tests that take long and compare little, or that start other processes.
LEFT_OUT = ("tests/site/", "tests/users/test_dask.py")

COPIED = ("skmoe", "tests", "pyproject.toml", "setup.cfg", "README.md", "docs", "examples")


# Of the processes that run tests.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}

PRELOADED = (
    "pytest",
    "numpy.testing",
    "pandas",
    "dask.array",
    "joblib",
    "matplotlib.pyplot",
    "scipy.stats",
    "scipy.sparse",
    "scipy.optimize",
    "scipy.integrate",
    "sklearn.datasets",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.compose",
)


def copy_repository(target: Path) -> Path:
    """The files that tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
            shutil.copytree(source, target / name, ignore=ignore)
        elif source.exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
    return target


def run_tests(folder: Path, arguments: list[str], timeout: float | None = None) -> int:
    """The exit code of pytest in a copy; 1 if it takes too long."""
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            timeout=timeout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


# --- which tests reach which lines --------------------------------------------------------------


def digest(*paths: Path) -> str:
    """Of files and folders."""
    total = hashlib.sha1()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(file.read_bytes())
    return total.hexdigest()[:12]


def find_test_files(places: list[Path]) -> list[str]:
    """Test files of files and folders, relative to the repository."""
    found = {
        file for place in places for file in ([place] if place.is_file() else place.rglob("*"))
    }
    names = [file.relative_to(ROOT).as_posix() for file in found if file.match("test_*.py")]
    return sorted(name for name in names if not name.startswith(LEFT_OUT))


def make_map(folder: Path, test_file: str) -> dict:
    """Tests of a file by file and line of the code, and the seconds of each test."""
    stem = test_file.removesuffix(".py").replace("/", "-")
    report, data = folder / f"{stem}.xml", folder / f"{stem}.coverage"
    config = folder / f"{stem}.rc"
    config.write_text(f"[run]\nsource = skmoe\ndata_file = {data}\n")
    options = ["--cov=skmoe", "--cov-context=test", f"--cov-config={config}", "--cov-report="]
    run_tests(folder, ["-n0", *options, f"--junitxml={report}", test_file])
    from coverage import CoverageData

    seconds = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
            seconds[f"{test_file}::{case.get('name')}"] = float(case.get("time", 0.0))
    coverage = CoverageData(str(data))
    coverage.read()
    lines: dict[str, dict[str, list[str]]] = {}
    for path in coverage.measured_files():
        found = lines.setdefault(Path(path).relative_to(folder.resolve()).as_posix(), {})
        for line, contexts in coverage.contexts_by_lineno(path).items():
            tests = {context.rsplit("|", 1)[0] for context in contexts}
            found[str(line)] = sorted(tests & set(seconds))
    return {"seconds": seconds, "lines": lines}


def read_maps(folder: Path, test_files: list[str], n_workers: int) -> dict:
    """One map of all files of tests; those of changed files are made."""
    common = digest(ROOT / "skmoe", ROOT / "tests" / "support", ROOT / "tests" / "conftest.py")
    (folder / "maps").mkdir(exist_ok=True)

    def read(test_file: str) -> dict:
        key = f"{common}-{digest(ROOT / test_file)}"
        name = test_file.removesuffix(".py").replace("/", "-")
        kept = folder / "maps" / f"{name}-{key}.json"
        if not kept.exists():
            kept.write_text(json.dumps(make_map(folder / "copy0", test_file)))
        return json.loads(kept.read_text())

    whole: dict = {"seconds": {}, "lines": {}}
    with ThreadPoolExecutor(n_workers) as pool:
        for part in pool.map(read, test_files):
            whole["seconds"] |= part["seconds"]
            for file, found in part["lines"].items():
                lines = whole["lines"].setdefault(file, {})
                for line, tests in found.items():
                    # One text for all lines that a test reaches: there are millions of pairs.
                    lines.setdefault(line, []).extend(map(sys.intern, tests))
    return whole


def in_turn(group: set[str], seconds: dict[str, float]) -> list[str]:
    """One case of each test function, then another one of each, quick ones first."""
    n_before: dict[str, int] = {}
    turn = {}
    for test in sorted(group, key=lambda t: (seconds[t], t)):
        function = test.split("[")[0]
        turn[test] = n_before[function] = n_before.get(function, -1) + 1
    return sorted(group, key=lambda t: (turn[t], seconds[t], t))


def relevant_tests(mutant: Mutant, tests: dict, budget: float) -> list[str]:
    """Tests that reach the line of a change, different ones first, within a time.

    Tests of the same files come last: what reaches the line may have been done once for all.
    """
    lines, seconds = tests["lines"].get(mutant.file, {}), tests["seconds"]
    last = mutant.line + mutant.old.count("\n")
    reached = {test for line in range(mutant.line, last + 1) for test in lines.get(str(line), [])}
    files = {test.split("::")[0] for test in reached}
    beside = {test for test in seconds if test.split("::")[0] in files}
    total, taken = 0.0, []
    if not budget:
        return taken
    for test in in_turn(reached, seconds) + in_turn(beside - reached, seconds):
        if total + seconds[test] <= budget:
            total += seconds[test]
            taken.append(test)
    return taken


# --- mutants ------------------------------------------------------------------------------------


def write(path: Path, source: str) -> None:
    """The text of a module, whose compiled text is forgotten: it is known by its time only."""
    path.write_text(source)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def preload() -> None:
    """Import what all tests import, so that forks need not."""
    os.environ.update(ENVIRONMENT)
    for name in PRELOADED:
        with suppress(ImportError):
            import_module(name)


def run_tests_forked(folder: Path, chosen: list[str], timeout: float) -> tuple[int, str]:
    """The exit code of pytest in a fork of this process, and what failed first.

    The code is 1 if it takes too long.
    """
    report = folder / "report.txt"
    options = ["-q", "-x", "-n0", "--no-header", "--tb=no", "-rfE"]
    # The order of the tests is the one that they have here.
    options += ["-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:randomly"]
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setsid()
            os.chdir(folder)
            os.environ["PYTHONPATH"] = str(folder)
            sys.path.insert(0, str(folder))
            output = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            import pytest

            code = int(pytest.main([*options, *chosen]))
        finally:
            os._exit(code)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            lines = report.read_text(errors="replace").splitlines()
            failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
            code = os.waitstatus_to_exitcode(status)
            return code, failed[0] if failed else f"exit code {code}"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1, "out of time"


def meet(mutant: Mutant, folder: Path, chosen: list[str], seconds: dict) -> tuple[str, str]:
    """ "caught" or "survived", or "not reached" if there is no test, and what failed.

    Tests of unknown duration have all the time they need.
    """
    if not chosen:
        return "not reached", ""
    path = folder / mutant.file
    source = path.read_text()
    try:
        write(path, apply(source, mutant))
        time_allowed = 60.0 + 6.0 * sum(seconds.get(test, 200.0) for test in chosen)
        code, failed = run_tests_forked(folder, chosen, time_allowed)
    finally:
        write(path, source)
    return ("survived", "") if code == 0 else ("caught", failed)


def meet_all(
    mutants: list[Mutant],
    copies: Queue[Path],
    choose: Callable[[Mutant, float], list[str]],
    seconds: dict,
    budgets: list[float],
    record: Path,
) -> dict[Mutant, str]:
    """The outcome of each change with the tests that `choose` returns for a budget.

    `record` holds the names of those caught before.
    """

    def run(mutant: Mutant, before: float, budget: float) -> str:
        met = set(choose(mutant, before))
        chosen = [test for test in choose(mutant, budget) if test not in met]
        if met and not chosen:
            return "survived"
        copy, begin = copies.get(), time.monotonic()
        try:
            outcome, failed = meet(mutant, copy, chosen, seconds)
        finally:
            copies.put(copy)
        duration = f"{time.monotonic() - begin:5.0f} s"
        print(f"{outcome:12s} {duration}  {mutant}  {failed[:150]}", flush=True)
        if outcome == "caught":
            with record.open("a") as file:
                file.write(f"{mutant.name}\n")
        return outcome

    caught = set(record.read_text().split()) if record.exists() else set()
    outcomes = {m: "caught" if m.name in caught else "" for m in mutants}
    left = [m for m in mutants if not outcomes[m]]
    for before, budget in zip([0.0, *budgets], budgets, strict=False):
        with ThreadPoolExecutor(copies.qsize()) as pool:
            found = pool.map(lambda m, b=before, c=budget: run(m, b, c), left)
            outcomes |= dict(zip(left, found, strict=True))
        left = [m for m in left if outcomes[m] == "survived"]
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=200, help="number of generated changes")
    parser.add_argument("--seed", type=int, default=0, help="of the sample of changes")
    parser.add_argument("--only", nargs="+", default=[], help="names of changes")
    parser.add_argument("--files", default="", help="changes of files with this in their path")
    parser.add_argument("--list", action="store_true", help="show the changes and end")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--budget", type=float, nargs="+", default=[5.0, 60.0], help="seconds of tests for a change"
    )
    parser.add_argument("--tests", nargs="+", default=["tests"], help="test files and folders")
    parser.add_argument(
        "--whole", action="store_true", help="all of the tests given, without a map"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where copies and map are kept")
    options = parser.parse_args()

    number = 10**6 if options.only else options.limit
    mutants = list(sample(ROOT, number, options.seed, options.files))
    if options.only:
        mutants = [m for m in mutants if m.name in options.only]
    if options.list:
        print(*mutants, sep="\n")
        return

    name = f"skmoe-mutations-{digest(ROOT / 'skmoe')}"
    folder = options.folder or Path(tempfile.gettempdir()) / name
    folder.mkdir(parents=True, exist_ok=True)
    copies: Queue[Path] = Queue()
    for i in range(options.workers):
        copy = folder / f"copy{i}"
        shutil.rmtree(copy, ignore_errors=True)
        copies.put(copy_repository(copy))
    test_files = find_test_files([ROOT / name for name in options.tests])
    tests = {} if options.whole else read_maps(folder, test_files, options.workers)
    print(f"{len(tests.get('seconds', test_files))} tests, {len(mutants)} changes", flush=True)

    preload()
    record = folder / f"caught-{digest(ROOT / 'skmoe')}.txt"

    def choose(mutant: Mutant, budget: float) -> list[str]:
        if options.whole:
            return test_files if budget else []
        return relevant_tests(mutant, tests, budget)

    outcomes = meet_all(mutants, copies, choose, tests.get("seconds", {}), options.budget, record)
    caught = list(outcomes.values()).count("caught")
    share = 100.0 * caught / max(len(outcomes), 1)
    print(f"\ncaught {caught} of {len(outcomes)}: {share:.1f} %")
    for mutant, outcome in outcomes.items():
        if outcome != "caught":
            print(f"{outcome:12s} {mutant}")


if __name__ == "__main__":
    main()
