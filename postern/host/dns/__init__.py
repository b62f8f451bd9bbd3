"""DNS of a relay: the records that it needs, what was found of them, and the difference in words.

`records` says what is wanted, `forms` writes it down for a provider, `lookup` asks the servers,
and `check` compares. Only `lookup` and `facts` touch the world.
"""
