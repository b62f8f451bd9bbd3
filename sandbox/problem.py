"""What keeps a sandbox from running, in words for the person who started it."""


class SandboxProblem(Exception):  # noqa: N818 - what it says is the whole message to the user
    """The message says what is the matter and what to do; it is shown without a traceback."""
