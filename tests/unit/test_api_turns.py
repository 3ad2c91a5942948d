"""The order of requests when more arrive than can be answered at the same time."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from pulp_api.fairness.turns import Turns


@dataclass(eq=False)
class Asked:
    """A request that notes in `begun` that it has begun."""

    name: str
    clients: tuple[Hashable, ...]
    begun: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.begun.append(self.name)


class Scene:
    """Requests of several clients, and a clock."""

    def __init__(self, at_once: int) -> None:
        self.now_s = 0.0
        self.begun: list[str] = []
        self.turns = Turns(at_once, lambda: self.now_s)

    def ask(self, name: str, *clients: Hashable) -> Asked:
        asked = Asked(name, clients, self.begun)
        self.turns.ask(asked)
        return asked

    def end(self, asked: Asked, took_s: float) -> None:
        self.now_s += took_s
        self.turns.end(asked)


def test_only_so_many_are_answered_at_once_and_the_others_in_their_order() -> None:
    scene = Scene(2)
    first, _, _, _ = (scene.ask(name, "ada") for name in "abcd")
    assert scene.begun == ["a", "b"]
    scene.end(first, 0.1)
    scene.end(first, 0.1)  # ending it twice counts once
    assert scene.begun == ["a", "b", "c"]


def test_who_took_least_goes_first_however_many_the_others_are() -> None:
    scene = Scene(1)
    last = scene.ask("flood 0", "mallory")
    flood = [scene.ask(f"flood {number}", "mallory") for number in range(1, 100)]
    honest = scene.ask("honest", "ada")
    scene.end(last, 0.05)
    assert scene.begun == ["flood 0", "honest"]
    scene.end(honest, 0.01)
    assert scene.begun[-1] == "flood 1"
    again = scene.ask("again", "ada")
    scene.end(flood[0], 0.05)
    assert scene.begun[-1] == "again"
    scene.end(again, 0.01)


def test_a_login_counts_from_all_addresses_and_an_address_with_all_logins() -> None:
    scene = Scene(1)
    running = scene.ask("busy", "192.0.2.99", "mallory")
    asked = {}
    for number in range(20):
        asked[f"login {number}"] = scene.ask(f"login {number}", f"192.0.2.{number}", "mallory")
        asked[f"address {number}"] = scene.ask(f"address {number}", "198.51.100.1", f"guess {number}")
    for _ in range(10):
        scene.end(running, 0.1)
        running = asked[scene.begun[-1]]
    scene.ask("honest", "203.0.113.5", "ada")
    scene.end(running, 0.1)
    assert scene.begun[-1] == "honest"


def test_what_a_client_used_while_nobody_waited_does_not_count_against_it() -> None:
    scene = Scene(8)
    for number in range(200):  # as when Postgres was far away, and nobody else was there
        for request in [scene.ask(f"alone {number}", "127.0.0.1", "ada") for _ in range(8)]:
            scene.end(request, 0.3)
    flood = [scene.ask(f"flood {number}", f"192.0.2.{number}", "mallory") for number in range(100)]
    scene.ask("honest", "127.0.0.1", "ada")
    scene.end(flood[0], 0.1)
    assert scene.begun[-1] == "honest"


def test_a_client_that_comes_back_does_not_make_up_for_the_time_it_was_away() -> None:
    scene = Scene(1)
    running = scene.ask("bob 0", "bob")
    asked = {f"ada {number}": scene.ask(f"ada {number}", "ada") for number in range(100)}
    asked |= {f"bob {number}": scene.ask(f"bob {number}", "bob") for number in range(1, 100)}
    for _ in range(100):
        scene.end(running, 0.1)
        running = asked[scene.begun[-1]]
    asked |= {f"eve {number}": scene.ask(f"eve {number}", "eve") for number in range(100)}
    for _ in range(30):
        scene.end(running, 0.1)
        running = asked[scene.begun[-1]]
    shares = Counter(name.split()[0] for name in scene.begun[-30:])
    assert set(shares) == {"ada", "bob", "eve"}
    assert max(shares.values()) - min(shares.values()) <= 1


def test_time_is_shared_and_not_the_number_of_requests() -> None:
    scene = Scene(1)
    took_s = {"ada": 0.05, "bob": 0.25}
    asked = {f"{name} {number}": scene.ask(f"{name} {number}", name) for number in range(100) for name in took_s}
    used_s = dict.fromkeys(took_s, 0.0)
    for _ in range(60):
        name = scene.begun[-1].split()[0]
        used_s[name] += took_s[name]
        scene.end(asked[scene.begun[-1]], took_s[name])
    assert abs(used_s["ada"] - used_s["bob"]) <= 0.25


def test_one_that_waits_for_something_keeps_nobody_waiting_for_long() -> None:
    scene = Scene(1)
    scene.ask("stream", "ada")
    scene.ask("next", "bob")
    scene.turns.relieve(0.5)  # this process is busy: another request would not end any sooner
    assert scene.begun == ["stream"]
    scene.turns.relieve(0.0)
    assert scene.begun == ["stream", "next"]
    scene.ask("third", "bob")
    scene.now_s += 1.0
    scene.turns.relieve(0.5)
    assert scene.begun == ["stream", "next", "third"]


def test_one_whose_client_has_gone_is_not_begun() -> None:
    scene = Scene(1)
    busy = scene.ask("busy", "ada")
    gone = scene.ask("gone", "bob")
    scene.ask("next", "bob")
    scene.turns.give_up(gone)
    scene.turns.give_up(busy)  # it has begun, so only its end counts
    scene.end(busy, 0.1)
    assert scene.begun == ["busy", "next"]
