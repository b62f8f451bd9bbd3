"""`python -m bench BENCHMARK`, which scripts/bench starts."""

import signal
import sys

import typer

from bench.auth import command as auth
from bench.auth.run import NAME as AUTH
from bench.expire import command as expiry
from bench.expire.run import NAME as EXPIRE
from bench.filter import command as filtering
from bench.filter.run import NAME as FILTER
from bench.gate import command as gating
from bench.gate.run import NAME as GATE
from bench.group import command as grouping
from bench.group.run import NAME as GROUP
from bench.kill import command as killing
from bench.kill.run import NAME as KILL
from bench.push import command as pushing
from bench.push.run import NAME as PUSH
from bench.relay import command as relaying
from bench.relay.run import NAME as RELAY
from bench.rest import command as resting
from bench.rest.run import NAME as REST

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """Measure the relay's daemons from outside, under load."""
    # As an exception, so that every block ends the processes that it has started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


app.command(FILTER)(filtering.command)
app.command(GATE)(gating.command)
app.command(GROUP)(grouping.command)
app.command(KILL)(killing.command)
app.command(REST)(resting.command)
app.command(AUTH)(auth.command)
app.command(EXPIRE)(expiry.command)
app.command(PUSH)(pushing.command)
app.command(RELAY)(relaying.command)


if __name__ == "__main__":
    sys.exit(app())
