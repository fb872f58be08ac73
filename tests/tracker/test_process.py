"""The real daemon under twistd: peers meet, leases move on, and it starts and stops cleanly."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import TWISTD, Daemon, Daemons, environment, free_port
from tests.tracker.support import announce_fields, lease_fields, peer_id, want


def call(daemon: Daemon, path: str, fields: Any) -> dict[str, Any]:
    host, port = daemon.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(fields), headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (response.status, body)
        found: dict[str, Any] = json.loads(body)
        return found
    finally:
        connection.close()


class DaemonTests(SynchronousTestCase):
    def test_two_peers_meet_one_leads_and_when_it_dies_the_other_takes_over(self) -> None:
        tracker = Daemons(self).tracker()
        tracker.wait_ready()
        for number in (1, 2):
            call(tracker, "/announce", announce_fields(number, event="started"))
        met = call(tracker, "/announce", announce_fields(1))
        self.assertEqual(
            met["peers"], [{"peer": peer_id(2).hex(), "host": "127.0.0.1", "port": 4002}]
        )
        (granted,) = call(tracker, "/lease", lease_fields(1, want=[want(7)]))["leases"]
        self.assertEqual((granted["granted"], granted["expires_s"]), (True, 1.0))
        (refused,) = call(tracker, "/lease", lease_fields(2, want=[want(7)]))["leases"]
        self.assertEqual((refused["granted"], refused["leader"]), (False, peer_id(1).hex()))
        # No event tells that a lease ran out: the asker waits as long as it was told to.
        time.sleep(refused["retry_s"] + 0.05)
        (taken,) = call(tracker, "/lease", lease_fields(2, want=[want(7)]))["leases"]
        self.assertTrue(taken["granted"])
        self.assertGreater(taken["epoch"], granted["epoch"])
        self.assertEqual(tracker.stop(), 0)

    def test_the_environment_gives_it_a_port_and_an_admin_listener_tells_all(self) -> None:
        port, admin = free_port(), free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "dashp2p-tracker"],
            env=environment(
                {
                    "PORT": f"tcp:{port}:interface=127.0.0.1",
                    "DASHP2P_ADMIN": f"tcp:{admin}:interface=127.0.0.1",
                    "DASHP2P_TICKET_KEY": os.path.abspath(self.mktemp()),
                }
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=os.path.dirname(self.mktemp()) or ".",
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for listening in (port, admin):
            self.assertEqual(_get_when_up(listening, "/swarms"), {"v": 1, "swarms": []})
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)


class StartTests(SynchronousTestCase):
    def fails(self, *arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "dashp2p-tracker", *arguments],
            env=environment({"XDG_CONFIG_HOME": os.path.abspath(self.mktemp())}),
            capture_output=True,
            text=True,
            timeout=20,
        )
        self.assertNotEqual(ended.returncode, 0)
        output = ended.stdout + ended.stderr
        self.assertNotIn("Traceback", output)
        return output

    def test_a_taken_port_is_one_clear_line(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            output = self.fails("--listen", f"tcp:{port}:interface=127.0.0.1")
        lines = [line for line in output.splitlines() if f"tcp:{port}" in line]
        self.assertEqual(len(lines), 1, output)
        self.assertIn("Address already in use", lines[0])
        self.assertIn("--listen", lines[0])

    def test_a_bad_option_is_one_clear_line(self) -> None:
        output = self.fails("--interval", "soon")
        self.assertEqual(len(output.splitlines()), 1, output)
        self.assertIn("--interval", output)


def _get_when_up(port: int, path: str) -> Any:
    deadline = time.monotonic() + 20.0
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()
