"""How long after SMTP's 250 the push gateway has its request."""

import pytest

from bench.figures import percentile
from bench.push.sandbox import MESSAGES, delays
from sandbox.relay import Sandbox
from tests.e2e.tools import tell

pytestmark = pytest.mark.e2e


def test_from_smtps_250_to_the_gateways_request(sandbox: Sandbox) -> None:
    """The aim is a median of 0.1 s; what a machine under load may take at most is not that."""
    took = sorted(delays(sandbox))
    told = ", ".join(f"p{percent} {percentile(took, percent):.3f} s" for percent in (50, 95, 100))
    tell(f"from 250 to the gateway: {told}")
    assert len(took) == MESSAGES
    assert percentile(took, 50) < 2
