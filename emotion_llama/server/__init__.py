"""Pages that are served to this machine only; they need the extra ``serve``."""

from emotion_llama.server.review_page import make_app, page_address, require_serve, serve

__all__ = ["make_app", "page_address", "require_serve", "serve"]
