"""How often a player changes rung: straight at the origin, behind a naive cache, behind our peer.

    python benchmarks/switches.py [--rounds 5] [--rate 5] [--dash FOLDER] [--from-first-byte]

Each way has a link of its own to one origin, --rate Mbit/s wide (the lab's relay on loopback; no
root needed). The caches hold what an earlier viewer left: parts of the film, on rungs that change
(trails.py; another trail each round, the same one in all caches), and have been started anew since.
Then one headless viewer of the lab begins at each, all at once. It chooses rungs by throughput
alone; where it is said, it heeds CMSD too (`etp` is its estimate, `mb` its cap, as in dash.js with
etpWeightRatio 1). The naive cache is nginx with proxy_cache; without nginx that way is left out,
and a line says so. Medians over the rounds, the least and the most in brackets. With --browser
dash.js in Chromium watches instead, one way after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen
from rivals import HOST, Process, free_port, twistd
from trails import Viewing, files_of, left_behind, table

from dashp2p.lab import film as films
from dashp2p.lab.film import Film
from dashp2p.lab.processes import Program, Programs
from dashp2p.lab.starter import READY

FILM_S = 120.0
BUFFER_S = 12.0
PATIENCE_S = 120.0
"""How much longer than the film a viewing may last."""
LAST_FILES = 4
"""Of what the earlier viewer left, so much came by the link, and the rest, to save time, without
it: pictures and sound by turns."""
START_S = 60.0
VIEWER = "dashp2p.lab.viewer"
PAGE = "/client/"
"""The peer's own page."""

NGINX = """
{user} worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  proxy_cache_path {folder}/cache keys_zone=film:1m inactive=1h max_size=2g;
  upstream origin {{ server {host}:{upstream}; keepalive 8; }}
  server {{
    listen {host}:{port};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host {host}:{upstream};
      proxy_cache film; proxy_cache_key $uri; proxy_cache_valid 200 1h; proxy_cache_lock on;
      proxy_ignore_headers Cache-Control Expires;
    }}
  }}
}}
"""

Server = Callable[[Path, int, int], list[Process]]
"""Starts what stands between player and link: a folder of its own, its port, the upstream's."""


class Options(argparse.Namespace):
    """The command line."""

    rounds: int
    seed: int
    rate: float
    dash: Path | None
    only: list[str] | None
    from_first_byte: bool
    browser: bool
    keep: Path | None


@frozen
class Way:
    """One way to watch."""

    name: str
    server: Server | None
    """None: the player asks the origin."""
    viewer: tuple[str, ...] = ()
    page: str = "/dash/dash.mpd"
    """What is opened there."""


def nginx(folder: Path, port: int, upstream: int) -> list[Process]:
    """A naive caching proxy."""
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(folder=folder, user=user, host=HOST, port=port, upstream=upstream)
    )
    program = _nginx()
    assert program is not None  # else there is no such way
    return [Process([program, "-c", str(config)])]


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def peer(*ablations: str) -> Server:
    """Our peer, with a tracker of its own: it meets nobody."""

    def start(folder: Path, port: int, upstream: int) -> list[Process]:
        tracker_port = free_port()
        tracker = twistd(
            "dashp2p-tracker",
            *("--listen", f"tcp:{tracker_port}:interface={HOST}"),
            *("--ticket-key", str(folder / "ticket.key")),
        )
        tracker.wait_for(f"http://{HOST}:{tracker_port}/healthz")
        arguments = [
            *("--listen", f"tcp:{port}:interface={HOST}"),
            *("--exchange", f"tcp:0:interface={HOST}"),
            *("--origin", f"http://{HOST}:{upstream}/dash"),
            *("--tracker", f"http://{HOST}:{tracker_port}"),
            *("--cache", str(folder / "cache")),
            *(("--ablate", ",".join(ablations)) if ablations else ()),
        ]
        return [twistd("dashp2p-peer", *arguments), tracker]

    return start


