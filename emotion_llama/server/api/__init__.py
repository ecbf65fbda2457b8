"""The HTTP API: one clip, talks in the form of OpenAI, and the guard before everything."""
