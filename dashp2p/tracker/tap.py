"""twistd's entry: the tracker's options, and the service made of them."""

from __future__ import annotations

from typing import ClassVar

from twisted.application.service import IService

from dashp2p.options import DaemonOptions, Option, duration, endpoint, integer
from dashp2p.swarm.leases import LeaseRules
from dashp2p.tracker import limits
from dashp2p.tracker.memory import RegistryRules
from dashp2p.tracker.service import PROGRAM, TrackerConfig, TrackerService

MAX_COUNT = 1_000_000


class Options(DaemonOptions):
    """Options of dashp2p-tracker."""

    program: ClassVar[str] = PROGRAM
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "listen",
            "Where peers announce themselves.",
            endpoint,
            default="tcp:7000",
            example="tcp:7000",
            variables=("PORT",),
        ),
        Option(
            "interval",
            "How often a peer of a small swarm announces itself; in large ones up to 2 min. It is "
            "forgotten after two and a half intervals of silence.",
            duration,
            default="30s",
            example="30s",
        ),
        Option(
            "peers-per-swarm",
            "Peers of one swarm that are remembered; who was silent longest gives way.",
            integer(1, MAX_COUNT),
            default=str(limits.PEERS_PER_SWARM),
            example="2000",
        ),
        Option(
            "max-peers",
            "Peers that are remembered in all swarms together.",
            integer(1, MAX_COUNT),
            default=str(limits.PEERS),
            example="20000",
        ),
        Option(
            "max-swarms",
            "Swarms that are remembered; further ones are refused.",
            integer(1, MAX_COUNT),
            default=str(limits.SWARMS),
            example="100",
        ),
        Option(
            "leases-per-peer",
            "Segments that one peer may be fetching for the others at a time.",
            integer(1, 64),
            default="4",
            example="4",
        ),
        Option(
            "peers-per-address",
            "Peers of one swarm behind one public address (a school's NAT is one); 0: any number.",
            integer(0, MAX_COUNT),
            default=str(limits.PEERS_PER_ADDRESS),
            example="500",
        ),
        Option(
            "calls-per-address",
            "Calls a second from one public address in the long run. Loopback is exempt.",
            integer(1, MAX_COUNT),
            default="100",
            example="20",
        ),
        Option(
            "connections-per-address",
            "HTTP connections from one public address. Loopback is exempt.",
            integer(1, MAX_COUNT),
            default="4096",
            example="64",
        ),
    )

    def config(self) -> TrackerConfig:
        """The options as the service takes them."""
        interval_s: float = self["interval"]
        return TrackerConfig(
            listen=self["listen"],
            admin=self["admin"],
            registry=RegistryRules(
                peers_per_swarm=self["peers-per-swarm"],
                peers=self["max-peers"],
                swarms=self["max-swarms"],
                peers_per_address=self["peers-per-address"],
                interval_shortest_s=interval_s,
                interval_longest_s=max(interval_s, limits.INTERVAL_LONGEST_S),
                leases=LeaseRules(most_live_per_peer=self["leases-per-peer"]),
            ),
            calls_per_address=self["calls-per-address"],
            connections_per_address=self["connections-per-address"],
        )


def makeService(options: Options) -> IService:
    """The tracker's service; everything was checked with the options."""
    from twisted.internet import reactor

    return TrackerService(options.config(), reactor)
