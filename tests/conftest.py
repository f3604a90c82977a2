"""What all tests share."""

import gc
import os
import sys

import pytest
from threadpoolctl import threadpool_limits

from support import global_random_state
from support.perturbed_data import perturb

# Figures have many small objects, which the collector would otherwise visit again and again.
gc.set_threshold(100_000, 50, 50)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tables are tiny: threads that wait for each other would take most of the time."""
    with threadpool_limits(1):
        yield


def seeds_of(text):
    """Seeds of a number, of a list such as "0-9", or of "all"."""
    first, _, last = ("0-99" if text == "all" else text).partition("-")
    return range(int(first), int(last or first) + 1)


GLOBAL_RANDOM_SEEDS = seeds_of(os.environ.get("SKMOE_TESTS_GLOBAL_RANDOM_SEED", "42"))


@pytest.fixture(scope="session", params=GLOBAL_RANDOM_SEEDS)
def global_random_seed(request):
    """The seed of simulated data: what a test says of them holds for every seed."""
    return request.param


@pytest.fixture(autouse=True)
def closed_figures():
    """Matplotlib warns of many figures, and keeps those that nobody closes."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


def pytest_addoption(parser):
    parser.addoption(
        "--site",
        action="store_true",
        help="also test the pages, the built site, and reports in a browser",
    )
    parser.addoption(
        "--perturb-data",
        type=float,
        default=0.0,
        help="relative change of all continuous data, such as 1e-13: see support/perturbed_data.py",
    )
    parser.addoption(
        "--random-cases",
        type=int,
        default=8,
        help="number of random estimators and tables, each of which takes about 0.3 s",
    )


def pytest_configure(config):
    """Before any test module is imported, since tables of modules are made then."""
    # Seeds of pytest-randomly, which differ from run to run, are for the order of the tests alone.
    config.option.randomly_reset_seed = False
    config.pluginmanager.register(global_random_state)
    relative = config.getoption("perturb_data")
    if relative:
        perturb(relative)


def pytest_terminal_summary(terminalreporter, config):
    """The seed of the random order, which the header of a quiet run would show."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"Random order, repeated by: pytest --randomly-seed={seed}")
