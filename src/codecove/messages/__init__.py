"""One Messages request: history, model turns, events."""
