"""PGPy as a second opinion: what it encrypts passes, and what passes it calls encrypted."""

import warnings

import pytest

from tests.filtermail.gate.building import armoured, judge, message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PGPy's imports warn of what they deprecate
    import pgpy
    from pgpy.constants import (
        CompressionAlgorithm,
        HashAlgorithm,
        KeyFlags,
        PubKeyAlgorithm,
        SymmetricKeyAlgorithm,
    )

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def key() -> pgpy.PGPKey:
    made = pgpy.PGPKey.new(PubKeyAlgorithm.RSAEncryptOrSign, 2048)
    made.add_uid(
        pgpy.PGPUID.new("alice"),
        usage={KeyFlags.EncryptCommunications, KeyFlags.EncryptStorage, KeyFlags.Sign},
        hashes=[HashAlgorithm.SHA256],
        ciphers=[SymmetricKeyAlgorithm.AES256],
        compression=[CompressionAlgorithm.Uncompressed],
    )
    return made


def wire(encrypted: pgpy.PGPMessage) -> bytes:
    return str(encrypted).replace("\r\n", "\n").replace("\n", "\r\n").encode() + b"\r\n"


@pytest.mark.parametrize("size", [0, 1, 100, 8000, 300_000])
@pytest.mark.parametrize("step", [0, 1000])
def test_what_pgpy_encrypts_passes(key: pgpy.PGPKey, size: int, step: int) -> None:
    encrypted = key.pubkey.encrypt(pgpy.PGPMessage.new("x" * size, compression=0))
    assert judge(message(armour=wire(encrypted)), step=step)[0] is None


def test_what_pgpy_encrypts_by_passphrase_passes() -> None:
    encrypted = pgpy.PGPMessage.new("hi").encrypt("secret")
    assert judge(message(armour=wire(encrypted)))[0] is None


def test_what_pgpy_signs_only_does_not_pass(key: pgpy.PGPKey) -> None:
    signed = pgpy.PGPMessage.new("hi")
    signed |= key.sign(signed)
    reply, _ = judge(message(armour=wire(signed)))
    assert reply is not None


@pytest.mark.parametrize("width", [16, 60, 64, 75, 76])
@pytest.mark.parametrize("checksum", [b"", b"=AAAA\r\n"])
def test_what_passes_pgpy_calls_encrypted(key: pgpy.PGPKey, width: int, checksum: bytes) -> None:
    encrypted = bytes(key.pubkey.encrypt(pgpy.PGPMessage.new("hi" * 99)))
    armour = armoured(encrypted, width=width, checksum=checksum)
    assert judge(message(armour=armour))[0] is None
    opinion = pgpy.PGPMessage.from_blob(encrypted)
    assert opinion.is_encrypted
    assert key.decrypt(opinion).message == "hi" * 99


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_what_is_cut_does_not_pass(key: pgpy.PGPKey, cut: int) -> None:
    encrypted = bytes(key.pubkey.encrypt(pgpy.PGPMessage.new("hi" * 99)))
    reply, _ = judge(message(armour=armoured(encrypted[:-cut])))
    assert reply is not None
