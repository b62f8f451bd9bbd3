"""What keeps a benchmark from being run, in words for the person who started it."""


class BenchProblem(Exception):
    """The message says what is the matter and what to do; it is shown without a traceback."""
