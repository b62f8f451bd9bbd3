"""Real OpenPGP programs: what GnuPG, PGPy and Sequoia encrypt passes the gate, and what passes
the gate PGPy and Sequoia too call an encrypted message."""

import base64
import itertools
import os
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pysequoia
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysequoia import CipherSuite, Profile
from pysequoia.packet import PacketPile, Tag

from filtermail.gate.grammar import Direction
from tests.filtermail.gate.building import armoured, judge, message, octets
from tests.fuzz.choices import Choices
from tests.fuzz.messages import mutated, packet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PGPy's imports warn of what they deprecate
    import pgpy
    from pgpy.constants import CompressionAlgorithm, HashAlgorithm, KeyFlags, PubKeyAlgorithm
    from pgpy.constants import SymmetricKeyAlgorithm as Symmetric

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # PGPy uses what cryptography deprecates
    pytest.mark.slow,
]

SIZES = [0, 1, 100, 8_000, 500_000, 3_000_000]
BEGIN, END = b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----"

CHECKSUM = re.compile(rb"=[A-Za-z0-9+/]{4}")


def crlf(armour: bytes) -> bytes:
    return armour.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def passes(armour: bytes) -> bool:
    """Whether it passes in both directions, however it comes; what goes on has the same armour."""
    content = message(armour=crlf(armour))
    verdicts = []
    for direction, step in itertools.product(Direction, [0, 1000]):
        reply, out = judge(content, direction=direction, step=step)
        assert reply is not None or crlf(armour) in out
        verdicts.append(reply is None)
    assert len(set(verdicts)) == 1, "one way or in some pieces only"
    return verdicts[0]


def refusal(armour: bytes, direction: Direction = Direction.OUTGOING) -> str:
    """Why it does not pass."""
    reply, _ = judge(message(armour=crlf(armour)), direction=direction)
    assert reply is not None
    assert reply.code == 523
    return reply.lines[0]


