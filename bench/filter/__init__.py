"""filtermail under load: a generator, a sink, a pass-through proxy, and what is compared."""
