"""Work and the client who waits for it -> the result, unless the client leaves or time is up.

Knows: requests, time. Does not know: what the work is.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from emotion_llama.server.api.api_error import ApiError, to_api_error
from emotion_llama.server.engine import Engine

Result = TypeVar("Result")


async def awaited(request: Request, engine: Engine, work: Coroutine[Any, Any, Result]) -> Result:
    """Do work for a client whose request has been read; nothing is computed for nobody.

    Args:
        request: of the client, its body read through
        engine: whose time limit holds, from the arrival of the request
        work: cancelled when the client goes away, or when time is up

    Raises:
        ClientDisconnect: the client went away
        ApiError: the work failed, or takes too long (504)
    """
    limit_s = engine.settings.answer_limit_s
    waited_s = time.monotonic() - request.state.arrived
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        done, _ = await asyncio.wait(
            (working, leaving),
            timeout=max(0.0, limit_s - waited_s),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if working in done:
            return working.result()
        if leaving in done:
            raise ClientDisconnect
        msg = f"the answer takes more than {limit_s:g} s; send a shorter clip, or try again later"
        raise ApiError(504, "timeout", msg)
    except Exception as error:
        raise _as_api_error(error, engine) from error
    finally:
        await _cancelled(working, leaving)


def _as_api_error(error: Exception, engine: Engine) -> Exception:
    """Give the error to answer with; one that nobody foresaw stays as it is."""
    if isinstance(error, ClientDisconnect):
        return error
    answer = to_api_error(error, is_serving=engine.state == "ready")
    return error if answer.status == 500 else answer


async def _gone(request: Request) -> None:
    """Wait until the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have cleaned up."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
