"""Displays of fitted mixtures, by matplotlib, exports and results.

`export_text` and `export_mermaid` write text, and `export_html` a page, by Jinja2.
`average_effects`, `treatment_effects`, `distal_outcome` and `permutation_importance_by_part` return
tables.

The displays follow those of scikit-learn: `from_estimator` computes and draws, `plot` draws again,
and arrays and artists are attributes. Properties of an artist are changed by its method `set`.

The classes of results, such as `Summary`, are what `summary`, `inference` and `explain` of the
estimators return, and the functions for the number of experts. No one constructs them.
"""

from skmoe._inference.comparisons import NestedModelsTest, NExpertsTable, NExpertsTest
from skmoe._inference.effects import AverageEffects, DistalOutcome, Explanation
from skmoe._inference.inference import Inference, Maxima, UnitResponsibilities
from skmoe._inference.summary import ExpertSummary, Summary
from skmoe.inspection._calibration import CalibrationDisplay, RootogramDisplay, SurvivalDisplay
from skmoe.inspection._coefficients import CoefficientsDisplay, SegmentProfileDisplay
from skmoe.inspection._experts import ExpertsDisplay, TrajectoriesDisplay
from skmoe.inspection._feature_effects import (
    ImportanceDisplay,
    average_effects,
    permutation_importance_by_part,
)
from skmoe.inspection._outcomes import distal_outcome
from skmoe.inspection._prediction import PredictionDisplay
from skmoe.inspection._regimes import CourseDisplay, GateDisplay, RegimesDisplay
from skmoe.inspection._report import export_html
from skmoe.inspection._search import (
    ConvergenceDisplay,
    NumberOfExpertsDisplay,
    ResponsibilitiesDisplay,
)
from skmoe.inspection._text import export_mermaid, export_text
from skmoe.inspection._treatment import TreatmentEffects, treatment_effects

__all__ = [
    "AverageEffects",
    "CalibrationDisplay",
    "CoefficientsDisplay",
    "ConvergenceDisplay",
    "CourseDisplay",
    "DistalOutcome",
    "ExpertSummary",
    "ExpertsDisplay",
    "Explanation",
    "GateDisplay",
    "ImportanceDisplay",
    "Inference",
    "Maxima",
    "NExpertsTable",
    "NExpertsTest",
    "NestedModelsTest",
    "NumberOfExpertsDisplay",
    "PredictionDisplay",
    "RegimesDisplay",
    "ResponsibilitiesDisplay",
    "RootogramDisplay",
    "SegmentProfileDisplay",
    "Summary",
    "SurvivalDisplay",
    "TrajectoriesDisplay",
    "TreatmentEffects",
    "UnitResponsibilities",
    "average_effects",
    "distal_outcome",
    "export_html",
    "export_mermaid",
    "export_text",
    "permutation_importance_by_part",
    "treatment_effects",
]
