"""Addresses that are offered to clients: random, free, and promised to a guest who was invited."""

import logging
import secrets
import string
from dataclasses import dataclass

from doveauth import policy
from doveauth.invitations import Redemption
from doveauth.policy import Refusal, Rules
from doveauth.registrar import Registrar, Terms
from relay.address import Address

log = logging.getLogger(__name__)

LOCAL_LENGTH = 9
"""Characters of a local part, where the rules allow that many (36^9 are about 10^14)."""
PASSWORD_LENGTH = 22
"""Characters of a password: 131 random bits."""
TRIES = 20
"""Random names that are tried until one is free."""
_LOCAL = string.ascii_lowercase + string.digits
_PASSWORD = string.ascii_letters + string.digits


class Refused(Exception):
    """No address is offered."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Offer:
    """An address and a password that its first login may use."""

    address: str
    password: str


class Offers:
    """Offers addresses of one relay. Nothing is stored but a guest's promise."""

    def __init__(self, registrar: Registrar, terms: Terms) -> None:
        self._registrar = registrar
        self._terms = terms
        self._invited = terms.rules.registration == "invite"

    async def offer(self, token: str, remote: str | None) -> Offer:
        """Return a free address for a client at `remote` that has an invitation's token, or "".

        Raises Refused, and NotNow where there is no answer at present.
        """
        with self._registrar.troubles():
            offer = await self._offer(token, remote)
        if isinstance(offer, Refusal):
            self._registrar.figures.refused(offer)
            log.info("no address was offered: %s", offer.value)
            raise Refused(offer)
        return offer

    async def _offer(self, token: str, remote: str | None) -> Offer | Refusal:
        if refusal := await self._registrar.closed_or_short():
            return refusal
        if self._invited and not token:
            return Refusal.NOT_INVITED
        if not await self._terms.offers.allow(remote):
            return Refusal.NETWORK
        offer: Offer | Refusal = Refusal.NO_FREE_NAME
        try:
            offer = await self._free(token)
        finally:
            # A guess at an invitation must not use up what a guest of the same network needs.
            if isinstance(offer, Refusal):
                await self._terms.offers.refund(remote)
        return offer

    async def _free(self, token: str) -> Offer | Refusal:
        """Return an offer that nobody has and nobody was promised."""
        for _ in range(TRIES):
            address, password = self._random()
            if policy.refusal(address, password, self._terms.rules):
                continue
            if await self._registrar.is_taken(address):
                continue
            if not self._invited:
                return Offer(str(address), password)
            match await self._terms.admissions.redeem(token, str(address), password):
                case Redemption.GRANTED:
                    return Offer(str(address), password)
                case Redemption.INVALID:
                    return Refusal.BAD_INVITATION
                case Redemption.PROMISED:
                    continue
        return Refusal.NO_FREE_NAME

    def _random(self) -> tuple[Address, str]:
        local, password = random_login(*login_lengths(self._terms.rules))
        return Address(local, self._terms.domain), password


def login_lengths(rules: Rules) -> tuple[int, int]:
    """Return the lengths of a local part and a password that satisfy the rules."""
    local = min(max(LOCAL_LENGTH, rules.username_min_length), rules.username_max_length)
    return local, max(PASSWORD_LENGTH, rules.password_min_length)


def random_login(local: int = LOCAL_LENGTH, password: int = PASSWORD_LENGTH) -> tuple[str, str]:
    """Return a random local part and password of so many characters."""
    return _text(_LOCAL, local), _text(_PASSWORD, password)


def _text(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
