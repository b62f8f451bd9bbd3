"""The benchmark of doveauth: lookups, creations, logins on a real Dovecot."""
