"""Hypothesis without deadlines: a loaded machine is not a bug."""

from hypothesis import settings

settings.register_profile("messages", deadline=None, max_examples=60)
settings.load_profile("messages")
