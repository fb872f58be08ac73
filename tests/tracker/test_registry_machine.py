"""The registry against a naive model: who is told of whom, whoever comes, goes, moves and waits."""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import Any

from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker.addresses import private_address
from dashp2p.tracker.memory import MemoryRegistry, RegistryRules
from dashp2p.tracker.messages import Event
from tests.tracker.support import SWARM, announce_of, at, peer_id

HOSTS = ["198.51.100.7", "198.51.100.8", "203.0.113.9", "127.0.0.1", "10.0.0.5", "2001:db8::1"]
PRIVATE = ["10.1.0.1:4001", "10.1.0.2:4001", "192.168.7.7:4001"]
MOST = 6
RULES = RegistryRules(peers_per_swarm=MOST)


@define
class Known:
    host: str
    port: int
    private: tuple[str, ...]
    reached: bool | None
    until: float


def result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine that never suspends returns."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it suspended")


class RegistryMachine(RuleBasedStateMachine):
    """With few peers every visible one is told, so that the model can say exactly who."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = MemoryRegistry(RULES, Random(5))
        self.known: dict[int, Known] = {}
        self.now = 0.0

    def expire(self) -> None:
        self.known = {n: known for n, known in self.known.items() if known.until > self.now}

    def may_see(self, asker: Known, other: Known) -> bool:
        if other.port == 0:
            return False
        local = other.host.startswith(("127.", "10."))
        if asker.host == other.host:
            return local or other.host.startswith("2001:") or bool(other.private or other.reached)
        reached = local if other.reached is None else other.reached
        if other.host.startswith("127.") or not reached:
            return False
        return not local or asker.host.startswith(("127.", "10."))

    @rule(
        number=st.integers(1, 8),
        host=st.sampled_from(HOSTS),
        port=st.sampled_from([0, 4001, 4002]),
        private=st.lists(st.sampled_from(PRIVATE), max_size=2, unique=True),
        reached=st.sampled_from([None, True, False]),
    )
    def announce(
        self, number: int, host: str, port: int, private: list[str], reached: bool | None
    ) -> None:
        addresses = tuple(private_address(text) for text in private)
        welcome = result(
            self.registry.announce(
                announce_of(number, port=port, private=addresses), at(host), self.now, reached
            )
        )
        self.expire()
        before = self.known.pop(number, None)
        if before is None and len(self.known) >= MOST:
            del self.known[next(iter(self.known))]
        same = before is not None and (before.host, before.port, before.private) == (
            host,
            port,
            tuple(private),
        )
        was_reached = before.reached if before is not None and same else None
        me = Known(
            host, port, tuple(private), was_reached if reached is None else reached, self.now + 75
        )
        others = {n for n, known in self.known.items() if self.may_see(me, known)}
        self.known[number] = me
        told = [int.from_bytes(neighbour.peer, "big") for neighbour in welcome.peers]
        assert sorted(told) == sorted(others), (told, others)
        assert welcome.swarm_peers == len(self.known)
        for neighbour in welcome.peers:
            self.check_addresses(me, self.known[int.from_bytes(neighbour.peer, "big")], neighbour)

    def check_addresses(self, asker: Known, other: Known, neighbour: Any) -> None:
        told = {(neighbour.host, neighbour.port), *((a.host, a.port) for a in neighbour.also)}
        public = (other.host, other.port)
        if asker.host != other.host:
            assert told == {public}, "a private address was told outside its site"
        elif public in told:
            assert other.reached or other.host.startswith(("127.", "10.", "2001:"))

    @rule(number=st.integers(1, 8))
    def stop(self, number: int) -> None:
        result(
            self.registry.announce(
                announce_of(number, event=Event.STOPPED), at("127.0.0.1"), self.now, None
            )
        )
        self.expire()
        self.known.pop(number, None)

    @rule(
        number=st.integers(1, 8),
        host=st.sampled_from(HOSTS),
        port=st.sampled_from([4001, 4002]),
        reached=st.booleans(),
    )
    def dialled(self, number: int, host: str, port: int, reached: bool) -> None:
        result(self.registry.dialled(SWARM, peer_id(number), at(host), port, reached))
        known = self.known.get(number)
        if known is not None and (known.host, known.port) == (host, port):
            known.reached = reached

    @rule(step_s=st.sampled_from([1.0, 30.0, 50.0, 80.0]))
    def wait(self, step_s: float) -> None:
        self.now += step_s
        result(self.registry.expire(self.now))
        self.expire()

    @invariant()
    def as_many_are_remembered_as_are_there(self) -> None:
        figures = result(self.registry.counters(self.now))
        assert figures["peers"] == len(self.known)
        assert figures["swarms"] == (1 if self.known else 0)


class RegistryMachineTests(SynchronousTestCase):
    def test_the_registry_tells_as_the_naive_model_does(self) -> None:
        run_state_machine_as_test(
            RegistryMachine, settings=settings(settings.default, stateful_step_count=30)
        )
