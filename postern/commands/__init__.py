"""The operator's commands, a thin file each, imported when called."""
