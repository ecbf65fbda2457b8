"""Parts of the face package's measurement."""
