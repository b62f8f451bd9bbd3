"""Why a message passes or is refused."""
