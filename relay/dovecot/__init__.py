"""Dovecot's dict protocol: a pure machine, and its asyncio edge."""
