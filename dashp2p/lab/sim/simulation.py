"""A whole crowd: hosts, peers, players, origin and tracker, and what befalls them when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from attrs import define, evolve, field, frozen

from dashp2p.content.entry import Entry
from dashp2p.lab.scenario import (
    FAR_ROUND_TRIP_S,
    PEER_ROUND_TRIP_S,
    Lie,
    Scenario,
    Variant,
    Visit,
    host_name,
)
from dashp2p.lab.sim.clock import Clock
from dashp2p.lab.sim.departures import Departures
from dashp2p.lab.sim.exchange import Listeners
from dashp2p.lab.sim.film import LADDER_BPS, Film, make_film
from dashp2p.lab.sim.flow import Path
from dashp2p.lab.sim.incoming import size_of
from dashp2p.lab.sim.liar import LyingNeighbourhood
from dashp2p.lab.sim.membership import Membership
from dashp2p.lab.sim.origin import HttpClient, Origin
from dashp2p.lab.sim.peer import Peer
from dashp2p.lab.sim.pipes import Host, Wiring
from dashp2p.lab.sim.player import Player
from dashp2p.lab.sim.proxy import DirectProxy, PeerProxy
from dashp2p.lab.sim.tracker import Tracker, TrackerClient
from dashp2p.swarm.policy import Policy

LEAD_S = 5.0
"""Daemons are up so long before the first viewer comes, unless the start is cold."""
COLD_S = 0.2
NEAR_ROUND_TRIP_S = 0.0005
TRACKER_BPS = 1e9


@frozen
class Settings:
    """One run. Sizes in bytes, rates in bits per second, times in seconds."""

    scenario: Scenario
    seed: int = 1
    variant: Variant = Variant.PEERS
    policy: Policy = field(factory=Policy)
    ladder_bps: tuple[int, ...] = LADDER_BPS
    block_size_bytes: int = 16 * 1024
    quantum_bytes: int = 16 * 1024
    ramp_s: float = 0.0
    """The first crowd of a churn comes within so long, instead of all at once."""
    origin_down_s: tuple[float, float] | None = None
    """The origin answers nobody between these times after the first viewer came."""
    eager_hashes: bool = False
    tells: bool = False
    """Players send CMCD."""
    buffer_s: float | None = None
    """What they keep, instead of the scenario's."""
    upload_rate: float | None = 1.0
    """What peers are given as --upload-rate, as a share of their uplink; None for nothing."""
    grace_s: float = 30.0
    """How long after the film should be over a viewer may still stall."""


def ladder_of(scenario: Scenario) -> tuple[int, ...]:
    """The video rungs of a scenario in bits per second."""
    if scenario.ladder is None:
        return LADDER_BPS
    return tuple(int(rung.split(":")[1]) * 1000 for rung in scenario.ladder.split(","))


@define(eq=False)
class Seat:
    """One visit: host, player, and (with peers) the peer between them. `left`: it is over."""

    visit: Visit
    host: Host
    player: Player | None = None
    peer: Peer | None = None
    membership: Membership | None = None
    proxy: PeerProxy | None = None
    left: bool = False


