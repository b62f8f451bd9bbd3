"""`postern users`: one address at a time, seen and managed by the operator."""
