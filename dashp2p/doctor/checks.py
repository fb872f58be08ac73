"""What the doctor looks at: the programs, and the machine that they run on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dashp2p.doctor.finding import BY_SET_UP, MISSING, OK, OPTIONAL, Finding
from dashp2p.doctor.machine import Machine

PYTHON_NEEDED = (3, 10)
PAGE_LIBRARIES = ("dash.all.min.js", "uPlot.iife.min.js", "uPlot.min.css")
BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    *("firefox", "microsoft-edge", "xdg-open", "open", "wslview"),
)
PORTS = (("origin", 9000), ("tracker", 7000), ("peer", 8001))
SET_UP_MARK = ".venv/.installed-demo"
"""What the set-up leaves in a checkout when all packages are there."""
DISK_NEEDED_BYTES = 600 << 20
"""The cache leaves 512 MiB of a disk to others, and with less would keep nothing."""
DISK_WISHED_BYTES = 4 << 30
"""The cache's default of 2 GiB, the set-up's downloads, and room to spare."""
OPEN_FILES_WISHED = 4096
CLOCK_TOLERANCE_S = 60.0
"""What a ticket's times are given."""


@dataclass(frozen=True)
class Place:
    """Where dashp2p runs from, and what for."""

    checkout: Path | None
    """The folder with run-demo.sh; None: an installed wheel."""
    client: Path | None
    """The folder of the player page."""
    cache: Path
    newest_file_s: float
    """When the program's newest file was written, in seconds since the epoch."""


def programs(machine: Machine, place: Place) -> Iterator[Finding]:
    """Python, packages, ffmpeg, the page's libraries, a browser."""
    yield python(machine)
    yield venv(machine)
    yield packages(machine, place)
    yield ffmpeg(machine, place)
    yield page_libraries(machine, place)
    yield browser(machine)


def python(machine: Machine) -> Finding:
    version = "%d.%d" % machine.python  # noqa: UP031  # for a Python too old for the rest
    if machine.python >= PYTHON_NEEDED:
        return Finding("programs", "Python", OK, version)
    cure = "install Python 3.10 or newer, e.g. sudo apt install python3.12 python3.12-venv"
    return Finding("programs", "Python", MISSING, f"{version}; 3.10 is needed", cure)


def venv(machine: Machine) -> Finding:
    if machine.is_environment:
        return Finding("programs", "venv", OK, "this is a virtual environment")
    if machine.can_import("venv") and machine.can_import("ensurepip"):
        return Finding("programs", "venv", OK, "Python has it")
    cure = "sudo apt install python3-venv"
    return Finding("programs", "venv", MISSING, "Python lacks its venv module", cure)


def packages(machine: Machine, place: Place) -> Finding:
    subject = "packages"
    asked = machine.packages_asked_for("dashp2p")
    if asked is not None:
        absent = [name for name in asked if not machine.is_installed(name)]
        if not absent:
            return Finding("programs", subject, OK, f"all {len(asked)} are installed")
        found = "not installed: " + ", ".join(absent)
    elif place.checkout is not None and machine.can_read(str(place.checkout / SET_UP_MARK)):
        found = "in .venv/; .venv/bin/dashp2p doctor looks into it"
        return Finding("programs", subject, OK, found)
    else:
        found = "dashp2p is not installed in this Python"
    if place.checkout is not None:
        cure = "./run-demo.sh 3 (then ask again with .venv/bin/dashp2p doctor)"
        return Finding("programs", subject, BY_SET_UP, found, cure)
    cure = "install the wheel anew, with its dependencies: pip install dashp2p-*.whl"
    return Finding("programs", subject, MISSING, found, cure)


def ffmpeg(machine: Machine, place: Place) -> Finding:
    subject = "ffmpeg"
    for candidate in (
        machine.environ.get("DASHP2P_FFMPEG"),
        machine.find("ffmpeg"),
        machine.imageio_ffmpeg(),
    ):
        listed = machine.says([candidate, "-hide_banner", "-encoders"]) if candidate else None
        if candidate and listed and " libx264 " in listed:
            return Finding("programs", subject, OK, candidate)
    found = "none with libx264, so no film can be cut"
    if place.checkout is not None:
        return Finding("programs", subject, BY_SET_UP, found, "./run-demo.sh 3 gets one from PyPI")
    cure = "sudo apt install ffmpeg, or pip install imageio-ffmpeg"
    return Finding("programs", subject, OPTIONAL, found, cure)


