from sandbox.relay import RESTART_SECONDS, STEADY_SECONDS, Restarts


def test_the_wait_doubles_while_it_fails_at_once() -> None:
    restarts, now, waits = Restarts(), 100.0, []
    for _ in range(4):
        restarts.started("a", now)
        wait = 0.0
        while not restarts.due("a", now + wait):
            wait += RESTART_SECONDS / 8
        waits.append(round(wait / RESTART_SECONDS))
        now += wait
    assert waits == [1, 2, 4, 8]


def test_one_that_ran_for_long_is_started_at_once() -> None:
    restarts = Restarts()
    for now in (0.0, RESTART_SECONDS):
        restarts.started("a", now)
        assert restarts.due("a", now + RESTART_SECONDS * 2.5)
    restarts.started("a", 10.0)
    assert restarts.due("a", 10.0 + STEADY_SECONDS)
    restarts.started("a", 30.0)
    assert restarts.due("a", 30.0 + RESTART_SECONDS * 2.5)


def test_daemons_are_counted_apart() -> None:
    restarts = Restarts()
    for name in ("a", "b"):
        restarts.started(name, 0.0)
    assert restarts.due("a", RESTART_SECONDS)
    assert restarts.due("b", RESTART_SECONDS)
