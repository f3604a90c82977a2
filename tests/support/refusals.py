"""Checks of errors: what every refusal of bad input must say and leave as it was."""

from collections.abc import Callable
from typing import Any

import pytest

ERRORS = (ValueError, TypeError, AttributeError, NotImplementedError, ImportError)


def refusal(action: Callable[..., Any], *args: Any, **options: Any) -> str:
    """The message of the error that an action must raise."""
    with pytest.raises(ERRORS) as caught:
        action(*args, **options)
    return str(caught.value)


def assert_refused(message: str, name: str, *words: object) -> None:
    """A message begins with the name of what is wrong, and has the rule, the value, the remedy.

    Each of `words` is a word of the rule or of the remedy, or the value, whose `repr` counts.
    """
    assert message.startswith(name), f"the message must begin with {name!r}: {message}"
    for word in words:
        text = word if isinstance(word, str) else repr(word)
        assert text in message, f"the message lacks {text!r}: {message}"


def assert_fit_refused(moe: Any, data: tuple[Any, ...], name: str, *words: object, **given: Any):
    """A fit is refused by a clear error, and the estimator stays as it was."""
    before = dict(vars(moe))
    assert_refused(refusal(moe.fit, *data, **given), name, *words)
    after = vars(moe)
    assert after.keys() == before.keys(), after.keys() ^ before.keys()
    assert all(after[key] is value for key, value in before.items())
