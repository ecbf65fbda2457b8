"""Words, labels and presets that a client names -> refused where they cannot be answered with.

Knows: how long and how many, which presets there are. Does not know: forms, JSON, what is done with
them.
"""

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.api_error import ApiError
from emotion_llama.server.engine import Engine
from emotion_llama.server.engines import Engines

MAX_LABELS = 64
"""Each label is scored by itself; the longest of the published lists has nine."""


def require_text(text: str | None, name: str, settings: ServeConfig) -> None:
    """Check the length of a text, and that it can be written as UTF-8.

    Raises:
        ApiError: it is too long, or has halves of characters (422)
    """
    most = settings.max_text_chars
    if text is not None and len(text) > most:
        msg = f"found {len(text)} characters in {name}, expected at most {most}"
        raise ApiError(422, "too_long", msg, param=name)
    if text is not None and any("\ud800" <= one <= "\udfff" for one in text):
        msg = f"found half of a character in {name} (a lone surrogate), expected text"
        raise ApiError(422, "invalid", msg, param=name)


def require_labels(labels: str | None, engine: Engine) -> None:
    """Check the labels that a client wants to be offered.

    Raises:
        ApiError: they are unusable or too many (422)
    """
    if labels is None:
        return
    require_text(labels, "labels", engine.settings)
    try:
        offered = engine.predictor.offered(labels)
    except ValueError as error:
        raise ApiError(422, "invalid", str(error), param="labels") from error
    if len(offered) > MAX_LABELS:
        msg = f"found {len(offered)} labels, expected at most {MAX_LABELS}"
        raise ApiError(422, "invalid", msg, param="labels")


def require_model(name: str | None, engines: Engines) -> Engine:
    """Give the engine of the preset that a client names; ``None``: the default.

    Raises:
        ApiError: it is not served (404)
    """
    try:
        return engines.named(name)
    except ValueError as error:
        raise ApiError(404, "model_not_found", str(error), param="model") from error
