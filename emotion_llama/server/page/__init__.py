"""The page on which people try the model: a clip in, the answer and what it rests on out."""

from emotion_llama.server.page.mount import close_page, mount_page

__all__ = ["close_page", "mount_page"]
