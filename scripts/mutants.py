"""Takes out one check at a time and looks whether the tests notice.

    scripts/mutants.py                 all of them, a few minutes
    scripts/mutants.py ban quota       these
    scripts/mutants.py --list

Each mutant is one exact replacement in a copy of the tree, and the few tests that ought to go red.
Exits 1 when a mutant survives, when its text is no longer in the file (change the table below with
the code), or when its tests fail without it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "_trial_temp*", "__pycache__", ".mypy_cache", ".ruff_cache"
)
PATIENCE_S = 300
ENDED = re.compile(r"^(PASSED|FAILED)\b.*$", re.MULTILINE)
BROKEN = ("ImportError", "ModuleNotFoundError", "SyntaxError", "NameError")
"""A test that fails so did not notice anything: the mutant itself is wrong."""


@dataclass(frozen=True)
class Mutant:
    """`old` becomes `new` in `file`, and at least one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant(
        "block hash",
        "dashp2p/content/blocks.py",
        "        return hmac.compare_digest(sha256(data).digest(), wanted)",
        "        return True",
        "tests.content.test_blocks tests.peer.test_engine_trouble",
    ),
    Mutant(
        "hashes against the digest",
        "dashp2p/content/blocks.py",
        "        return hmac.compare_digest(digest_of(self.hashes), entry.digest)",
        "        return True",
        "tests.content.test_blocks tests.peer.test_engine_trouble",
    ),
    Mutant(
        "index signature",
        "dashp2p/content/signature.py",
        "        if not _is_signed(self.public_key, self.signature, _SIGNED_PREFIX + index_raw):",
        "        if False:",
        "tests.content.test_index tests.peer.test_presentation",
    ),
    Mutant(
        "the index is the file that was signed",
        "dashp2p/content/signature.py",
        "        if not check_whole(self.index_entry(), index_raw):",
        "        if False:",
        "tests.content.test_index",
    ),
    Mutant(
        "the origin's key",
        "dashp2p/peer/presentation.py",
        "        elif expected != signature.public_key:",
        "        elif False:",
        "tests.peer.test_presentation",
    ),
    Mutant(
        "the stamp of an index",
        "dashp2p/content/signature.py",
        "        if not _is_signed(self.public_key, self.stamp, self._stamped()):",
        "        if False:",
        "tests.content.test_index",
    ),
    Mutant(
        "an older index",
        "dashp2p/peer/newest.py",
        "        if signature.issued_ms < seen.issued_ms or (",
        "        if False and (",
        "tests.peer.test_newest",
    ),
    Mutant(
        "another index of the same moment",
        "dashp2p/peer/newest.py",
        "            signature.issued_ms == seen.issued_ms and not same",
        "            False",
        "tests.peer.test_newest",
    ),
    Mutant(
        "the newest index is remembered",
        "dashp2p/peer/remembered.py",
        "            write_atomically(self.file, json.dumps(told).encode())",
        "            pass",
        "tests.peer.test_newest",
    ),
    Mutant(
        "an expired index",
        "dashp2p/peer/newest.py",
        "        if ends_ms is not None and self._wall() * 1000 > ends_ms + EXPIRY_SKEW_S * 1000:",
        "        if False:",
        "tests.peer.test_newest",
    ),
    Mutant(
        "nothing unproven, where that was asked for",
        "dashp2p/peer/proxy.py",
        "        if entry is None and not self._unsigned:",
        "        if False:",
        "tests.peer.test_relay",
    ),
    Mutant(
        "paths of the index",
        "dashp2p/content/index.py",
        "    return len(path) <= limits.PATH_MAX_CHARS and _SAFE_PATH.match(path) is not None",
        "    return True",
        "tests.content.test_index",
    ),
    Mutant(
        "no DTD in an MPD",
        "dashp2p/content/mpd_tree.py",
        "forbid_dtd=True)",
        "forbid_dtd=False)",
        "tests.content.test_mpd",
    ),
    Mutant(
        "depth of an MPD",
        "dashp2p/content/mpd_tree.py",
        "        if self._depth > limits.MPD_MAX_DEPTH:",
        "        if False:",
        "tests.content.test_mpd",
    ),
    Mutant(
        "frame length",
        "dashp2p/wire/session.py",
        "        if header.length > codec.MAX_PAYLOAD_BYTES[frame_type]:",
        "        if False:",
        "tests.wire.test_limits tests.wire.test_session",
    ),
    Mutant(
        "HELLO first",
        "dashp2p/wire/session.py",
        "        if not self._receiving.allows(frame_type):",
        "        if False:",
        "tests.wire.test_session tests.wire.test_vectors",
    ),
    Mutant(
        "answers only to what was asked",
        "dashp2p/wire/session.py",
        "        if frame_type in codec.ANSWERS and self._asked.get(header.request_id) is None:",
        "        if False:",
        "tests.wire.test_session tests.wire.test_vectors",
    ),
    Mutant(
        "outstanding requests",
        "dashp2p/wire/ledger.py",
        "        if len(self._open) >= MAX_OUTSTANDING_REQUESTS:",
        "        if False:",
        "tests.wire.test_limits tests.wire.test_session",
    ),
    Mutant(
        "write queue of a link",
        "dashp2p/peer/link.py",
        "        if self._queued_bytes > WRITE_QUEUE_BYTES and not self.is_closed:",
        "        if False:",
        "tests.peer.test_link",
    ),
    Mutant(
        "rate of cheap frames",
        "dashp2p/peer/link.py",
        "        if cheap and not self._cheap.take(cheap, now):",
        "        if False:",
        "tests.peer.test_link",
    ),
    Mutant(
        "rate of requests that get nothing",
        "dashp2p/peer/link.py",
        "            self._cheap.spend(1, self._clock.seconds())",
        "            pass",
        "tests.peer.test_link",
    ),
    Mutant(
        "deadline of a handshake",
        "dashp2p/peer/link.py",
        "        self._timer = self._clock.callLater(HANDSHAKE_S, self._late)",
        "        self._timer = None",
        "tests.peer.test_link",
    ),
    Mutant(
        "HELLO's key is the certificate's",
        "dashp2p/peer/link.py",
        "        if self.proven_key is not None and hello.public_key != self.proven_key:",
        "        if False:",
        "tests.peer.test_link_tls tests.peer.test_evil_diallers",
    ),
    Mutant(
        "who was dialled has the key that the tracker named",
        "dashp2p/peer/link_tls.py",
        "        return peer_id_of(key_in(certificate)) == self._peer_id",
        "        return True",
        "tests.peer.test_link_tls tests.peer.test_evil_diallers",
    ),
    Mutant(
        "ban",
        "dashp2p/peer/bans.py",
        "        return now < max(until, self._shunned.get(peer_id, now))",
        "        return now < self._shunned.get(peer_id, now)",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "ban of an address",
        "dashp2p/peer/bans.py",
        "        return liars >= ADDRESS_BAN_KEYS",
        "        return False",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "pace of handshakes",
        "dashp2p/peer/exchange.py",
        "        if not is_loopback(addr) and self._callers.take(address_group(addr), now) > 0:",
        "        if False:",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "one swarm's peers only",
        "dashp2p/peer/exchange.py",
        "        if hello.swarm_id != self.hello().swarm_id or link.peer_id == self._peer_id:",
        "        if link.peer_id == self._peer_id:",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "number of links",
        "dashp2p/peer/exchange.py",
        "        if len(self._all) >= MAX_LINKS and not self._gives_way():",
        "        if False:",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "number of links of one address",
        "dashp2p/peer/exchange.py",
        "        return same >= most",
        "        return False",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "addresses only, never names",
        "dashp2p/peer/exchange.py",
        "        if ipaddress.ip_address(host).version == 4:",
        "        if host[-1].isdigit():",
        "tests.peer.test_exchange",
    ),
    Mutant(
        "unproven blocks",
        "dashp2p/peer/proof.py",
        "                if self._waiting_bytes + len(piece) <= self._bound():",
        "                if True:",
        "tests.peer.test_proof",
    ),
    Mutant(
        "no redirects of the origin",
        "dashp2p/peer/origin_client.py",
        "allow_redirects=False",
        "allow_redirects=True",
        "tests.peer.test_origin_client tests.peer.test_relay",
    ),
    Mutant(
        "an origin that sends too much",
        "dashp2p/peer/origin_client.py",
        "        if len(data) > self._left:",
        "        if False:",
        "tests.peer.test_origin_client",
    ),
    Mutant(
        "a fetch that was given up is no fault of the origin's",
        "dashp2p/peer/origin_client.py",
        "            if any(isinstance(cause, CancelledError) for cause in causes):",
        "            if False:",
        "tests.peer.test_origin_client",
    ),
    Mutant(
        "what inflates without end",
        "dashp2p/peer/origin_client.py",
        "self._inflater.decompress(data, self._left + 1)",
        "self._inflater.decompress(data)",
        "tests.peer.test_origin_client",
    ),
    Mutant(
        "an origin that trickles",
        "dashp2p/peer/origin_client.py",
        "        if came < LEAST_BYTES:",
        "        if not came:",
        "tests.peer.test_origin_client",
    ),
    Mutant(
        "an origin that trickles what is passed through",
        "dashp2p/peer/relay.py",
        "        if self._came_bytes < LEAST_BYTES:",
        "        if not self._came_bytes:",
        "tests.peer.test_relay",
    ),
    Mutant(
        "Host check",
        "dashp2p/web/hosts.py",
        "        if host_of(request) in self.names:",
        "        if True:",
        "tests.web.test_manners",
    ),
    Mutant(
        "foreign pages",
        "dashp2p/web/cors.py",
        "            return origin == own_origin(request)",
        "            return True",
        "tests.web.test_manners tests.peer.test_proxy",
    ),
    Mutant(
        "figures for this machine only",
        "dashp2p/web/private.py",
        "    return (\n        (is_loopback(client)",
        "    return True or (\n        (is_loopback(client)",
        "tests.web.test_manners",
    ),
    Mutant(
        "JSON only",
        "dashp2p/web/json.py",
        '    if media_type != "application/json":',
        "    if False:",
        "tests.web.test_manners tests.peer.test_page",
    ),
    Mutant(
        "body cap",
        "dashp2p/web/channel.py",
        "        if self.length is not None and self.length > limit:",
        "        if False:",
        "tests.web.test_site",
    ),
    Mutant(
        "body cap of a chunked body",
        "dashp2p/web/request.py",
        "        if self._body_bytes > limit:",
        "        if False:",
        "tests.web.test_site",
    ),
    Mutant(
        "number of headers",
        "dashp2p/web/channel.py",
        "        if self._receivedHeaderCount >= self.maxHeaders:",
        "        if False:",
        "tests.web.test_site",
    ),
    Mutant(
        "deadline to receive a request",
        "dashp2p/web/patience.py",
        "            self._enter(Phase.RECEIVING, self._limits.receive_s)",
        "            self._enter(Phase.RECEIVING, 1e6)",
        "tests.web.test_site",
    ),
    Mutant(
        "a response is whole or visibly broken",
        "dashp2p/web/request.py",
        "        if missing and not self._disconnected:",
        "        if False:",
        "tests.web.test_site tests.web.test_file_response",
    ),
    Mutant(
        "quota",
        "dashp2p/store/segments.py",
        "        over_quota = self.used_bytes + wanted_bytes - self.quota_bytes",
        "        over_quota = 0",
        "tests.store.test_segments",
    ),
    Mutant(
        "floor of free space",
        "dashp2p/store/segments.py",
        "        under_floor = self._free_floor_bytes + wanted_bytes - self._disk.free_bytes()",
        "        under_floor = 0",
        "tests.store.test_segments",
    ),
    Mutant(
        "nothing is served before it was verified",
        "dashp2p/store/segments.py",
        "        if held.verified is None:\n            raise",
        "        if False:\n            raise",
        "tests.store.test_segments",
    ),
    Mutant(
        "nothing is served after somebody wrote to it",
        "dashp2p/store/files.py",
        "    return info if info.untouched_since(verified) else None",
        "    return info",
        "tests.store.test_segments",
    ),
    Mutant(
        "only private addresses are passed on",
        "dashp2p/tracker/addresses.py",
        "    if not is_private(ip) or port < limits.MIN_PRIVATE_PORT:",
        "    if False:",
        "tests.tracker.test_addresses",
    ),
    Mutant(
        "dialled back before strangers are sent there",
        "dashp2p/tracker/members.py",
        "        return reached and not self.at.loopback",
        "        return True",
        "tests.tracker.test_members tests.tracker.test_memory",
    ),
    Mutant(
        "pace of the tracker's callers",
        "dashp2p/tracker/api.py",
        "    if wait_s > 0:\n        raise Refused",
        "    if False:\n        raise Refused",
        "tests.tracker.test_http tests.tracker.test_service",
    ),
    Mutant(
        "streams of an address",
        "dashp2p/tracker/streams.py",
        "        if crowded or len(self._streams) >= limits.MAX_STREAMS:",
        "        if len(self._streams) >= limits.MAX_STREAMS:",
        "tests.tracker.test_live",
    ),
    Mutant(
        "streams in all",
        "dashp2p/tracker/streams.py",
        "        if crowded or len(self._streams) >= limits.MAX_STREAMS:",
        "        if crowded:",
        "tests.tracker.test_live",
    ),
    Mutant(
        "a dashboard that does not read",
        "dashp2p/tracker/streams.py",
        "        return not self._paused",
        "        return True",
        "tests.tracker.test_live",
    ),
    Mutant(
        "who may see the dashboard's figures",
        "dashp2p/tracker/resources.py",
        '        self._put(b"live", b"GET", self._live, private=True)',
        '        self._put(b"live", b"GET", self._live)',
        "tests.tracker.test_live tests.tracker.test_http",
    ),
    Mutant(
        "how many may have served a peer",
        "dashp2p/tracker/messages.py",
        "    if type(served_by) is not dict or len(served_by) > limits.MAX_SERVED_BY:",
        "    if type(served_by) is not dict:",
        "tests.tracker.test_messages",
    ),
    Mutant(
        "size of players' reports",
        "dashp2p/peer/page.py",
        "        if len(body) > MAX_CMCD_BYTES:",
        "        if False:",
        "tests.peer.test_page",
    ),
    Mutant(
        "type of players' reports",
        "dashp2p/peer/page.py",
        "        if media_type not in MEDIA_TYPES:",
        "        if False:",
        "tests.peer.test_page",
    ),
    Mutant(
        "number of players' reports in a post",
        "dashp2p/web/cmcd_events.py",
        '    lines = text.split("\\n", MAX_CMCD_EVENTS)[:MAX_CMCD_EVENTS]',
        '    lines = text.split("\\n")',
        "tests.web.test_cmcd_events",
    ),
    Mutant(
        "expiry of a ticket",
        "dashp2p/content/tickets.py",
        "        if now > self.expires_at + grace_s:",
        "        if False:",
        "tests.content.test_tickets tests.peer.test_tickets",
    ),
    Mutant(
        "a ticket is bound to its peer",
        "dashp2p/content/tickets.py",
        "        if self.peer != peer:",
        "        if False:",
        "tests.content.test_tickets tests.peer.test_tickets",
    ),
    Mutant(
        "a ticket is bound to its swarm",
        "dashp2p/content/tickets.py",
        "        if self.swarm != swarm:",
        "        if False:",
        "tests.content.test_tickets tests.peer.test_tickets",
    ),
    Mutant(
        "a token is no ticket",
        "dashp2p/content/tickets.py",
        '    if token.header.get("typ") != kind:',
        "    if False:",
        "tests.content.test_tickets",
    ),
    Mutant(
        "a ticket's signature",
        "dashp2p/content/tickets.py",
        "        token = jwt.decode(text, key, algorithms=[ALGORITHM])",
        "        import base64, json\n        part = text.split('.')\n"
        "        read = [json.loads(base64.urlsafe_b64decode(p + '===')) for p in part[:2]]\n"
        "        token = jwt.Token(*read)",
        "tests.content.test_tickets tests.peer.test_tickets",
    ),
    Mutant(
        "no link without a ticket",
        "dashp2p/peer/tickets.py",
        "            return Code.UNAUTHORISED",
        "            return None",
        "tests.peer.test_tickets",
    ),
    Mutant(
        "announces are signed",
        "dashp2p/tracker/tickets.py",
        "        if not passed and not announce_is_signed(key, announce.peer, body, signature):",
        "        if False:",
        "tests.tracker.test_tickets",
    ),
    Mutant(
        "announces are not played again",
        "dashp2p/tracker/tickets.py",
        "        if proven is not None and announce.signed_ms <= proven.signed_ms:",
        "        if False:",
        "tests.tracker.test_tickets",
    ),
    Mutant(
        "admission by token",
        "dashp2p/tracker/tickets.py",
        "        if not leaves:\n            self._check_token(announce, now)",
        "        if False:\n            self._check_token(announce, now)",
        "tests.tracker.test_tickets",
    ),
    Mutant(
        "nobody waits for what nobody has",
        "dashp2p/swarm/leading.py",
        "        if delivery.waiters and (hopeless or self._tried_in_vain(delivery)):",
        "        if False:",
        "tests.swarm.test_leading",
    ),
    Mutant(
        "mb keeps to what is held",
        "dashp2p/swarm/reach.py",
        "    return sum(1 for _ in takewhile(lambda entry: held >> entry.position & 1, coming))",
        "    return len(coming)",
        "tests.swarm.test_reach tests.peer.test_proxy",
    ),
    Mutant(
        "a neighbour's word of the origin is not believed",
        "dashp2p/peer/fetches.py",
        "        self._watch.suspect()\n\n    def _found",
        "        self._origin_answers(False)\n\n    def _found",
        "tests.peer.test_origin_watch",
    ),
)


