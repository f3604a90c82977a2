"""Experts by name and task."""

from __future__ import annotations

from typing import Any

from skmoe.experts._linear import LinearExperts, LogisticExperts

# Experts by name and task. New ones are a module with their class, and a row here.
EXPERTS: dict[str, dict[str, Any]] = {
    "linear": {"regressor": LinearExperts, "classifier": LogisticExperts},
}