class Gnupg:
    """GnuPG with a home of its own, and two keys in it."""

    def __init__(self, home: Path) -> None:
        self._environ = os.environ | {"GNUPGHOME": str(home), "LC_ALL": "C.UTF-8"}
        for user, algorithm in (("alice", "rsa2048"), ("bob", "future-default")):
            usage = ["encr,sign", "never"] if algorithm == "rsa2048" else ["default", "never"]
            self.run("--quick-generate-key", f"{user}@relay.example", algorithm, *usage)

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run it over `data` on standard input; what it writes."""
        done = subprocess.run(
            ["gpg", "--batch", "--no-tty", "--quiet", "--trust-model", "always",
             "--pinentry-mode", "loopback", "--passphrase", "secret", *arguments],
            input=data, capture_output=True, env=self._environ, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def encrypt(self, data: bytes, *options: str, to: tuple[str, ...] = ("alice",)) -> bytes:
        """Armour of `data`, which it reads from a pipe and so does not know the length of."""
        recipients = itertools.chain.from_iterable(("-r", f"{user}@relay.example") for user in to)
        command = ["--symmetric"] if "--symmetric" in options else ["--encrypt", *recipients]
        return self.run("--armor", *options, *command, data=data)

    def stop(self) -> None:
        """End the agent that it started."""
        subprocess.run(["gpgconf", "--kill", "all"], env=self._environ, check=True)


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gnupg]:
    with tempfile.TemporaryDirectory(prefix="postern-gpg-") as home:
        gnupg = Gnupg(Path(home))
        try:
            yield gnupg
        finally:
            gnupg.stop()


GPG_OPTIONS = {
    "as it is": (),
    "not compressed": ("--compress-algo", "none"),
    "zip": ("--compress-algo", "zip"),
    "a passphrase": ("--symmetric",),
    "a passphrase and AES256": ("--symmetric", "--cipher-algo", "AES256", "--rfc4880"),
    "no key IDs": ("--throw-keyids",),
    "RFC 4880": ("--rfc4880",),
    "OpenPGP": ("--openpgp",),
    "no MDC, which it has ignored since 2.2.8": ("--disable-mdc",),
}


@pytest.mark.parametrize("options", GPG_OPTIONS.values(), ids=GPG_OPTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_what_gnupg_encrypts_passes(gpg: Gnupg, size: int, options: tuple[str, ...]) -> None:
    assert passes(gpg.encrypt(octets(size), *options))


@pytest.mark.parametrize("options", [(), ("--throw-keyids",)])
def test_what_gnupg_encrypts_to_many_passes(gpg: Gnupg, options: tuple[str, ...]) -> None:
    armour = gpg.encrypt(octets(5000), *options, to=("alice", "bob", "alice"))
    assert tags(armour) == [Tag.PKESK, Tag.PKESK, Tag.SEIP]
    assert passes(armour)


def test_what_gnupg_encrypts_to_keys_and_a_passphrase_passes(gpg: Gnupg) -> None:
    armour = gpg.run(
        "--armor", "--symmetric", "--encrypt", "-r", "bob@relay.example", data=octets(99)
    )
    assert sorted(map(str, tags(armour))) == ["Tag.PKESK", "Tag.SEIP", "Tag.SKESK"]
    assert passes(armour)


def test_of_a_pipe_gnupg_makes_partial_lengths_and_of_a_file_definite_ones(
    gpg: Gnupg, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(octets(100_000))
    options = ["--compress-algo", "none", "--encrypt", "-r", "bob@relay.example"]
    for armour, partial in (
        (gpg.run("--armor", *options, data=file.read_bytes()), True),
        (gpg.run("--armor", "--output", "-", *options, str(file)), False),
    ):
        raw = gpg.run("--dearmor", data=armour)
        # Its session key's packet has a legacy header (RFC 9580, 4.2.2) with one octet of length.
        assert raw[0] == 0x80 | 1 << 2
        header = raw[2 + raw[1] :]
        assert header[0] == 0xC0 | 18
        assert (0xE0 <= header[1] < 0xFF) == partial
        assert passes(armour)


@pytest.mark.parametrize("size", SIZES)
def test_what_has_passed_gnupg_decrypts(gpg: Gnupg, size: int) -> None:
    reply, out = judge(message(armour=crlf(gpg.encrypt(octets(size)))))
    assert reply is None
    armour = out[out.index(BEGIN) : out.index(END) + len(END)]
    assert gpg.run("--decrypt", data=armour) == octets(size)


@pytest.mark.parametrize(
    ("options", "goes_out"),
    [
        (("--comment", "hello"), False),
        (("--emit-version",), True),
        (("--emit-version", "--comment", "a: b"), False),
    ],
)
def test_armour_headers_of_gnupg(gpg: Gnupg, options: tuple[str, ...], goes_out: bool) -> None:
    armour = gpg.encrypt(b"hi", *options)
    assert b"\n\n" in armour.partition(BEGIN + b"\n")[2]
    assert judge(message(armour=crlf(armour)), direction=Direction.INCOMING)[0] is None
    if goes_out:
        assert passes(armour)
    else:
        assert "a header in the PGP armour" in refusal(armour)


# GnuPG 2.4.7, --force-ocb; older ones cannot write it.
OCB = b"""-----BEGIN PGP MESSAGE-----

