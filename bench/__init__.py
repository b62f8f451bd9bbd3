"""How fast and how lean the relay's daemons are, measured from outside (scripts/bench)."""
