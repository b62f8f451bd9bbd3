"""The before-queue SMTP proxy: end-to-end encrypted messages pass, the rest is refused."""
