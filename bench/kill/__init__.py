"""filtermail killed again and again under load through a real Postfix: nothing is lost."""
