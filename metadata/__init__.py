"""IMAP METADATA and push notifications."""
