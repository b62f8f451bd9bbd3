"""How Dovecot and the web server ask doveauth."""
