"""Fits without `random_state` draw the same numbers in every run, in any order of the tests."""

import numpy as np
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    np.random.seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    np.random.seed(0)
