"""The before-queue SMTP proxy that lets end-to-end encrypted messages through and refuses the rest."""
