"""The error that ends a benchmark."""


class BenchProblem(Exception):
    """A benchmark cannot run. The message says why and what to do; no traceback is shown."""
