"""The code execution tool of the Claude API, as a server that anyone can run."""

__version__ = "0.1.0"