@define(eq=False)
class Simulation:
    """Build it, `run` it, read it."""

    settings: Settings
    clock: Clock = field(factory=Clock)
    seats: list[Seat] = field(factory=list)
    liars: list[Peer] = field(factory=list)
    """Peers without players that come before the crowd and let it down."""
    film: Film = field(init=False)
    path: Path = field(init=False)
    wiring: Wiring = field(init=False)
    origin: Origin = field(init=False)
    tracker: Tracker = field(init=False)
    listeners: Listeners = field(factory=Listeners)
    rng: random.Random = field(init=False)
    opens_at: float = 0.0
    """When the first viewer may come."""
    departures: Departures = field(init=False)
    fetched: dict[str, int] = field(factory=dict)
    """Bytes that peers began to fetch from the origin, by reason."""
    avoidable: dict[str, int] = field(factory=dict)
    """Those of them that another living peer had, or was fetching."""
    took_s: float = 0.0
    """Real time of the run."""
    after_step: Callable[[Peer], None] | None = None
    """Called after each step of each peer."""
    watch: Callable[[Simulation], None] | None = None
    """Called twenty times a second."""
    progress: Callable[[float], None] | None = None
    """Told the share of the longest time that has passed, each simulated second."""

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        scenario, links = settings.scenario, settings.scenario.links
        self.rng = random.Random(f"sim {settings.seed}")
        self.film = make_film(
            settings.seed, scenario.film_s, settings.ladder_bps, settings.block_size_bytes
        )
        self.path = Path(self.clock, random.Random(f"net {settings.seed}"), settings.quantum_bytes)
        round_trip_s = FAR_ROUND_TRIP_S if links.far else NEAR_ROUND_TRIP_S
        self.wiring = Wiring(PEER_ROUND_TRIP_S / 2)
        far_s = round_trip_s / 2 - PEER_ROUND_TRIP_S / 4
        origin = Host.make("origin", links.origin_uplink_bps, 1e9, max(0.0, far_s))
        self.origin = Origin(origin)
        tracker = Host.make("tracker", TRACKER_BPS, TRACKER_BPS, max(0.0, far_s))
        self.tracker = Tracker(tracker, random.Random(f"tracker {settings.seed}"), self._time)
        self.departures = Departures(self)
        self.opens_at = 0.0 if scenario.cold else LEAD_S
        for number, visit in enumerate(scenario.visits(settings.variant, settings.seed), 1):
            self._seat(number, self._ramped(visit))
        if settings.variant is Variant.PEERS:
            for number, lie in enumerate(scenario.liars, len(self.seats) + 1):
                self._plan_liar(number, lie)
        self._faults()

    def _time(self) -> float:
        return self.clock.now

    # --- building ---------------------------------------------------------------------------

    def _ramped(self, visit: Visit) -> Visit:
        later_s = self.rng.random() * self.settings.ramp_s if visit.arrives_s == 0 else 0.0
        if not later_s:
            return visit
        leaves_s = None if visit.leaves_s is None else visit.leaves_s + later_s
        return evolve(visit, arrives_s=later_s, leaves_s=leaves_s)

    def _seat(self, number: int, visit: Visit) -> None:
        scenario = self.settings.scenario
        links = scenario.links
        loss = links.loss.rate if scenario.loses(number) else 0.0
        if self.settings.variant is Variant.LONE:
            loss = 0.0
        host = Host.make(
            visit.host, links.uplink_bps, links.downlink_bps, PEER_ROUND_TRIP_S / 4, loss
        )
        self.wiring.peers.add(host.name)
        seat = Seat(visit, host)
        self.seats.append(seat)
        at = self.opens_at + visit.arrives_s
        if self.settings.variant is Variant.PEERS:
            lead_s = 0.0 if scenario.cold else LEAD_S - self.rng.random()
            self.clock.post(at - lead_s, self._start_peer, seat, number)
            self.clock.post(at + (COLD_S if scenario.cold else 0.0), self._start_player, seat)
        else:
            self.clock.post(at, self._start_direct, seat)
        self.departures.plan(seat)

    def _start_peer(self, seat: Seat, number: int) -> None:
        if seat.left:
            return
        seat.peer, seat.membership = self._make_peer(number, seat.host, None)
        seat.peer.on_fetch = self._count_fetch
        seat.peer.after_step = self.after_step
        seat.proxy = PeerProxy(seat.peer)
        seat.membership.start()

    def _plan_liar(self, number: int, lie: Lie) -> None:
        links = self.settings.scenario.links
        host = Host.make(
            host_name(number), links.uplink_bps, links.downlink_bps, PEER_ROUND_TRIP_S / 4
        )
        self.wiring.peers.add(host.name)
        self.clock.post(max(0.0, self.opens_at - LEAD_S), self._start_liar, number, host, lie)

    def _start_liar(self, number: int, host: Host, lie: Lie) -> None:
        peer, membership = self._make_peer(number, host, lie)
        self.liars.append(peer)
        membership.start()
        if lie is Lie.SQUAT and isinstance(peer.neighbourhood, LyingNeighbourhood):
            peer.neighbourhood.squat()

    def _make_peer(self, number: int, host: Host, lie: Lie | None) -> tuple[Peer, Membership]:
        settings, seed = self.settings, self.settings.seed
        share = settings.upload_rate
        limit_bps = None if share is None else share * host.uplink.rate_bps
        peer_id_holder: list[TrackerClient] = []
        peer = Peer(
            number,
            self.film,
            self.path,
            host,
            self.wiring,
            self.listeners,
            self.origin,
            settings.policy,
            random.Random(f"peer {seed} {number}"),
            lambda call, answered: peer_id_holder[0].lease(call, answered),
            upload_limit_bps=limit_bps,
            eager_hashes=settings.eager_hashes,
            lie=lie,
        )
        client = TrackerClient(self.path, self.wiring, host, self.tracker, peer.peer_id)
        peer_id_holder.append(client)
        uplink = 0 if limit_bps is None else int(limit_bps)
        return peer, Membership(peer, client, random.Random(f"member {seed} {number}"), uplink)

    def _start_player(self, seat: Seat) -> None:
        if seat.left or seat.proxy is None:
            return
        tells = self.settings.tells
        seat.player = Player(self.clock, self.film, seat.proxy, self._buffer_s, tells)
        seat.player.start()

    def _start_direct(self, seat: Seat) -> None:
        http = HttpClient(self.path, self.wiring, seat.host, self.origin)
        seat.player = Player(self.clock, self.film, DirectProxy(http), self._buffer_s)
        seat.player.start()

    @property
    def _buffer_s(self) -> float:
        given_s = self.settings.buffer_s
        return self.settings.scenario.buffer_s if given_s is None else given_s

    # --- what befalls them ------------------------------------------------------------------

    def _faults(self) -> None:
        scenario = self.settings.scenario
        if scenario.tracker_killed_at_s is not None:
            at = self.opens_at + scenario.tracker_killed_at_s
            self.clock.post(at, self.tracker.host.kill)
        if self.settings.origin_down_s is not None:
            begin_s, end_s = self.settings.origin_down_s
            self.clock.post(self.opens_at + begin_s, self.origin.host.kill)
            self.clock.post(self.opens_at + end_s, self.origin.host.revive)

    def _count_fetch(self, peer: Peer, entry: Entry, blocks: int, why: str) -> None:
        """Was that fetch needed? Not where somebody who lives has the blocks or gets them."""
        had = 0
        for seat in self.seats:
            other = seat.peer
            if other is not None and other is not peer and not seat.left and other.alive:
                had |= other.has_or_fetches(entry)
            if other is peer and seat.left:
                return  # cut off: nothing of it leaves the origin
        self.fetched[why] = self.fetched.get(why, 0) + size_of(entry, blocks)
        self.avoidable[why] = self.avoidable.get(why, 0) + size_of(entry, blocks & had)

    @property
    def peers(self) -> list[Peer]:
        """All peers that were ever started."""
        return [seat.peer for seat in self.seats if seat.peer is not None]

    # --- running ----------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether everybody who stays has seen the film."""
        return self.settings.scenario.churn is None and all(
            seat.left
            or seat.visit.leaves_s is not None
            or (seat.player is not None and seat.player.finished_at is not None)
            for seat in self.seats
        )

    @property
    def ends_at(self) -> float:
        """When it ends at the latest."""
        scenario = self.settings.scenario
        if scenario.churn is not None:  # the film's length is the experiment's
            return self.opens_at + scenario.film_s
        last = max(seat.visit.arrives_s for seat in self.seats if seat.visit.leaves_s is None)
        return self.opens_at + last + scenario.film_s + self.settings.grace_s

    def run(self) -> None:
        """Until everybody has seen the film, or should have long ago."""
        began = time.perf_counter()
        if self.watch is not None:
            self.clock.post(0.0, self._watch)
        if self.progress is not None:
            self.clock.post(0.0, self._tell_progress)
        self.clock.run_until(self.ends_at, lambda: self.over)
        for seat in self.seats:
            if seat.player is not None:
                seat.player.stop()
        self.took_s = time.perf_counter() - began

    def _watch(self) -> None:
        assert self.watch is not None
        self.watch(self)
        self.clock.post(self.clock.now + 0.05, self._watch)

    def _tell_progress(self) -> None:
        assert self.progress is not None
        self.progress(min(1.0, self.clock.now / self.ends_at))
        self.clock.post(self.clock.now + 1.0, self._tell_progress)
