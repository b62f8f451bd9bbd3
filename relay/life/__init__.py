"""The life cycle that every daemon shares: sockets, start, metrics, end."""