def _run(tree: Path, tests: str) -> tuple[bool, str]:
    """Whether the tests passed in that tree, and what they said."""
    command = [sys.executable, "-m", "twisted.trial", "--reporter=text", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return False, "they did not end: red, too"
    return done.returncode == 0, done.stdout + done.stderr


def _closing_line(output: str) -> str:
    found = list(ENDED.finditer(output))
    return found[-1].group() if found else output.strip().splitlines()[-1]


def _try(mutant: Mutant, tree: Path) -> str | None:
    """What is wrong with the mutant; None when it was killed."""
    file = tree / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return f"its text is {text.count(mutant.old)} times in {mutant.file}"
    mutated = text.replace(mutant.old, mutant.new)
    compile(mutated, mutant.file, "exec")
    file.write_text(mutated)
    try:
        passed, output = _run(tree, mutant.tests)
    finally:
        file.write_text(text)
    if passed:
        return f"SURVIVED {mutant.tests}"
    wrong = next((error for error in BROKEN if f"{error}:" in output), None)
    return None if wrong is None else f"it breaks the program: {wrong}"


def _without_any(mutants: list[Mutant], tree: Path) -> bool:
    tests = sorted({name for mutant in mutants for name in mutant.tests.split()})
    passed, output = _run(tree, " ".join(tests))
    print(f"without any mutant: {_closing_line(output)}", flush=True)
    return passed


def main(argv: list[str] | None = None) -> int:
    """What the command does; its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="mutants by name (default: all)")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(argv)
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    if options.list or len(chosen) < len(options.names):
        print("\n".join(mutant.name for mutant in MUTANTS))
        return 0 if options.list else 2
    began_s = time.monotonic()
    killed = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, symlinks=True)
        if not _without_any(chosen, tree):
            return 1
        for mutant in chosen:
            wrong = _try(mutant, tree)
            killed += wrong is None
            print(f"{mutant.name}: {wrong or 'killed'}", flush=True)
    took_s = time.monotonic() - began_s
    print(f"killed {killed} of {len(chosen)} mutants in {took_s:.0f} s")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
