"""The configuration of a host: how Postfix and Dovecot are wired to our daemons."""
