"""What went wrong -> an HTTP status and one JSON shape, which the clients of OpenAI read too.

Knows: which fault has which status. Does not know: routes, how a request is answered.
The status says who can mend it: 4xx the client, 5xx the server; see `to_api_error`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from emotion_llama.media import MediaError, MediaLimitError
from emotion_llama.server.api.uploads import TooLargeError
from emotion_llama.server.engine import BusyError, NotServingError, UnanswerableError
from emotion_llama.server.reading.readers import ReadCrashError, ReadTimeoutError

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Status -> the word that clients of OpenAI know; others are ``invalid_request_error`` or, from
500, ``server_error``."""

_CODES = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
}
"""Status that the framework or the guard gives -> word for programs."""

_WORDS = {
    404: "found no such address; /docs lists all that there are",
    405: "found a method that this address does not take; the header Allow names those it does",
}
"""Stand for the framework's own words."""

NOT_SERVING_RETRY_S = 5
"""Seconds after which a service that starts or is replaced may answer."""


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP
        code: one word for programs
        message: what was found, what was expected, what to do; shown to the client
        param: part of the request that is at fault
        headers: of the answer
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """Give the body of the answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": TYPES.get(self.status, kind),
                "code": self.code,
                "param": self.param,
                "request_id": request_id,
            }
        }


def retry_later(status: int, code: str, message: str, seconds: float) -> ApiError:
    """Give an error that goes away by itself after some seconds."""
    return ApiError(status, code, message, headers={"Retry-After": str(max(1, round(seconds)))})


def to_api_error(error: Exception, *, is_serving: bool = True) -> ApiError:
    """Say with which status a fault of a clip or of the engine is answered.

    413: more than the limits allow. 415: cannot be decoded as a video, sound or picture. 422: sound
    in form, but it gives no answer: nothing to go on, a text that is too long, or a file over which
    reading hangs, crashes or takes too long (sending it again would not help). 429: too many wait.
    503: starting or stopping. 500: all else, with nothing of it shown.

    Args:
        error: as `Engine`, `Readers` and `UploadFolder` raise them
        is_serving: whether the engine is ready; where not, a reading process that ended was stopped
    """
    text = str(error)
    match error:
        case ApiError():
            return error
        case BusyError():
            return retry_later(429, "busy", text, error.retry_after_s)
        case NotServingError():
            return retry_later(503, "not_serving", text, NOT_SERVING_RETRY_S)
        case ReadCrashError() if not is_serving:
            return retry_later(503, "not_serving", text, NOT_SERVING_RETRY_S)
        case TooLargeError() | MediaLimitError():
            return ApiError(413, "too_large", text, param="file")
        case MediaError():
            return ApiError(415, "unsupported_media", text, param="file")
        case ReadTimeoutError() | ReadCrashError():
            return ApiError(422, "unreadable_media", text, param="file")
        case UnanswerableError():
            return ApiError(422, "unanswerable", text)
        case ValueError():
            return ApiError(422, "invalid", text)
    return ApiError(500, "internal", "something failed here; it was logged under the request_id")


def of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """Give the error for a status that the framework raised."""
    message = _WORDS.get(status, detail) if detail == HTTPStatus(status).phrase else detail
    return ApiError(status, _CODES.get(status, f"http_{status}"), message, headers=headers)
