"""`python -m codecove.cli` is `cove`."""

from codecove.cli import main

main()
