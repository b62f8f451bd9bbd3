"""The benchmark of `postern expire`, beside a walk as existing relays make it."""
