"""The operator's command; today: the sandbox, a whole relay in a private directory."""
