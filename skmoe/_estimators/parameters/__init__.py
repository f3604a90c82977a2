"""Constructor parameters: from what users give to what a fit needs."""
