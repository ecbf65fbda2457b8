"""Requests -> one JSON line each in the log, and counts for Prometheus.

Knows: what is told of a request, its id, unforeseen errors. Does not know: what requests ask.
Lines and counts hold no texts, no names and hashes of files, no keys and no paths that a client
sent: who asked (the key's name), which route, how it ended. The trace of an unforeseen error goes
to the log only; its message may quote what it stumbled over.
"""

import json
import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_llama.server.api.api_error import to_api_error
from emotion_llama.server.engines import Engines

LOGGER_NAME = "emotion_llama.server"
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Ids that a client may give; others would let it write into the log."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NO_ROUTE = "none"
"""Stands for the route of a request that was refused before, or that no route takes."""

CLIENT_GONE = 499
"""Status in log and counts where the client went away before the answer began."""

SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Bounds of the histogram: from the answer of a fact to the longest wait that is allowed."""

_logger = logging.getLogger(LOGGER_NAME)


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Give time, level and message, what ``fields`` adds, and the trace of an error."""
        time_s = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time_s, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Let the server's log go to standard error as lines of JSON, and nowhere else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    _logger.handlers = [handler]
    _logger.setLevel(level)
    _logger.propagate = False
    # it warns of every broken form, which the client is told
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


class Metrics:
    """Counts of one application.

    Args:
        engines: whose load is told
    """

    def __init__(self, engines: Engines) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "emotion_llama_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "emotion_llama_request_seconds",
            "Seconds from the arrival of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.rejected = Counter(
            "emotion_llama_rejected",
            "Requests refused, by the code of the error.",
            ["code"],
            registry=self.registry,
        )
        self.registry.register(_Load(engines))

    def to_text(self) -> bytes:
        """Give all counts in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Load:
    """Reads the load off engines when it is asked for."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "emotion_llama_ready",
            "1 while clips are accepted.",
            value=float(self._engines.state == "ready"),
        )
        admitted = GaugeMetricFamily(
            "emotion_llama_admitted", "Requests accepted and not yet answered.", labels=["model"]
        )
        sizes = CounterMetricFamily(
            "emotion_llama_batches",
            "Batches answered, by their number of clips.",
            labels=["model", "clips"],
        )
        for name, engine in zip(self._engines.names, self._engines.all, strict=True):
            admitted.add_metric([name], engine.num_admitted)
            for size, count in sorted(engine.batches.items()):
                sizes.add_metric([name, str(size)], count)
        yield admitted
        yield sizes


class Observing:
    """ASGI middleware around all others: request ids, log lines, counts, unforeseen errors.

    Args:
        app: the application
        metrics: where to count
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, arrived=time.monotonic())
        told = {"status": CLIENT_GONE, "bytes": 0}

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                own = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), own]}
            await send(message)
            told["bytes"] += len(message.get("body", b""))

        try:
            await self._app(scope, receive, tell)
        except Exception as error:
            _logger.exception("unforeseen error", extra={"fields": {"request_id": request_id}})
            # of an answer that has begun, nothing can be taken back
            if told["status"] == CLIENT_GONE:
                refusal = to_api_error(RuntimeError(error))
                response = JSONResponse(refusal.to_dict(request_id), refusal.status)
                await response(scope, receive, tell)
        finally:
            self._tell(scope, told["status"], told["bytes"])

    def _tell(self, scope: Scope, status: int, num_bytes: int) -> None:
        state = scope["state"]
        seconds = time.monotonic() - state["arrived"]
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if code := state.get("error_code"):
            self._metrics.rejected.labels(code).inc()
        fields = {
            "request_id": state["request_id"],
            "key": state.get("key_name"),
            "method": method,
            "route": route,
            "status": status,
            "error": code,
            "seconds": round(seconds, 4),
            "bytes": num_bytes,
        }
        _logger.info("request", extra={"fields": fields})


def _request_id(scope: Scope) -> str:
    """Take the client's id, if it is harmless, or make one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
