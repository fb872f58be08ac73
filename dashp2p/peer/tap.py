"""Options of `twistd dashp2p-peer`, and the service that they make."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService

from dashp2p.options import (
    DaemonOptions,
    Option,
    bit_rate,
    byte_size,
    choice,
    directory_to_fill,
    endpoint,
    hex_key,
    host_name,
    http_url,
    integer,
    local_endpoint,
    readable_directory,
    readable_file,
    text,
    web_origin,
)

if TYPE_CHECKING:
    from dashp2p.peer.service import PeerSettings


class Options(DaemonOptions):
    """See `twistd dashp2p-peer --help`."""

    program: ClassVar[str] = "dashp2p-peer"
    synopsis = "Usage: twistd [-n] dashp2p-peer --origin URL --tracker URL [options]"
    longdesc = (
        "Serves a player on this machine and shares what it plays with other peers. Open "
        "http://127.0.0.1:8001/client/ once it runs, or point any DASH or HLS player at "
        "http://127.0.0.1:8001/dash/dash.mpd."
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "listen",
            "Where players ask.",
            local_endpoint,
            default="tcp:8001:interface=127.0.0.1",
            example="tcp:8001:interface=127.0.0.1",
            variables=("PORT",),
        ),
        Option(
            "exchange",
            "Where other peers connect. Port 0 takes any free one.",
            endpoint,
            default="tcp:0",
            example="tcp:4001",
        ),
        Option(
            "origin",
            "The folder of the presentation at the origin.",
            http_url,
            default="http://127.0.0.1:9000/dash",
            example="http://origin.example:9000/dash",
            variables=("ORIGIN",),
        ),
        Option(
            "tracker",
            "The tracker. Without one the peer only caches.",
            http_url,
            example="http://tracker.example:7000",
            variables=("TRACKER",),
        ),
        Option(
            "cache",
            "The folder of the cache and of this peer's identity. Each peer needs its own.",
            directory_to_fill,
            default="~/.cache/dashp2p",
            example="/var/lib/dashp2p",
        ),
        Option(
            "cache-size",
            "How much of the disk the cache may take.",
            byte_size,
            default="2GiB",
            example="2GiB",
        ),
        Option(
            "mode",
            "What is shared with other viewers: full takes and gives, download-only takes and "
            "gives nothing, off does neither and tells nobody of this peer. See docs/privacy.md.",
            choice("full", "download-only", "off"),
            default="full",
            example="download-only",
        ),
        Option(
            "upload-rate",
            "The most that is sent to other peers. Without it: as much as the line takes.",
            bit_rate,
            example="20Mbit",
        ),
        Option(
            "origin-key",
            "The origin's public key. Without it the first that the origin shows is kept.",
            hex_key,
            example="64 hex digits",
        ),
        Option(
            "tracker-key",
            "The public key by which the tracker's tickets are checked. Without it the first that "
            "the tracker shows is kept.",
            hex_key,
            example="64 hex digits",
        ),
        Option(
            "token",
            "What the film's owner gave you, where the tracker admits by token. Others on this "
            "machine may see a command line; --token-file hides it.",
            text,
        ),
        Option(
            "token-file",
            "A file with that token.",
            readable_file,
            example="/etc/dashp2p/token",
        ),
        Option(
            "link-security",
            "Whether links to other peers are encrypted and prove who is at the other end. All "
            "peers of a film must agree. Films are checked block by block either way.",
            choice("tls", "off"),
            default="tls",
            example="off",
        ),
        Option(
            "unsigned",
            "What players get of files that no index which the origin signed vouches for (there is "
            "none, or it is refused, or does not list them): pass hands on what the origin has, "
            "unproven; refuse gives them nothing.",
            choice("pass", "refuse"),
            default="pass",
            example="refuse",
        ),
        Option(
            "ca",
            "A private certificate authority for https, in PEM.",
            readable_file,
            example="/etc/ssl/our-ca.pem",
        ),
        Option(
            "allow-host",
            "Another name by which players may reach this peer.",
            host_name,
            example="tv.local",
            repeat=True,
        ),
        Option(
            "allow-origin",
            "A site whose pages may use this peer.",
            web_origin,
            example="https://films.example",
            repeat=True,
        ),
        Option(
            "links-per-address",
            "How many links one address may dial to this peer, of 50 in all; 0: as many as it "
            "likes. Behind one router many peers are one address. This machine is exempt.",
            integer(0, 1_000_000),
            default="32",
            example="10",
        ),
        Option(
            "connections-per-address",
            "How many connections players at one address may hold; 0: as many as they like. This "
            "machine is exempt.",
            integer(0, 1_000_000),
            default="64",
            example="16",
        ),
        Option(
            "client",
            "The folder of the player page, if it is not the one that came with the program.",
            readable_directory,
            example="public/client",
        ),
        Option(
            "ablate",
            "For experiments: mechanisms to do without, separated by commas: no-lease, "
            "store-and-forward, no-hedge, in-order, no-cmsd, no-pacing, no-prefetch, "
            "no-replicas.",
            text,
            default="",
            example="no-lease",
        ),
    )

    def postOptions(self) -> None:
        """Check what several options say together."""
        from twisted.python.usage import UsageError

        from dashp2p.swarm.policy import Policy

        super().postOptions()
        try:
            Policy.without(ablations(self["ablate"]))
        except ValueError as error:
            raise UsageError(f"--ablate: {error}") from None
        self.token()

    def token(self) -> str | None:
        """The owner's token, wherever it was given. Raises UsageError for a file that is none."""
        from twisted.python.usage import UsageError

        from dashp2p.content.limits import JWT_MAX_CHARS

        token: str | None = self["token"]
        file = self["token-file"]
        if file is not None:
            with file.open("rb") as opened:
                token = opened.read(JWT_MAX_CHARS + 1).decode("ascii", "replace").strip()
        if token is not None and (
            len(token) > JWT_MAX_CHARS or not re.fullmatch(r"[\w.-]+", token, re.ASCII)
        ):
            source = "--token" if file is None else f"--token-file {file}"
            raise UsageError(f"{source}: that is no token as dashp2p.tracker.token makes them")
        return token


