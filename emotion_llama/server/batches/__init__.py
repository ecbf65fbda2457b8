"""Many clips in one go, kept in a database that outlives the server."""
