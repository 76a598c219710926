"""Hypothesis without deadlines: a loaded machine is not a bug. Tests with a real model: only when asked for."""

import pytest
from hypothesis import settings

settings.register_profile("messages", deadline=None, max_examples=60)
settings.load_profile("messages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a download, unless `-m llama` asks for it."""
    if "llama" in str(config.getoption("-m")):
        return
    left_out = [item for item in items if item.get_closest_marker("llama")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("llama")]
