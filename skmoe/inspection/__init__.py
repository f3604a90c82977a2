"""Displays of fitted mixtures, by matplotlib (`pip install skmoe[plot]`), exports and results.

`export_text` and `export_mermaid` write text, and `export_html` a page, by Bokeh
(`pip install skmoe[report]`). `average_effects` and `permutation_importance_by_part` return tables.

The displays follow those of scikit-learn: `from_estimator` and `from_predictions` compute and draw,
`plot` draws again, and arrays and artists are attributes.

The classes of results, such as `Summary`, are what `summary`, `inference` and `explain` of the
estimators return, and the functions for the number of experts. No one constructs them.
"""

from skmoe._inference.average_effects import AverageEffects
from skmoe._inference.explanation import Explanation
from skmoe._inference.maxima import Maxima
from skmoe._inference.n_experts_table import NestedModelsTest, NExpertsTable
from skmoe._inference.results import ExpertSummary, Inference, Summary
from skmoe._inference.unit_responsibilities import UnitResponsibilities
from skmoe._inference.wald import NExpertsTest
from skmoe.inspection._calibration import CalibrationDisplay, RootogramDisplay
from skmoe.inspection._coefficients import CoefficientsDisplay
from skmoe.inspection._experts import ExpertsDisplay
from skmoe.inspection._feature_effects import (
    ImportanceDisplay,
    average_effects,
    permutation_importance_by_part,
)
from skmoe.inspection._gate import GateDisplay
from skmoe.inspection._prediction import PredictionDisplay
from skmoe.inspection._regimes import RegimesDisplay
from skmoe.inspection._report import export_html
from skmoe.inspection._responsibilities import ResponsibilitiesDisplay
from skmoe.inspection._search import ConvergenceDisplay, NumberOfExpertsDisplay
from skmoe.inspection._segment_profile import SegmentProfileDisplay
from skmoe.inspection._survival import SurvivalDisplay
from skmoe.inspection._text import export_mermaid, export_text
from skmoe.inspection._trajectories import TrajectoriesDisplay

__all__ = [
    "AverageEffects",
    "CalibrationDisplay",
    "CoefficientsDisplay",
    "ConvergenceDisplay",
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
    "UnitResponsibilities",
    "average_effects",
    "export_html",
    "export_mermaid",
    "export_text",
    "permutation_importance_by_part",
]
