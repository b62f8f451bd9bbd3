"""Each daemon killed again and again under load with real Postfix and Dovecot: nothing is lost."""
