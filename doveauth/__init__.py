"""The authentication service: accounts that exist from their first login."""
