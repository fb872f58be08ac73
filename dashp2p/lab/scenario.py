"""What one experiment is: who is there, on which links, what befalls them, and what is to hold."""

from __future__ import annotations

import enum
import random

from attrs import evolve, field, frozen

from dashp2p.lab.loss import Loss

FAR_ROUND_TRIP_S = 0.040
PEER_ROUND_TRIP_S = 0.001
STAY_MIN_S = 2.0


class Variant(enum.Enum):
    """The same crowd three ways: with peers, straight from the origin, and one viewer alone."""

    PEERS = "peers"
    PLAIN = "plain"
    LONE = "lone"


class Player(enum.Enum):
    PLAIN = "plain"
    """A headless viewer that sends no CMCD and ignores CMSD: the hardest to serve."""
    CMCD = "cmcd"
    DASHJS = "dashjs"


class Ending(enum.Enum):
    """How a host leaves a crowd: none of them says goodbye."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    CUT = "cut link"


class Lie(enum.Enum):
    """How a peer lets its neighbours down; all say that they have the whole film."""

    EMPTY = "empty"
    """Refuses what it is asked for."""
    SILENT = "silent"
    """Answers nothing."""
    FALSE = "false"
    """Sends bytes that are not the film's."""
    SQUAT = "squat"
    """Answers nothing, takes every lease it can get, says that it is fetching, and never does."""


SQUAT_EVERY_S = 0.5
SQUATTED_AT_ONCE = 16
"""Segments asked for in one call; the tracker grants fewer."""


class Ablation(enum.Enum):
    """A mechanism that peers may be told to do without, to see what it is worth."""

    NO_LEASE = "no-lease"
    STORE_AND_FORWARD = "store-and-forward"
    NO_HEDGE = "no-hedge"
    IN_ORDER = "in-order"
    NO_CMSD = "no-cmsd"
    NO_PACING = "no-pacing"
    NO_PREFETCH = "no-prefetch"
    NO_REPLICAS = "no-replicas"


@frozen
class Links:
    """The links of the crowd: rates in bits per second; far puts 40 ms before origin and
    tracker.
    """

    origin_uplink_bps: float = 20e6
    uplink_bps: float = 20e6
    downlink_bps: float = 50e6
    far: bool = False
    loss: Loss = field(factory=Loss)
    lossy_peers: int | None = None
    """How many of the peers lose what they send; None for all."""
    nat: bool = False
    """All peers behind one address translator, tracker and origin outside."""


@frozen
class Churn:
    """Viewers that come and go: `crowd` at a time, each for an exponential time of mean
    `stay_s`.
    """

    crowd: int = 10
    stay_s: float = 20.0
    endings: tuple[Ending, ...] = (Ending.KILL, Ending.STOP, Ending.CUT)
    aimed: bool = True
    """Who leaves is, where it can be had within moments, a peer that is fetching from the origin
    under a lease: chance alone would hit few, and lost leases are what churn has to survive."""


@frozen
class Visit:
    """One viewer's time in the crowd; left_s is None for who stays to the end."""

    host: str
    arrives_s: float
    leaves_s: float | None = None
    ending: Ending = Ending.KILL


@frozen
class Targets:
    """What must hold, each None where the scenario asks nothing. "lone" is one plain viewer
    alone.
    """

    cps_max: float | None = None
    egress_over_lone_max: float | None = None
    mean_over_lone_min: float | None = None
    startup_median_over_lone_s: float | None = None
    startup_worst_over_lone_s: float | None = None
    stalls_max: int | None = None
    offload_min: float | None = None
    window_egress_over_need_max: float | None = None
    takeovers_min: int | None = None
    refusal_s_max: float | None = None
    """With the origin gone: how soon who asks for what nobody holds hears that it can't be had."""
    liars_kept_max: int | None = None
    """Links that honest peers still have with liars at the end."""

    def in_words(self) -> str:
        """One line for a person."""
        told = (
            ("CPS <= {:.2f}", self.cps_max),
            ("egress <= {:g} x lone", self.egress_over_lone_max),
            ("mean >= {:g} of lone", self.mean_over_lone_min),
            ("start-up <= lone + {:g}", self.startup_median_over_lone_s),
            ("worst <= lone + {:g}", self.startup_worst_over_lone_s),
            ("at most {} stalls", self.stalls_max),
            ("offload >= {:g}", self.offload_min),
            ("egress in 4 s <= {:g} x need", self.window_egress_over_need_max),
            ("takeovers >= {}", self.takeovers_min),
            ("what nobody holds refused within {:g} s", self.refusal_s_max),
            ("links kept with liars <= {}", self.liars_kept_max),
        )
        words = [text.format(value) for text, value in told if value is not None]
        return ", ".join(words).replace("at most 0 stalls", "no stall")


