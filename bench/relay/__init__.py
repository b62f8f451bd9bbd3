"""The benchmark of the whole relay: Postfix, Dovecot and our daemons on one machine."""
