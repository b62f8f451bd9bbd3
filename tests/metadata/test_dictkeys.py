import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.dictkeys import Private, Shared, parse

GUID = "f7a53b235f95026b2548000083ecc375"
SERVER = f"shared/{GUID}/vendor/vendor.dovecot/pvt/server/vendor/deltachat"


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        (f"priv/{GUID}/devicetoken", Private.DEVICE_TOKEN),
        (f"priv/{GUID}/messagenew", Private.MESSAGE_NEW),
        (f"{SERVER}/irohrelay", Shared.IROH_RELAY),
        (f"{SERVER}/turn", Shared.TURN),
        (f"{SERVER}/maxsmtprecipients", Shared.MAX_SMTP_RECIPIENTS),
        (f"{SERVER}/appversions", Shared.APP_VERSIONS),
    ],
)
def test_entries_as_dovecot_asks_for_them(key: str, entry: Private | Shared) -> None:
    assert parse(key) is entry


@pytest.mark.parametrize(
    "key",
    [
        "",
        "devicetoken",
        "priv/devicetoken",
        f"priv/{GUID}",
        f"priv/{GUID}/",
        f"priv/{GUID}/devicetoken/",
        f"priv/{GUID}/devicetoken\n",
        f"priv/{GUID}/comment",
        f"priv/{GUID}/turn",
        f"priv//{GUID}/devicetoken",
        "priv/../devicetoken",
        f"shared/{GUID}/devicetoken",
        f"shared/{GUID}/messagenew",
        f"priv/{GUID}/vendor/vendor.dovecot/pvt/server/devicetoken",
        f"shared/{GUID}/vendor/deltachat/turn",
        f"{SERVER}/",
        f"{SERVER}/devicetoken",
        f"{SERVER}/other",
        f"{SERVER}x/turn",
        f"priv/{GUID}/vendor/vendor.dovecot/pvt/server/vendor/deltachat/turn",
    ],
)
def test_what_we_do_not_have(key: str) -> None:
    assert parse(key) is None


@given(st.text())
def test_any_text_is_no_entry(key: str) -> None:
    assert parse(key) is None
