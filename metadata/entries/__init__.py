"""The METADATA entries that a relay answers, a module each."""
