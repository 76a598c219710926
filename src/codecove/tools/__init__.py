"""The versions of the code execution tool: what is offered, how a call runs, what its result looks like."""
