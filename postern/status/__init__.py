"""`postern status`: what the daemons count and time."""
