"""The queue of pushes, and their way to the gateway."""