@frozen
class Scenario:
    """One row of the table of figures. Times in seconds from the first viewer's start."""

    name: str
    title: str
    number: int = 0
    peers: int = 10
    spacing_s: float = 0.0
    links: Links = field(factory=Links)
    film_s: float = 30.0
    ladder: str | None = None
    """As segment.sh takes it; None for its usual one."""
    player: Player = Player.PLAIN
    buffer_s: float = 12.0
    most_bps: float | None = None
    """The highest bitrate that all viewers but the last want: a small window, a data plan."""
    killed: int = 0
    killed_at_s: float = 0.0
    churn: Churn | None = None
    cold: bool = False
    """Daemons begin with the players, not before."""
    tracker_killed_at_s: float | None = None
    origin_killed_when_held: bool = False
    """See dashp2p.lab.origin_end; at the latest when the film has lasted as long as it is."""
    liars: tuple[Lie, ...] = ()
    """Peers beside the crowd's that do not play fair, one for each kind named, without viewers."""
    targets: Targets = field(factory=Targets)

    def visits(self, variant: Variant, seed: int) -> list[Visit]:
        """Who comes when and leaves how; the same for a seed, with peers or without."""
        if variant is Variant.LONE:
            return self.alone().visits(Variant.PLAIN, seed)
        if self.churn is not None:
            return churn_visits(self.churn, self.film_s, seed)
        leavers = set(random.Random(seed).sample(range(1, self.peers + 1), self.killed))
        return [
            Visit(
                host_name(number),
                (number - 1) * self.spacing_s,
                self.killed_at_s if number in leavers else None,
            )
            for number in range(1, self.peers + 1)
        ]

    def alone(self) -> Scenario:
        """One plain viewer with a whole link and the origin to itself, from beginning to end: what
        a crowd's viewers are compared with."""
        usual = Links()
        links = evolve(
            self.links, uplink_bps=usual.uplink_bps, loss=usual.loss, lossy_peers=None, nat=False
        )
        return evolve(
            self, peers=1, spacing_s=0.0, links=links, killed=0, churn=None, cold=False, liars=()
        )

    def loses(self, number: int) -> bool:
        """Whether the peer with this number (from 1) has a lossy link."""
        if self.links.loss.rate <= 0:
            return False
        return self.links.lossy_peers is None or number <= self.links.lossy_peers

    def wanted_bps(self, host: str) -> float | None:
        """The highest bitrate that the viewer there wants; None: as much as can be had."""
        return None if host == host_name(self.peers) else self.most_bps


def host_name(number: int) -> str:
    return f"p{number:02d}"


def churn_visits(churn: Churn, duration_s: float, seed: int) -> list[Visit]:
    """A crowd of constant size: who leaves is followed at once by somebody new, on another host."""
    rng = random.Random(seed)
    visits: list[Visit] = []
    for _ in range(churn.crowd):
        at = 0.0
        while at < duration_s:
            leaves = at + max(STAY_MIN_S, rng.expovariate(1 / churn.stay_s))
            last = leaves >= duration_s
            ending = rng.choice(churn.endings)
            visits.append(Visit("", at, None if last else leaves, ending))
            at = leaves
    visits.sort(key=lambda visit: visit.arrives_s)
    return [
        Visit(host_name(number), visit.arrives_s, visit.leaves_s, visit.ending)
        for number, visit in enumerate(visits, 1)
    ]