HEEDS = ("--cmcd", "--cmsd")
WAYS = (
    Way("direct", None),
    Way("nginx proxy_cache", nginx),
    Way("peer", peer()),
    Way("peer no-pacing", peer("no-pacing")),
    Way("peer, player heeds CMSD", peer(), HEEDS),
    Way("peer no-cmsd, player heeds", peer("no-cmsd"), HEEDS),
)
BROWSER_WAYS = (
    Way("direct, dash.js", None),
    Way("nginx, dash.js", nginx),
    Way("peer, dash.js", peer()),
    Way("peer, its own page", peer(), page=PAGE),
)


@contextmanager
def running(processes: Sequence[Process]) -> Iterator[None]:
    """They end with the block."""
    try:
        yield
    finally:
        for process in processes:
            process.stop()


def relay(port: int, origin_port: int, rate_mbps: float) -> Process:
    """A link to the origin, so wide."""
    return Process(
        [
            *(sys.executable, "-m", "dashp2p.lab.relay", "--port", str(port)),
            *("--to", f"{HOST}:{origin_port}", "--rate", f"{rate_mbps * 1e6:g}"),
        ]
    )


def fetch(port: int, path: str) -> bytes:
    """A whole file."""
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=30) as answer:
        data: bytes = answer.read()
        return data


def warm(way: Way, folder: Path, port: int, upstream: int, files: Sequence[str]) -> None:
    """Have a cache take these files in, and end."""
    assert way.server is not None
    servers = way.server(folder, port, upstream)
    with running(servers):
        servers[0].wait_for(f"http://{HOST}:{port}/dash/dash.mpd")
        for path in files:
            fetch(port, f"/dash/{path}")
        if way.server is not nginx:
            _until_saved(port, len(files))


def _until_saved(port: int, count: int) -> None:
    until = time.monotonic() + 30
    while json.loads(fetch(port, "/stats"))["cache"]["segments"] < count:
        if time.monotonic() > until:
            raise SystemExit("the peer did not keep what it fetched")
        time.sleep(0.1)


@contextmanager
def ready(
    way: Way, folder: Path, origin_port: int, files: Sequence[str], rate_mbps: float
) -> Iterator[int]:
    """The way, with a warm cache and a narrow link; the port that a player asks there."""
    with ExitStack() as stack:
        link_port = free_port()
        if way.server is None:
            link = relay(link_port, origin_port, rate_mbps)
            stack.enter_context(running([link]))
            link.wait_for(f"http://{HOST}:{link_port}/healthz")
            yield link_port
            return
        folder.mkdir()
        folder.chmod(0o755)
        port = free_port()
        warm(way, folder, port, origin_port, files[:-LAST_FILES])
        link = relay(link_port, origin_port, rate_mbps)
        stack.enter_context(running([link]))
        link.wait_for(f"http://{HOST}:{link_port}/healthz")
        warm(way, folder, port, link_port, files[-LAST_FILES:])
        servers = way.server(folder, port, link_port)
        stack.enter_context(running(servers))
        if way.server is nginx:
            servers[0].wait_for(f"http://{HOST}:{port}/dash/dash.mpd")
        else:
            servers[0].wait_for(f"http://{HOST}:{port}/readyz")
            _until_saved(port, len(files))
        yield port


def command_of(way: Way, port: int, result: Path, film: Film, options: Options) -> list[str]:
    """The program that watches there."""
    url = f"http://{HOST}:{port}{way.page}"
    if options.browser:
        bare = [] if way.page == PAGE else ["--bare"]
        more = ["--film", str(film.folder), *bare]
        return [sys.executable, "-m", "dashp2p.lab.browser", url, "--json", str(result), *more]
    more = ["--buffer", f"{BUFFER_S:g}", *way.viewer]
    if options.from_first_byte:
        more.append("--from-first-byte")
    viewer = [sys.executable, "-m", "dashp2p.lab.starter", "--import", VIEWER, VIEWER]
    return [*viewer, url, "--json", str(result), *more]


