"""The three daemons' names for twistd, and nothing else: their options load when asked for."""

from twisted.application.service import ServiceMaker

origin = ServiceMaker(
    "dashp2p origin", "dashp2p.origin.tap", "Serve a folder of DASH segments.", "dashp2p-origin"
)
tracker = ServiceMaker(
    "dashp2p tracker",
    "dashp2p.tracker.tap",
    "Introduce peers and lease fetches.",
    "dashp2p-tracker",
)
peer = ServiceMaker(
    "dashp2p peer", "dashp2p.peer.tap", "Serve a player and share with other peers.", "dashp2p-peer"
)
