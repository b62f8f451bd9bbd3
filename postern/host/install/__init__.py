"""`postern install`: what a host should be, what it is, and the way there and back."""
