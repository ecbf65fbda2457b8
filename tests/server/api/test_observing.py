"""Lines of the log: JSON, one a record, traces within."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from emotion_llama.server.api.observing import LOGGER_NAME, log_to_stderr


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(LOGGER_NAME)
    before = (logger.handlers, logger.level, logger.propagate)
    yield logger
    logger.handlers, logger.level, logger.propagate = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_is_a_line_with_its_fields(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    log_to_stderr()
    logger.info("request", extra={"fields": {"status": 200, "key": "a\nb"}})
    logger.debug("not told")
    (line,) = lines(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "message": "request", "status": 200, "key": "a\nb"}


def test_a_trace_is_in_the_line(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    try:
        sys.intern(5)  # type: ignore[arg-type]
    except TypeError:
        logger.exception("unforeseen error")
    (line,) = lines(capsys)
    assert line["trace"].startswith("Traceback")
    assert "TypeError" in line["trace"]
