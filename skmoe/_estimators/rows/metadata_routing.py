"""Routing of the metadata of `fit` to the experts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing


def make_router(estimator: Any) -> MetadataRouter:
    """Metadata requests of the estimator, and of its experts in fit."""
    router = MetadataRouter(owner=estimator).add_self_request(estimator)
    for name, expert in estimator._experts_by_name().items():
        if hasattr(expert, "get_metadata_routing"):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(method_mapping=mapping, **{name: expert})
    return router


def make_routes(estimator: Any, names: Iterable[str]) -> tuple[dict[str, str], ...]:
    """For each expert that was given, the arguments of its fit and the names of their metadata.

    If metadata routing is disabled, all metadata are passed to every estimator. Experts given by
    name receive none.
    """
    all_metadata = {name: name for name in names}
    experts = estimator._experts_by_name()
    if all_metadata and get_config()["enable_metadata_routing"]:
        routed = process_routing(estimator, "fit", **all_metadata)
        routes = [
            {} if isinstance(expert, str) else _flatten_pipeline_routing(expert, routed[name].fit)
            for name, expert in experts.items()
        ]
    else:
        routes = [{} if isinstance(expert, str) else all_metadata for expert in experts.values()]
    return tuple(routes)


def _flatten_pipeline_routing(expert: Any, arguments: dict[str, str]) -> dict[str, str]:
    """Routed arguments; those of a pipeline's steps as `step__argument`.

    The fit is called with routing disabled, so that weights are passed to the last step for any
    requests of the steps.
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
