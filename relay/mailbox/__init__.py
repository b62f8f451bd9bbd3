"""A mailbox's directory: the on-disk form of an account, and how it is removed."""
