"""twistd dashp2p-origin: options and service."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.application.service import IService

from dashp2p.options import DaemonOptions, Option, endpoint, integer, readable_directory


class Options(DaemonOptions):
    """Serve a folder of DASH and HLS segments over HTTP."""

    program: ClassVar[str] = "dashp2p-origin"
    longdesc = "Serves a folder that segment.sh made, at /dash/ (players open /dash/dash.mpd)."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "listen",
            "Where players and peers reach the files.",
            endpoint,
            default="tcp:9000",
            example="tcp:9000:interface=127.0.0.1",
            variables=("PORT",),
        ),
        Option(
            "root",
            "The folder to serve. It may be swapped for another while the origin runs.",
            readable_directory,
            default="public/dash",
            example="/srv/film/dash",
        ),
        Option(
            "connections-per-address",
            "How many connections one address may hold; 0: as many as it likes. A school behind "
            "one router is one address. This machine is exempt.",
            integer(0, 1_000_000),
            default="256",
            example="1000",
        ),
    )


def makeService(options: Options, reactor: Any = None) -> IService:
    """The origin, on the global reactor unless a test gives another."""
    # Imported here: --help and --version need none of it.
    from dashp2p.origin.service import OriginConfig, OriginService

    if reactor is None:
        from twisted.internet import reactor as global_reactor

        from dashp2p.web.process import prepare_process

        reactor = global_reactor
        prepare_process(reactor)
    config = OriginConfig(
        root=options["root"],
        listen=options["listen"],
        admin=options["admin"],
        admin_hosts=options["admin-host"],
        as_local=frozenset(options["as-local"]),
        connections_per_address=options["connections-per-address"] or None,
    )
    service: IService = OriginService(config, reactor)
    return service