def page_libraries(machine: Machine, place: Place) -> Finding:
    subject = "page"
    if place.client is None:
        cure = "--client FOLDER names it; a wheel made by scripts/build-wheel.sh has it"
        return Finding("programs", subject, MISSING, "the player page is not there", cure)
    vendor = place.client / "vendor"
    absent = [name for name in PAGE_LIBRARIES if not machine.can_read(str(vendor / name))]
    if not absent:
        return Finding("programs", subject, OK, f"with dash.js and uPlot, in {place.client}")
    found = f"{vendor} lacks {', '.join(absent)}"
    if place.checkout is None:
        cure = "install a wheel that scripts/build-wheel.sh has made"
        return Finding("programs", subject, MISSING, found, cure)
    npm = machine.find("npm")
    way = "npm" if npm and not npm.startswith("/mnt/") else "the npm that PyPI ships"
    return Finding("programs", subject, BY_SET_UP, found, f"./run-demo.sh 3 gets them by {way}")


def browser(machine: Machine) -> Finding:
    found = machine.find(*BROWSERS)
    if found or is_wsl(machine):
        return Finding("programs", "browser", OK, found or "that of Windows")
    cure = "any browser that can reach this machine; or ./run-demo.sh N --no-browser"
    return Finding("programs", "browser", OPTIONAL, "none found", cure)


def is_wsl(machine: Machine) -> bool:
    return "microsoft" in machine.kernel.lower()


def surroundings(machine: Machine, place: Place) -> Iterator[Finding]:
    """Ports, disk, limits, IPv6, clock, and what is particular to WSL."""
    yield ports(machine)
    yield disk(machine, place)
    yield open_files(machine)
    yield ipv6(machine)
    yield clock(machine, place)
    if is_wsl(machine):
        yield wsl(place)


def ports(machine: Machine) -> Finding:
    taken = [f"{port} ({whose})" for whose, port in PORTS if machine.is_taken(port)]
    if not taken:
        free = ", ".join(str(port) for _, port in PORTS)
        return Finding("machine", "ports", OK, f"{free} are free")
    cure = (
        "fine if that is dashp2p; else --listen tcp:PORT moves a daemon, and "
        "--origin-port, --tracker-port, --peer-port the demo"
    )
    return Finding("machine", "ports", OPTIONAL, f"in use: {', '.join(taken)}", cure)


def disk(machine: Machine, place: Place) -> Finding:
    free = machine.free_bytes(place.cache)
    if free is None:
        return Finding("machine", "disk", OPTIONAL, f"no disk can be asked about {place.cache}")
    found = f"{free / (1 << 30):.1f} GiB free at {place.cache}"
    if free >= DISK_WISHED_BYTES:
        return Finding("machine", "disk", OK, found)
    cure = "free some, or name a cache elsewhere (--cache DIR) or a smaller one (--cache-size)"
    return Finding(
        "machine", "disk", MISSING if free < DISK_NEEDED_BYTES else OPTIONAL, found, cure
    )


def open_files(machine: Machine) -> Finding:
    hard = machine.open_files()
    if hard is None or hard >= OPEN_FILES_WISHED:
        shown = "no limit" if hard is None else f"up to {hard}"
        return Finding("machine", "open files", OK, shown)
    cure = "LimitNOFILE=65536 in a systemd unit; nofile in /etc/security/limits.conf"
    found = f"at most {hard}: enough for a peer, not for a busy origin or tracker"
    return Finding("machine", "open files", OPTIONAL, found, cure)


def ipv6(machine: Machine) -> Finding:
    if machine.has_ipv6():
        return Finding("machine", "IPv6", OK, "there")
    return Finding("machine", "IPv6", OPTIONAL, "none; IPv4 does", "nothing has to be done")


def clock(machine: Machine, place: Place) -> Finding:
    cure = "sudo hwclock -s" if is_wsl(machine) else "sudo timedatectl set-ntp true"
    if machine.now_s < place.newest_file_s - CLOCK_TOLERANCE_S:
        found = "it is before the time when this program was written"
        return Finding("machine", "clock", MISSING, found, cure)
    synchronised = machine.says(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if synchronised is not None and synchronised.strip() == "no":
        found = "nobody sets it; certificates and tickets need it right to a minute"
        return Finding("machine", "clock", OPTIONAL, found, cure)
    return Finding("machine", "clock", OK, "set by the network" if synchronised else "plausible")


def wsl(place: Place) -> Finding:
    if place.checkout is not None and str(place.checkout).startswith("/mnt/"):
        found = f"{place.checkout} is on Windows' disk, which is slow from here"
        return Finding("machine", "WSL", OPTIONAL, found, "move the checkout below your home")
    cure = (
        "for peers on other machines: networkingMode=mirrored below [wsl2] in .wslconfig; "
        "loss by nft, since this kernel has no netem"
    )
    return Finding("machine", "WSL", OK, "programs here share Windows' loopback", cure)
