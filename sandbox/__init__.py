"""A whole relay in a private directory: Postfix, Dovecot, our daemons, a stand-in push gateway."""
