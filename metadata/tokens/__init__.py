"""Push tokens: their rules, and where they are kept."""
