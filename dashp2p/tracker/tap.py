"""twistd's entry: the tracker's options, and the service made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService
from twisted.python.usage import UsageError

from dashp2p.options import (
    DaemonOptions,
    Option,
    choice,
    duration,
    endpoint,
    file_to_keep,
    hex_key,
    integer,
)
from dashp2p.tracker import limits
from dashp2p.tracker.redis_address import MEMORY, registry_place

if TYPE_CHECKING:
    from dashp2p.tracker.service import TrackerConfig

MAX_COUNT = 1_000_000


class Options(DaemonOptions):
    """Introduce peers, and hand out the right to fetch from the origin."""

    program: ClassVar[str] = "dashp2p-tracker"
    longdesc = "Introduces the viewers of a film to each other, and leases fetches to them."
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
            "registry",
            "Where peers and leases are remembered: in this process, or in a Redis that several "
            "trackers share; any of them then answers for any swarm.",
            registry_place,
            default=MEMORY,
            example="redis://localhost:6379/0",
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
            "HTTP connections from one public address; 0: any number. Loopback is exempt.",
            integer(0, MAX_COUNT),
            default="4096",
            example="64",
        ),
        Option(
            "ticket-key",
            "The key that signs peers' tickets; made when missing. Keep it over restarts, and give "
            "trackers that work together the same: peers remember its public half. Without it: "
            "ticket.key in the user's dashp2p configuration folder.",
            file_to_keep,
            example="/var/lib/dashp2p/ticket.key",
        ),
        Option(
            "admission",
            "Who may take part: anybody, or only who has a token of the film's owner (made by "
            "python -m dashp2p.tracker.token).",
            choice("open", "token"),
            default="open",
            example="token",
        ),
        Option(
            "admission-key",
            "The public key of an owner whose tokens admit.",
            hex_key,
            example="64 hex digits",
            repeat=True,
        ),
    )

    def postOptions(self) -> None:
        """Check what several options say together."""
        super().postOptions()
        by_token, keys = self["admission"] == "token", self["admission-key"]
        if by_token != bool(keys):
            raise UsageError(
                "--admission token needs --admission-key: python -m dashp2p.tracker.token "
                "--show-key prints it"
                if by_token
                else "--admission-key counts only with --admission token"
            )

    def config(self) -> TrackerConfig:
        """The options as the service takes them."""
        # Imported here: --help and --version need none of it.
        from dashp2p.content.keys import ticket_key_path
        from dashp2p.swarm.leases import LeaseRules
        from dashp2p.tracker.memory import RegistryRules
        from dashp2p.tracker.service import TrackerConfig

        interval_s: float = self["interval"]
        return TrackerConfig(
            listen=self["listen"],
            admin=self["admin"],
            shared=self["registry"],
            admin_hosts=self["admin-host"],
            as_local=frozenset(self["as-local"]),
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
            connections_per_address=self["connections-per-address"] or None,
            ticket_key=self["ticket-key"] or ticket_key_path(self.environ),
            owners=self["admission-key"] if self["admission"] == "token" else None,
        )


def makeService(options: Options, reactor: Any = None) -> IService:
    """The tracker, on the global reactor unless a test gives another."""
    from dashp2p.tracker.service import TrackerService

    if reactor is None:
        from twisted.internet import reactor as global_reactor

        from dashp2p.web.process import prepare_process

        reactor = global_reactor
        prepare_process(reactor)
    service: IService = TrackerService(options.config(), reactor)
    return service
