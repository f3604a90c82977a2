"""What all tests share."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tables are tiny: threads that wait for each other would take most of the time."""
    with threadpool_limits(1):
        yield
