"""What is served: the page and the API of a preset, and the page of reviewers."""
