"""The meter: what was used by whom, what it costs, and what there is to see of it."""