hF4DydpqQgbe8KcSAQdAq25Gz2X/e55/w4o0/qNOrEOcd53s82/39ovG9KmnoREw
UhnbzeFhxPeOWvoleSXjlGdyWpb2z1jgD8nYTfOE06/3GoTRCWmzc8r3u0CplfWF
1EkBCQIQAVzIwdKsrpQH+AIEnlwnf+FIs5lWNsJU5C7yjRag3AWSpcH1PS+cBnD8
ZGEwHVggbB/8n6/X3a8Keb2uJJOclorG3vrn
=+EZ1
-----END PGP MESSAGE-----
"""


@pytest.mark.parametrize("direction", Direction)
def test_no_ocb_packet_of_gnupg(gpg: Gnupg, direction: Direction) -> None:
    assert "an OpenPGP packet of type 20" in refusal(OCB, direction)
    if b"--force-ocb" in gpg.run("--dump-options").split():
        assert "an OpenPGP packet of type 20" in refusal(gpg.encrypt(b"hi", "--force-ocb"))


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_no_encryption_without_mdc(gpg: Gnupg, size: int) -> None:
    """RFC 2440 has no integrity protection: a SED packet, of type 9."""
    assert "an OpenPGP packet of type 9" in refusal(gpg.encrypt(octets(size), "--rfc2440"))


NOT_ENCRYPTED = {
    "signed": ("--sign",),
    "signed in clear": ("--clear-sign",),
    "a signature": ("--detach-sign",),
    "only compressed": ("--store",),
    "a key": ("--export", "alice"),
    "a secret key": ("--export-secret-keys", "alice"),
    "only armoured": ("--enarmor",),
}


@pytest.mark.parametrize("command", NOT_ENCRYPTED.values(), ids=NOT_ENCRYPTED)
@pytest.mark.parametrize("direction", Direction)
def test_what_gnupg_does_not_encrypt(
    gpg: Gnupg, command: tuple[str, ...], direction: Direction
) -> None:
    refusal(gpg.run("--armor", *command, data=b"the secret in clear\n"), direction)


# Sequoia.

SEQUOIA_KEYS = {
    "RFC 4880": (Profile.RFC4880, CipherSuite.Cv25519),
    "RFC 4880, NIST P-256": (Profile.RFC4880, CipherSuite.P256),
    "RFC 9580": (Profile.RFC9580, CipherSuite.Cv25519),
    "RFC 9580, X448": (Profile.RFC9580, CipherSuite.Cv448),
    "ML-KEM-768": (Profile.RFC9580, CipherSuite.MLDSA65_Ed25519),
    "ML-KEM-1024": (Profile.RFC9580, CipherSuite.MLDSA87_Ed448),
}


@pytest.fixture(scope="module")
def sequoia_keys() -> dict[str, pysequoia.Tsk]:
    return {
        name: pysequoia.Tsk.generate("alice", profile=profile, cipher_suite=suite)
        for name, (profile, suite) in SEQUOIA_KEYS.items()
    }


Keys = dict[str, pysequoia.Tsk]


@pytest.mark.parametrize("name", SEQUOIA_KEYS)
@pytest.mark.parametrize("size", SIZES)
def test_what_sequoia_encrypts_passes(sequoia_keys: Keys, size: int, name: str) -> None:
    key = sequoia_keys[name]
    armour = pysequoia.encrypt(octets(size), recipients=[key.extract_certificate()])
    assert passes(armour)
    assert pysequoia.decrypt(crlf(armour), decryptor=key.decryptor()).bytes == octets(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_sequoia_signs_and_encrypts_to_all_and_a_passphrase_passes(
    sequoia_keys: Keys, size: int
) -> None:
    armour = pysequoia.encrypt(
        octets(size),
        recipients=[key.extract_certificate() for key in sequoia_keys.values()],
        signer=sequoia_keys["RFC 9580"].signer(),
        passwords=["secret", "another"],
    )
    assert len(tags(armour)) == len(SEQUOIA_KEYS) + 2 + 1
    assert passes(armour)


@pytest.mark.parametrize("size", SIZES)
def test_what_sequoia_encrypts_by_passphrase_passes(size: int) -> None:
    assert passes(pysequoia.encrypt(octets(size), passwords=["secret"]))


@pytest.mark.parametrize("mode", [pysequoia.SignatureMode.INLINE, pysequoia.SignatureMode.CLEAR])
def test_what_sequoia_signs_only_does_not_pass(
    sequoia_keys: Keys, mode: pysequoia.SignatureMode
) -> None:
    refusal(pysequoia.sign(sequoia_keys["RFC 9580"].signer(), b"hi", mode=mode))


# PGPy.


@pytest.fixture(scope="module")
def pgpy_key() -> pgpy.PGPKey:
    made = pgpy.PGPKey.new(PubKeyAlgorithm.RSAEncryptOrSign, 2048)
    made.add_uid(
        pgpy.PGPUID.new("alice"),
        usage={KeyFlags.EncryptCommunications},
        hashes=[HashAlgorithm.SHA256],
        ciphers=[Symmetric.AES256],
        compression=[CompressionAlgorithm.Uncompressed],
    )
    return made


@pytest.mark.parametrize(
    "compression", [CompressionAlgorithm.Uncompressed, CompressionAlgorithm.ZIP]
)
@pytest.mark.parametrize("size", SIZES)
def test_what_pgpy_encrypts_passes(
    pgpy_key: pgpy.PGPKey, size: int, compression: CompressionAlgorithm
) -> None:
    clear = pgpy.PGPMessage.new(octets(size), compression=compression)
    encrypted = pgpy_key.pubkey.encrypt(clear, cipher=Symmetric.AES128)
    assert passes(str(encrypted).encode() + b"\n")


@pytest.mark.parametrize("cipher", [Symmetric.AES128, Symmetric.Camellia256, Symmetric.TripleDES])
def test_what_pgpy_encrypts_by_passphrase_passes(cipher: Symmetric) -> None:
    encrypted = pgpy.PGPMessage.new("hi").encrypt("secret", cipher=cipher)
    assert passes(str(encrypted).encode() + b"\n")


# Second opinions on what is built from real session keys, then damaged where no such key is:
# both programs read the inside of those, and stop at what the gate has no opinion on.


def tags(armour: bytes) -> list[Tag]:
    """The packets that Sequoia sees."""
    return [part.tag for part in PacketPile.from_bytes(armour)]


def sequoia_calls_encrypted(armour: bytes) -> bool:
    *keys, last = tags(armour)
    return last == Tag.SEIP and all(tag in (Tag.PKESK, Tag.SKESK) for tag in keys)


def pgpy_calls_encrypted(armour: bytes) -> bool:
    # It does not know armour whose padding has a line of its own, so it is given the octets.
    lines = [line for line in armour.splitlines()[2:-1] if not CHECKSUM.fullmatch(line)]
    return bool(pgpy.PGPMessage.from_blob(base64.b64decode(b"".join(lines))).is_encrypted)


@pytest.fixture(scope="module")
def real_keys(pgpy_key: pgpy.PGPKey, sequoia_keys: Keys) -> dict[int, list[bytes]]:
    """Bodies of session-key packets, by the version of the encrypted data that they go with."""
    old = bytes(pgpy_key.pubkey.encrypt(pgpy.PGPMessage.new("hi"), cipher=Symmetric.AES128))
    new = pysequoia.encrypt(
        b"hi",
        recipients=[key.extract_certificate() for key in sequoia_keys.values()],
        armor=False,
    )
    keys = {
        version: [part.body for part in PacketPile.from_bytes(raw) if part.tag == Tag.PKESK]
        for version, raw in ((1, old), (2, new))
    }
    assert len(keys[1]) == 1
    assert len(keys[2]) == len(SEQUOIA_KEYS)
    return keys


Opinion = Callable[[bytes], bool]


@pytest.mark.parametrize(
    ("version", "opinion"),
    [(1, pgpy_calls_encrypted), (1, sequoia_calls_encrypted), (2, sequoia_calls_encrypted)],
)
def test_what_passes_others_call_encrypted(
    real_keys: dict[int, list[bytes]], version: int, opinion: Opinion
) -> None:
    accepted = 0

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=24), st.integers(60, 3000), st.binary(max_size=24))
    def holds(frames: bytes, size: int, damage: bytes) -> None:
        nonlocal accepted
        choices = Choices(frames)
        number = choices.below(4)
        keys = b"".join(packet(choices, 1, body) for body in real_keys[version][:number])
        data = packet(choices, 18, bytes([version]) + octets(size))
        armour = armoured(keys + data, width=choices.pick([64, 76, 60, 16]))
        # The damage is at or behind the encrypted data: 4/3 of octets, and its lines' ends.
        intact = armour.rindex(b"\r\n", 0, len(BEGIN) + 4 + len(keys) * 4 // 3 * 4) + 2
        content = message(armour=armour[:intact] + mutated(Choices(damage), armour[intact:]))
        if judge(content)[0] is None:
            accepted += 1
            armour = content[content.index(BEGIN) : content.index(END) + len(END)] + b"\r\n"
            assert opinion(armour)

    holds()
    assert accepted > 30


@pytest.mark.parametrize("behind", [b"\xcb\x08b\0\0\0\0\0hi", b"\xd2\x05\x01abcd"])
def test_the_second_opinion_can_be_another_one(behind: bytes) -> None:
    """What the gate refuses for a packet behind the encrypted one, Sequoia does not call so."""
    armour = armoured(packet(Choices(b""), 18, b"\2" + octets(99)) + behind)
    assert not sequoia_calls_encrypted(armour)
    assert not passes(armour)
