"""The error that ends a benchmark."""


class BenchProblem(Exception):  # noqa: N818 - what it says is the whole message to the user
    """A benchmark cannot run. The message says why and what to do; no traceback is shown."""