def watch(
    commands: dict[str, list[str]], folder: Path, film: Film, trail: Sequence[str]
) -> dict[str, Viewing]:
    """Let them all begin at once; what each of them saw."""
    programs = Programs(folder)
    try:
        started = {
            name: programs.start(str(number), command)
            for number, (name, command) in enumerate(commands.items())
        }
        for program in started.values():
            _until_ready(program)
        begin_at = time.time() + 0.5
        for program in started.values():
            program.begin(begin_at)
        until = time.monotonic() + film.duration_s + PATIENCE_S
        for program in started.values():
            program.process.wait(max(1.0, until - time.monotonic()))
    finally:
        programs.close()
    return {
        name: Viewing.of(json.loads((folder / f"{number}.json").read_text()), trail)
        for number, name in enumerate(commands)
    }


def _until_ready(program: Program) -> None:
    until = time.monotonic() + START_S
    while not program.said(READY):
        if not program.running or time.monotonic() > until:
            raise SystemExit(f"a viewer did not start: {program.tail()}")
        time.sleep(0.1)


def one_round(
    film: Film, origin_port: int, seed: int, chosen: Sequence[Way], options: Options
) -> dict[str, Viewing]:
    """These ways at the same moment; what each viewer saw."""
    trail = left_behind(film.index, seed)
    files, paths = files_of(film.index, trail), [entry.path for entry in trail]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker may be another user
        commands = {}
        for number, way in enumerate(chosen):
            place = folder / f"cache-{number}"
            port = stack.enter_context(ready(way, place, origin_port, files, options.rate))
            result = folder / f"{number}.json"
            commands[way.name] = command_of(way, port, result, film, options)
        seen = watch(commands, folder, film, paths)
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            for number, way in enumerate(commands):
                kept = options.keep / f"{seed}-{way.replace(' ', '-')}.json"
                shutil.copyfile(folder / f"{number}.json", kept)
        return seen


def ways(options: Options) -> list[Way]:
    """Those that can be had here."""
    every = BROWSER_WAYS if options.browser else WAYS
    found = [way for way in every if way.server is not nginx or _nginx() is not None]
    return [way for way in found if not options.only or way.name in options.only]


def read_options() -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each adds one")
    parser.add_argument("--rate", type=float, default=5.0, help="of each link, in Mbit/s")
    parser.add_argument("--dash", type=Path, help="a film's folder (made by segment.sh)")
    parser.add_argument("--only", action="append", help="one way, by its name; may be repeated")
    parser.add_argument("--from-first-byte", action="store_true", help="measure as dash.js does")
    parser.add_argument("--browser", action="store_true", help="dash.js in Chromium")
    parser.add_argument("--keep", type=Path, help="a folder for the viewers' own reports")
    return parser.parse_args(namespace=Options())


def main() -> None:
    """Start the origin, watch in rounds, print the table."""
    options = read_options()
    if _nginx() is None:
        print("nginx is not installed (Debian: apt-get install nginx-light): no naive cache")
    film = films.from_folder(options.dash) if options.dash else films.make(FILM_S)
    port = free_port()
    listen = f"tcp:{port}:interface={HOST}"
    origin = twistd("dashp2p-origin", "--listen", listen, "--root", str(film.folder))
    # Browsers decode: side by side they would slow each other down.
    together = [[way] for way in ways(options)] if options.browser else [ways(options)]
    seen: dict[str, list[Viewing]] = {way.name: [] for way in ways(options)}
    with running([origin]):
        origin.wait_for(f"http://{HOST}:{port}/readyz")
        for seed in range(options.seed, options.seed + options.rounds):
            for chosen in together:
                for name, viewing in one_round(film, port, seed, chosen, options).items():
                    seen[name].append(viewing)
            print(f"round {seed} is over", file=sys.stderr)
    rate = f"links of {options.rate:g} Mbit/s"
    print(f"{options.rounds} rounds, {film.duration_s:g} s of film, {rate}")
    for line in table(seen):
        print(line)


if __name__ == "__main__":
    main()
