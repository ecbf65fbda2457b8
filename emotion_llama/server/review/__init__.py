"""The page on which people review a data set, for this machine only (extra ``serve``)."""

from emotion_llama.server.review.review_page import make_app, page_address, require_serve, serve

__all__ = ["make_app", "page_address", "require_serve", "serve"]
