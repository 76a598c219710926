"""Files: metadata in the store, bytes in a blob store."""
