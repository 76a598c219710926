"""HTTP in, HTTP out: one module per resource. Parse, authorise, call, serialise; no logic."""
