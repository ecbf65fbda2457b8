"""Parts of the face networks' training."""
