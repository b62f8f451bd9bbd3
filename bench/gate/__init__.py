"""The benchmark of the gate alone: what the worst inputs found cost beside honest messages."""
