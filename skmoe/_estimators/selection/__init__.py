"""The number of experts, and data for it."""
