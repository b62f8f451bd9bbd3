"""What keeps a sandbox from running, in words for the person who started it."""


class SandboxProblem(Exception):
    """The message says what is the matter and what to do; it is shown without a traceback."""
