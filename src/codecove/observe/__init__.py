"""Sight of what goes on: metrics and traces. Everything above the sandbox may report here."""
