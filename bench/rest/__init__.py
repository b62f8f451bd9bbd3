"""The four daemons at rest: how much memory they take together."""
