"""`postern report`: how a relay is used, in numbers that name nobody."""
