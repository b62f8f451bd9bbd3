"""Is this host fit for a relay? Asked before an installation writes anything.

`look` gathers the facts of the host and of what the world sees of it; `judge` says all that is
wrong with them at once. Warnings go on, errors stop, and each check can be skipped by its name.
"""
