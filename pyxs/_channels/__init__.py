"""Open connections: one call at a time uses each."""
