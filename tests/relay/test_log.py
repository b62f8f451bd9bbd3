"""What is logged never has an exception's text, whoever logs it."""

import io
import logging

from relay import log as logs


def test_an_exception_that_a_library_logs_has_its_stack_and_no_text() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs._Formatter(journal=False))
    logger = logging.Logger("library")
    logger.addHandler(handler)
    address = "someone12@example.org"
    try:
        int(address)
    except ValueError:
        logger.exception("a request failed")
    text = stream.getvalue()
    assert "a request failed" in text
    assert "test_log.py" in text
    assert text.rstrip().endswith("ValueError")
    assert "someone12" not in text
