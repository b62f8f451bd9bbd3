"""SMTP and LMTP as pure machines, with thin asyncio edges."""
