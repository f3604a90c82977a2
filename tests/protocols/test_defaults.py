"""Defaults of the base classes of experts and gates, from which users derive their own."""

import pytest

from skmoe.protocols import Experts, Gate


def with_defaults(kind, **methods):
    """An object with the defaults of a base class, and some methods of its own."""
    others = dict.fromkeys(kind.__abstractmethods__, lambda self, *given: None)
    return type("Own", (kind,), others | methods)()


@pytest.mark.parametrize("kind", [Experts, Gate])
def test_classes_that_are_no_dataclasses_ignore_all_options(kind):
    own = with_defaults(kind)
    assert own.with_options({"alpha": 2.0, "dispersion_prior": 1.0}) is own
