"""The containers of a workspace: rows, leases, expiry."""