def ablations(names: str) -> frozenset[str]:
    """The names in a comma-separated list."""
    return frozenset(name.strip() for name in names.split(",") if name.strip())


def settings_of(options: Options) -> PeerSettings:
    """The options, typed."""
    # Imported here: --help and --version need none of it.
    from dashp2p.peer.service import PeerSettings

    return PeerSettings(
        listen=options["listen"],
        exchange=options["exchange"],
        origin_url=options["origin"],
        tracker_url=options["tracker"],
        cache=options["cache"],
        cache_bytes=options["cache-size"],
        upload_bps=options["upload-rate"],
        admin=options["admin"],
        admin_hosts=options["admin-host"],
        as_local=frozenset(options["as-local"]),
        origin_key=options["origin-key"],
        ca=options["ca"],
        allow_hosts=options["allow-host"],
        allow_origins=options["allow-origin"],
        client=options["client"],
        ablations=ablations(options["ablate"]),
        link_security=options["link-security"] == "tls",
        unsigned=options["unsigned"] == "pass",
        mode=options["mode"],
        links_per_address=options["links-per-address"] or None,
        connections_per_address=options["connections-per-address"] or None,
        tracker_key=options["tracker-key"],
        token=options.token(),
    )


def makeService(options: Options, reactor: Any = None) -> IService:
    """The peer, not started; on the global reactor unless a test gives another."""
    # Imported here: --help and --version need none of it.
    import random

    from dashp2p.peer.service import PeerService

    if reactor is None:
        from twisted.internet import reactor as global_reactor

        from dashp2p.web.process import prepare_process

        reactor = global_reactor
        prepare_process(reactor)
    service: IService = PeerService(settings_of(options), reactor, random.Random())
    return service
