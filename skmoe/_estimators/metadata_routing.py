"""Which metadata of a fit goes to which expert, by scikit-learn's metadata routing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing


def make_router(estimator: Any) -> MetadataRouter:
    """What the estimator asks for itself, and what its experts ask for in fit."""
    router = MetadataRouter(owner=estimator).add_self_request(estimator)
    for name, expert in _experts_by_name(estimator.expert).items():
        if hasattr(expert, "get_metadata_routing"):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(method_mapping=mapping, **{name: expert})
    return router


def make_routes(estimator: Any, names: Iterable[str], n_experts: int) -> tuple[dict[str, str], ...]:
    """For each expert, the arguments of its fit and the names of the metadata they take.

    Without routing every estimator is given all of it. Names of experts take none.
    """
    given = {name: name for name in names}
    experts = _experts_by_name(estimator.expert)
    if given and get_config()["enable_metadata_routing"]:
        routed = process_routing(estimator, "fit", **given)
        routes = [
            {} if isinstance(expert, str) else _flatten_pipeline_routing(expert, routed[name].fit)
            for name, expert in experts.items()
        ]
    else:
        routes = [{} if isinstance(expert, str) else given for expert in experts.values()]
    return tuple(routes) if len(routes) == n_experts else tuple(routes) * n_experts


def _experts_by_name(expert: Any) -> dict[str, Any]:
    if isinstance(expert, list | tuple):
        return {f"expert_{k}": entry for k, entry in enumerate(expert)}
    return {"expert": expert}


def _flatten_pipeline_routing(expert: Any, arguments: dict[str, str]) -> dict[str, str]:
    """The same, with the arguments of the steps of a pipeline as they are spelled without routing.

    So the weights can go to the last step, whatever the steps ask for.
    """
    if not isinstance(expert, Pipeline) or not arguments:
        return dict(arguments)
    steps = process_routing(expert, "fit", **arguments)
    return {
        f"{step}__{argument}": name
        for step, _ in expert.steps
        for method in ("fit", "fit_transform")
        for argument, name in steps.get(step, {}).get(method, {}).items()
    }
