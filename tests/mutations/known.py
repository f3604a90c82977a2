"""Changes that once went unnoticed by the whole suite, at the places where their code is now.

Each is a file, its text, the text in its place, and the law that it breaks. A text that is no
longer there once and only once is reported: its law may have another place, or none.
"""

from __future__ import annotations

from pathlib import Path

from generate import Mutant

CHANGES = [
    # --- wrong answers without a word ---
    (
        "_data/extra_features.py",
        'options = {"sample_weight": data.weight}',
        "options = {}",
        "a transformer of the gate is fitted with the weights",
    ),
    (
        "_data/extra_features.py",
        "target[rows], weight[rows], metadata)",
        "target[rows], np.ones(len(rows)), metadata)",
        "a base is fitted with the weights",
    ),
    (
        "_data/preprocessing.py",
        "slopes[:, columns], intercepts",
        "slopes[:, np.sort(columns)], intercepts",
        "gate_coef_ is in the order of gate_feature_names_",
    ),
    (
        "_inference/bootstrap.py",
        "if not (counts == weight).all():",
        "if True:",
        "a bootstrap draws as many targets as a row has weight",
    ),
    (
        "_estimators/n_experts_selection.py",
        'data.X, data.y, **data.of_methods | {"sample_weight": data.weight}',
        "data.X, data.y, **data.of_methods",
        "criteria that choose a number of experts are weighted",
    ),
    (
        "_estimators/n_experts_selection.py",
        "metadata = dict(data.extras)",
        "metadata = {}",
        "trial fits have groups and metadata",
    ),
    (
        "_estimators/large_rows.py",
        "RowBlocks.from_arrays(X, y, weight, **by_row)",
        "RowBlocks.from_arrays(X, y, **by_row)",
        "memory maps have weights",
    ),
    (
        "_estimators/problem.py",
        "categories = [i for i, j in enumerate(data.columns[1]) if j in categories]",
        "pass",
        "positions of categories are those among the chosen columns",
    ),
    (
        "experts/_cross_fitted.py",
        "np.sqrt(np.exp(params.log_variance[k]))[:, None]",
        "np.sqrt(np.exp(params.log_variance[k]))[::-1, None]",
        "outputs keep their noise under estimators",
    ),
    (
        "experts/_cross_fitted.py",
        "features.metadata[name][rows]",
        "features.metadata[name][: len(rows)]",
        "metadata are those of the rows of the fold",
    ),
    (
        "_data/sklearn_adapter.py",
        "np.searchsorted(classes, model.classes_)] = votes.T",
        "np.searchsorted(classes, model.classes_)[::-1]] = votes.T",
        "votes out of bag are those of their classes",
    ),
    (
        "_data/nested_estimators.py",
        'None if inner is None else f"{name}__{inner}"',
        "inner",
        "pipelines are fitted with the weights",
    ),
    (
        "_data/folds.py",
        "StratifiedGroupKFold(n_folds",
        "StratifiedKFold(n_folds",
        "folds of classes keep groups together",
    ),
    (
        "_inference/criteria.py",
        "(resp * logs).sum(axis=0) @ weight",
        "(resp * logs).sum()",
        "the entropy of a criterion is weighted",
    ),
    (
        "_estimators/training_data.py",
        "name: values[index] for",
        "name: values[: len(index)] for",
        "metadata stay with rows where others have weight zero",
    ),
    (
        "distributions/_normal.py",
        "scale[:, None] * self.std",
        "scale[::-1, None] * self.std",
        "outputs keep their noise in units of y",
    ),
    (
        "_data/rows.py",
        'RawFeatures(X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns])',
        "RawFeatures(X)",
        "estimators see the chosen columns",
    ),
    (
        "experts/_variance_prior.py",
        "@ weight[test]",
        ".sum(axis=1) * weight.mean()",
        "the noise is a weighted mean",
    ),
    (
        "experts/_variance_prior.py",
        ", sample_weight=weight[train])",
        ")",
        "fits behind the noise are weighted",
    ),
    (
        "_mixture/runs.py",
        "for _ in range(MAX_REINITIALIZATIONS):",
        "for _ in range(0):",
        "collapsed experts are initialised again",
    ),
    (
        "_mixture/runs.py",
        'order = np.argsort(log_density, kind="stable")',
        'order = np.argsort(-log_density, kind="stable")',
        "collapsed experts begin on the rows explained worst",
    ),
    (
        "experts/_named_estimators.py",
        "C=1.0 / max(alpha, 1e-12), max_iter=1000",
        "max_iter=1000",
        "alpha is that of named linear experts of classes",
    ),
    (
        "experts/_named_estimators.py",
        "estimator.set_params(alpha=alpha)",
        "pass",
        "alpha is that of named linear experts",
    ),
    (
        "_data/blocks.py",
        "None if names is None else frame[names]",
        "None if names is None or names is sample_weight else frame[names]",
        "Parquet files have weights",
    ),
    (
        "_data/blocks.py",
        "optional = sample_weight, offset, units",
        "optional = None, offset, units",
        "npy files have weights",
    ),
    (
        "_data/blocks.py",
        "arrays = [X, y, sample_weight, offset, units]",
        "arrays = [X, y, None, offset, units]",
        "arrays in blocks have weights",
    ),
    (
        "checkpoints.py",
        'data = {"X": X, "y": y, "sample_weight": sample_weight,',
        'data = {"X": X, "y": y, "sample_weight": None,',
        "fits with checkpoints have weights",
    ),
    (
        "experts/_linear.py",
        "np.sqrt(np.exp(params.log_variance[k]))[:, None]",
        "np.sqrt(np.exp(params.log_variance[k]))[::-1, None]",
        "outputs keep their noise under linear experts",
    ),
    (
        "gates/_constant.py",
        "return basis - np.exp(params.log_prior) @ basis",
        "return basis",
        "errors of a constant gate are those of log probabilities",
    ),
    # --- others ---
    (
        "_data/extra_features.py",
        "columns = np.searchsorted(classes, base.classes_)",
        "columns = np.arange(len(base.classes_))",
        "probabilities are those of the classes that a base knows",
    ),
    (
        "_data/extra_features.py",
        "experts = experts if data.classes is None else np.append(experts, base_columns)",
        "pass",
        "experts of classes see what a base says",
    ),
    (
        "_estimators/problem.py",
        "if data.previous is not None:\n        return data.previous.fitted",
        "if data.previous is not None and data.known_scaling is None:\n"
        "        return data.previous.fitted",
        "a warm start of blocks keeps the scale of its coefficients",
    ),
    (
        "gates/_averaged.py",
        "sum(self.gate.n_parameters(start) for start in params.starts)",
        "self.gate.n_parameters(params.starts[0])",
        "an average has the parameters of all gates",
    ),
    (
        "gates/_averaged.py",
        "concatenated[:, -1] -= np.log(len(coefficients))",
        "pass",
        "intercepts of constant gates are shares of all starts",
    ),
    (
        "_inference/bootstrap.py",
        "_, order = linear_sum_assignment(overlap, maximize=True)",
        "order = np.arange(len(overlap))",
        "refits are numbered like the fit",
    ),
    (
        "_estimators/n_experts_selection.py",
        "means.append(float(np.average(scores, weights=weight)))",
        "means.append(float(np.mean(scores)))",
        "scores of rows held out are weighted",
    ),
    (
        "_estimators/training_data.py",
        "keys = np.column_stack([keys, np.unique(data.groups, return_inverse=True)[1]])",
        "pass",
        "equal rows of different groups are not one row",
    ),
    (
        "_mixture/em.py",
        "params = project(model, unflatten(state.params, extrapolated))",
        "params = unflatten(state.params, extrapolated)",
        "extrapolated parameters keep their constraints",
    ),
    (
        "_data/encoding.py",
        "total.get(level, 0.0) + w",
        "total.get(level, 0.0) + 1.0",
        "rare categories are rare by weight",
    ),
    (
        "_data/encoding.py",
        "columns.append(~np.any(indicators, axis=0))",
        "columns.append(np.any(indicators, axis=0))",
        "the column of infrequent categories marks those",
    ),
    (
        "_data/encoding.py",
        "encoder.numeric_columns + encoder.missing_columns",
        "encoder.numeric_columns + encoder.numeric_columns[: len(encoder.missing_columns)]",
        "indicators of missing values belong to their columns",
    ),
    (
        "_data/encoding.py",
        '("nan", "None", "<NA>", "NaT")',
        '("nan", "None", "NaT")',
        "pandas.NA is missing",
    ),
    (
        "_data/encoding.py",
        "np.where(np.isnan(values[j]), median, values[j])",
        "np.where(np.isnan(values[j]), 0.0, values[j])",
        "missing values are the median",
    ),
    (
        "experts/_cross_fitted.py",
        "(variances[:1] if self.shared_dispersion else variances).size",
        "variances.size",
        "a shared variance of estimators is one parameter",
    ),
    (
        "experts/_cross_fitted.py",
        "penalties[: 1 if self.shared_dispersion else None].sum()",
        "penalties.sum()",
        "a shared variance of estimators has one prior",
    ),
    (
        "_estimators/part_parameters.py",
        "return len(expert) > 0 and all(",
        "return len(expert) > 0 and any(",
        "missing values need experts that all take them",
    ),
    (
        "_inference/requirements.py",
        "if n_terms > MAX_TERMS:",
        "if False:",
        "inference of too many coefficients is refused",
    ),
    (
        "_data/sklearn_adapter.py",
        "np.size(model.coef_) + np.size(model.intercept_)",
        "np.size(model.coef_)",
        "intercepts of estimators are parameters",
    ),
    (
        "_mixture/model.py",
        "return Usage(gate_prob, load, resp @ rows.unit_weight)",
        "return Usage(gate_prob, load, resp.sum(axis=1))",
        "collapsed experts are counted by weight",
    ),
    (
        "distributions/_base.py",
        "not (weights >= 0.0).all() or not np.allclose",
        "not np.allclose",
        "weights of components are not negative",
    ),
    (
        "experts/_linear.py",
        "tuple((y_map.slope**2 * np.array(values)).tolist())",
        "tuple(np.array(values).tolist())",
        "the noise prior of a stream moves with the scale of y",
    ),
    (
        "_estimators/partial_fit.py",
        "_, order = linear_sum_assignment(previous @ resp.T, maximize=True)",
        "order = np.arange(len(previous))",
        "experts of a stream keep their numbers",
    ),
    (
        "_estimators/metadata_routing.py",
        'f"{step}__{argument}": name',
        'f"{expert.steps[-1][0]}__{argument}": name',
        "metadata reach the step that asks for them",
    ),
    (
        "_data/first_pass.py",
        "sample, factor = sample._replace(weight=factor * sample.weight), 1.0",
        "factor = 1.0",
        "a sample of blocks weighs as much as all rows",
    ),
    (
        "_mixture/initialization.py",
        "model.fit(points, sample_weight=weight)",
        "model.fit(points)",
        "k-means is weighted",
    ),
    (
        "_data/checks.py",
        "chosen % n_features",
        "np.abs(chosen)",
        "negative indices count from the end",
    ),
    (
        "checkpoints.py",
        "max_iter=min(every, max_iter - n_iter)",
        "max_iter=every",
        "fits in stretches end at max_iter",
    ),
    (
        "checkpoints.py",
        'context.task_name == "iteration" and context.parent.task_name == "EM"',
        'context.task_name == "iteration"',
        "a callback keeps iterations of the long run only",
    ),
    (
        "onnx.py",
        "coef[:, -1] + slopes @ error",
        "coef[:, -1]",
        "single precision keeps the center",
    ),
    (
        "_data/encoding.py",
        "return column.cast(float).to_numpy()",
        "return column.cast(float).fill_null(0.0).to_numpy()",
        "nulls of polars are missing",
    ),
    (
        "_estimators/partial_fit.py",
        "decay = 0.5 ** (float(weight.sum()) / half_life)",
        "decay = 0.5 ** (len(weight) / half_life)",
        "a half life counts weights",
    ),
    # --- pictures, words, printed numbers, equal keys ---
    (
        "_estimators/monitor.py",
        "lower_bound = result.lower_bound + self.log_jacobian",
        "lower_bound = result.lower_bound",
        "bounds of starts are printed in the units of y",
    ),
    (
        "_estimators/monitor.py",
        "{result.lower_bound + self.log_jacobian:>16.8f}",
        "{result.lower_bound:>16.8f}",
        "bounds of iterations are printed in the units of y",
    ),
    (
        "_inference/labels.py",
        'return "> 99 %"',
        'return "100 %"',
        "a share of almost all is not all",
    ),
    (
        "_mixture/em.py",
        "converged=aitken_gap(history, rtol) < options.tol",
        "converged=aitken_gap(lower_bounds, rtol) < options.tol",
        "a continued fit is judged by the bounds before it",
    ),
    (
        "_estimators/partial_fit.py",
        "lower_bound=result.state.lower_bound + log_jacobian",
        "lower_bound=result.state.lower_bound",
        "the bound of a stream moves to its new scale",
    ),
    (
        "_data/duplicates.py",
        "same_y & same_rows(X, current, previous)",
        "same_rows(X, current, previous)",
        "rows whose targets differ are not one row",
    ),
    (
        "_data/duplicates.py",
        "same_y & same_rows(X, current, previous)",
        "same_y",
        "rows whose features differ are not one row",
    ),
    (
        "inspection/_convergence.py",
        "max(lower_bounds.min(), top - Y_RANGE_FACTOR * (top - lowest))",
        "lower_bounds.min()",
        "steep first iterations do not flatten a picture",
    ),
    (
        "inspection/_gate.py",
        "np.delete(self.gate, k, axis=2).max(axis=2)",
        "0.9",
        "borders of regions are where experts are equally probable",
    ),
    (
        "inspection/_mermaid.py",
        'np.argsort(-effects, kind="stable")',
        'np.argsort(effects, kind="stable")',
        "features are ranked by their effect",
    ),
]


def known(root: Path) -> tuple[list[Mutant], list[str]]:
    """The changes, and those whose text is no longer there."""
    found, missing = [], []
    for file, old, new, law in CHANGES:
        path = root / "skmoe" / file
        source = path.read_text() if path.exists() else ""
        if source.count(old) != 1:
            missing.append(f"{file}: {old}")
            continue
        begin = source.index(old)
        line = source.count("\n", 0, begin) + 1
        found.append(Mutant(f"skmoe/{file}", line, begin, begin + len(old), old, new, law))
    return found, missing
