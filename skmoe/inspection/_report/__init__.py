"""The report: one page about a fitted mixture, with a panel that predicts."""

from skmoe.inspection._report._export import export_html

__all__ = ["export_html"]
