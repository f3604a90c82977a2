"""Standard errors, information criteria and summaries of a fitted mixture."""
