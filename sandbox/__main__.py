"""Started by `scripts/run`, or as `python -m sandbox`."""

from sandbox.commands import app

if __name__ == "__main__":
    app(prog_name="scripts/run")
