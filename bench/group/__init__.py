"""The benchmark of a group chat: real cores, real Postfix and Dovecot."""
