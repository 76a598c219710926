"""`make demo`: a server with a temporary data directory, and what the official client can do with it."""
