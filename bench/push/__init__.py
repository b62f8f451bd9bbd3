"""Benchmarks of push: from a new message to the gateway."""
