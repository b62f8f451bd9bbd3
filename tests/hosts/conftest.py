"""One booted host with a relay for each Debian release, for all tests here."""

from collections.abc import Iterator

import pytest

from tests.hosts.host import obstacle, sweep
from tests.hosts.relay import Relay, running_relay
from tests.hosts.trees import RELEASES, CannotBuild, ensure_tree


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests that boot a host; those of one release run one after the other on one host."""
    for item in items:
        if "relay" in getattr(item, "fixturenames", ()) and "tests/hosts/" in str(item.path):
            item.add_marker("hosts")
            if isinstance(item, pytest.Function) and "relay" in item.callspec.params:
                item.add_marker(pytest.mark.xdist_group(item.callspec.params["relay"]))


@pytest.fixture(scope="session", params=RELEASES)
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    """A relay on a host of each release."""
    if reason := obstacle():
        pytest.skip(reason)
    sweep()
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def report(text: str) -> None:
        """Show on the terminal what takes minutes."""
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)  # noqa: T201 - for a person who waits

    try:
        tree = ensure_tree(request.param, report)
    except CannotBuild as error:
        pytest.skip(f"no tree of Debian {request.param} can be made: {error}")
    with running_relay(tree, report) as relay:
        yield relay


@pytest.fixture(autouse=True)
def _no_complaints(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which a unit is not well, or has logged a warning or an error."""
    yield
    if "relay" in request.fixturenames:
        relay: Relay = request.getfixturevalue("relay")
        assert relay.complaints() == []
