import socket

from sandbox.ports import choose_ports, is_free


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not is_free(listener.getsockname()[1])


def test_the_preferred_port_is_taken_unless_it_is_busy() -> None:
    with socket.socket() as listener, socket.socket() as other:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        busy = listener.getsockname()[1]
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]
        other.close()
        chosen = choose_ports({"imaps": busy, "smtps": free}, ["imaps", "smtps", "gateway"])
    assert chosen["smtps"] == free
    assert chosen["imaps"] != busy
    assert len(set(chosen.values())) == 3


def test_all_chosen_ports_differ() -> None:
    chosen = choose_ports(None, [str(number) for number in range(50)])
    assert len(set(chosen.values())) == 50
