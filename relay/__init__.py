"""What the daemons share: addresses, configuration, mailboxes, dict protocol, life cycle."""
