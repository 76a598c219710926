"""What clients do with containers themselves, without a model."""
