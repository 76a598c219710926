"""Containers: isolated places where commands run and files stay. Knows nothing of HTTP, models or the database."""
