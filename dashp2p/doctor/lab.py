"""What the doctor looks at for experiments, and for the servers that somebody names."""

from __future__ import annotations

from collections.abc import Iterator

from dashp2p.doctor.checks import BROWSERS, CLOCK_TOLERANCE_S
from dashp2p.doctor.finding import MISSING, OK, OPTIONAL, Finding
from dashp2p.doctor.machine import Machine

TUN = "/dev/net/tun"
IN_A_NAMESPACE = ("unshare", "--map-root-user", "--net", "sh", "-c")
"""Tried in a network namespace of its own, so that nothing here changes; root is not needed."""
NETEM = "tc qdisc add dev lo root netem loss 10% 25%"
INGRESS = (
    "nft add table netdev t && nft 'add chain netdev t c "
    "{ type filter hook ingress device lo priority 0; }' && "
    "nft add rule netdev t c numgen random mod 100 '<' 10 drop"
)


def lab(machine: Machine) -> Iterator[Finding]:
    """Hosts in network namespaces, losses, and browsers that are driven."""

    def row(
        subject: str, good: bool, found: str, absent: str, cure: str, lacks: str = MISSING
    ) -> Finding:
        shown = found if good else absent
        return Finding("lab", subject, OK if good else lacks, shown, "" if good else cure)

    yield row(
        "Linux",
        machine.system == "Linux",
        machine.kernel,
        machine.system,
        "--loopback runs anywhere",
    )
    cure = "sudo .venv/bin/python -m dashp2p.lab ..., or --loopback without"
    yield row("root", machine.is_root, "yes", "no", cure)
    ip = machine.find("ip")
    yield row("ip", bool(ip), str(ip), "not there", "sudo apt install iproute2")
    nft = machine.find("nft")
    yield row("nft", bool(nft), str(nft), "not there", "sudo apt install nftables")
    tun = machine.can_read(TUN)
    yield row("tun", tun, TUN, f"{TUN} can't be opened", "sudo modprobe tun")
    yield from losses(machine)
    chromium = machine.find(*BROWSERS[:4])
    driven = chromium is not None and machine.can_import("playwright")
    cure = "sudo apt install chromium, then ./run-tests.sh, which brings playwright"
    absent = "no Chromium with playwright; only --player dashjs needs them"
    yield row("Chromium", driven, str(chromium), absent, cure, OPTIONAL)


def losses(machine: Machine) -> Iterator[Finding]:
    """Can packets be lost on purpose? For experiments with compose; the lab has its own way."""
    if machine.says([*IN_A_NAMESPACE, NETEM]) is not None:
        yield Finding("lab", "netem", OK, "tc qdisc ... netem works")
    elif machine.says([*IN_A_NAMESPACE, INGRESS]) is not None:
        cure = "nft drops instead: see docs/experiments.md"
        yield Finding("lab", "netem", OPTIONAL, "this kernel has none", cure)
    else:
        cure = "sudo apt install iproute2 nftables, and try as root; see docs/experiments.md"
        yield Finding("lab", "netem", OPTIONAL, "neither netem nor nft could be tried", cure)


def servers(machine: Machine, origin: str | None, tracker: str | None) -> Iterator[Finding]:
    """Do they answer, and do their clocks agree with ours?"""
    if origin is not None:
        yield server(machine, "origin", origin.rstrip("/") + "/index.sig")
    if tracker is not None:
        yield server(machine, "tracker", tracker.rstrip("/") + "/healthz")


def server(machine: Machine, subject: str, url: str) -> Finding:
    answer = machine.ask(url)
    if answer.status == 404 and subject == "origin":
        cure = "./segment.sh writes index.sig; without it peers share nothing"
        return Finding("network", subject, MISSING, f"{url} is not there", cure)
    if answer.status != 200:
        found = f"{url}: {' '.join(filter(None, (str(answer.status or ''), answer.reason)))}"
        cure = "is it running, is the port open in its firewall, is the address right?"
        return Finding("network", subject, MISSING, found, cure)
    if answer.ahead_s is not None and abs(answer.ahead_s) > CLOCK_TOLERANCE_S:
        way = "ahead of" if answer.ahead_s > 0 else "behind"
        found = f"it answers, but its clock is {abs(answer.ahead_s):.0f} s {way} ours"
        cure = "set both clocks by the network: sudo timedatectl set-ntp true"
        return Finding("network", subject, OPTIONAL, found, cure)
    return Finding("network", subject, OK, "it answers")
