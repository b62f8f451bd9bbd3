"""A small honest name server: answers from a zone file over UDP and TCP, and can be broken."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

IN = dns.rdataclass.IN


@dataclass
class NameServer:
    """One server; what it has can be changed while it runs."""

    text: str
    """Its zone, as a zone file with `$ORIGIN`."""
    silent: bool = False
    code: dns.rcode.Rcode | None = None
    """Answers everything with this."""
    recursive: bool = False
    ttl: int | None = None
    """The TTL that is left of every answer, in a resolver."""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, wire: bytes, limit: int) -> bytes | None:
        """The response to a query; None for no response."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.asked.append((str(question.name), dns.rdatatype.to_text(question.rdtype)))
        if self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=self.recursive)
        if self.code is not None:
            response.set_rcode(self.code)
        elif self.recursive and not query.flags & dns.flags.RD:
            response.set_rcode(dns.rcode.REFUSED)
        else:
            self._fill(response, question)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: dns.message.Message, question: dns.rrset.RRset) -> None:
        zone, name = _zone(self.text), question.name
        assert zone.origin is not None
        if not name.is_subdomain(zone.origin):
            response.set_rcode(dns.rcode.REFUSED)
            return
        if not self.recursive:
            response.flags |= dns.flags.AA
        while True:
            found = zone.get_rrset(name, question.rdtype)
            if found is not None:
                response.answer.append(self._aged(found))
                return
            link = zone.get_rrset(name, "CNAME")
            if link is None:
                break
            response.answer.append(self._aged(link))
            name = link[0].target
            if not name.is_subdomain(zone.origin):
                return
        if not any(each.is_subdomain(name) for each in zone.nodes):
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = zone.get_rrset(zone.origin, "SOA")
        assert soa is not None
        response.authority.append(self._aged(soa))

    def _aged(self, found: dns.rrset.RRset) -> dns.rrset.RRset:
        ttl = found.ttl if self.ttl is None else self.ttl
        return dns.rrset.from_rdata_list(found.name, ttl, list(found))


@cache
def _zone(text: str) -> dns.zone.Zone:
    return dns.zone.from_text(text, relativize=False, check_origin=False)


def _pair(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port; 0 is any."""
    for _attempt in range(20):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, port))
        try:
            return udp, socket.create_server((address, udp.getsockname()[1]))
        except OSError:
            udp.close()
            if port:
                raise
    raise AssertionError("no port that is free for both")


@contextlib.contextmanager
def serving(servers: dict[str, NameServer]) -> Iterator[int]:
    """Run servers by their loopback addresses, all on one port, which this yields."""
    port, stack = 0, contextlib.ExitStack()
    with stack:
        for address, server in servers.items():
            udp, tcp = _pair(address, port)
            port = udp.getsockname()[1]
            for serve, listener in ((_serve_udp, udp), (_serve_tcp, tcp)):
                ended = threading.Event()
                thread = threading.Thread(target=serve, args=(listener, server, ended))
                thread.start()
                stack.callback(_end, listener, thread, ended)
        yield port


def _end(listener: socket.socket, thread: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    thread.join()
    listener.close()


def _serve_udp(listener: socket.socket, server: NameServer, ended: threading.Event) -> None:
    listener.settimeout(0.05)
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            wire, client = listener.recvfrom(65535)
            query = dns.message.from_wire(wire)
            answer = server.answer(wire, query.payload or 512)
            if answer is not None:
                listener.sendto(answer, client)


def _serve_tcp(listener: socket.socket, server: NameServer, ended: threading.Event) -> None:
    listener.settimeout(0.05)
    while not ended.is_set():
        with contextlib.suppress(TimeoutError, ConnectionError):
            client, _ = listener.accept()
            with client, client.makefile("rb") as stream:
                client.settimeout(5)
                (length,) = struct.unpack("!H", stream.read(2))
                answer = server.answer(stream.read(length), 65535)
                if answer is not None:
                    client.sendall(struct.pack("!H", len(answer)) + answer)
