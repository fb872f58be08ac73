"""What only root can try: hosts in namespaces and the switch between them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import netns
from dashp2p.lab.fabric import Delay, PortSpec
from dashp2p.lab.network import Nat, Network
from dashp2p.lab.processes import Programs, python_environment
from dashp2p.lab.starter import READY

A = PortSpec("a", "10.77.0.1", uplink_bps=8e6)
B = PortSpec("b", "10.77.0.2", group="core")


def _missing() -> str:
    try:
        netns.require_root()
    except netns.LabUnavailableError as error:
        return str(error)
    return ""


def connect(network: Network, host: str, ip: str, port: int, timeout_s: float = 2.0) -> float:
    """Seconds that a connection took. OSError when there is none."""
    with netns.inside(network.namespace(host)):
        client = socket.socket()
    with client:
        client.settimeout(timeout_s)
        started = time.monotonic()
        client.connect((ip, port))
        return time.monotonic() - started


def listen(network: Network, host: str, port: int) -> socket.socket:
    with netns.inside(network.namespace(host)):
        return socket.create_server(("", port))


@skipUnless(not _missing(), _missing())
class NetworkTests(SynchronousTestCase):
    def test_hosts_are_as_far_apart_as_the_scenario_says(self) -> None:
        with Network([A, B], [Delay("peer", "core", 0.05)]) as network, listen(network, "b", 80):
            self.assertGreaterEqual(connect(network, "a", B.ip, 80), 0.1)

    def test_a_host_uses_the_congestion_control_of_the_experiment(self) -> None:
        with Network([A]) as network, netns.inside(network.namespace("a")):
            path = Path("/proc/sys/net/ipv4/tcp_congestion_control")
            self.assertEqual(path.read_text().strip(), "cubic")

    def test_an_uplink_keeps_its_rate(self) -> None:
        with Network([A, B]) as network, listen(network, "b", 80) as server:
            server.settimeout(5)
            with netns.inside(network.namespace("a")):
                client = socket.socket()
            with client:
                client.settimeout(5)
                client.connect((B.ip, 80))
                sender = threading.Thread(target=client.sendall, args=(bytes(1_000_000),))
                received, started = 0, time.monotonic()
                sender.start()
                with server.accept()[0] as connection:
                    connection.settimeout(5)
                    while received < 1_000_000:
                        received += len(connection.recv(65536))
                took_s = time.monotonic() - started
                sender.join()
            self.assertGreaterEqual(took_s, 1.0)

    def test_a_cut_link_is_silent(self) -> None:
        with Network([A, B]) as network, listen(network, "b", 80):
            network.connect("b", False)
            self.assertRaises(TimeoutError, connect, network, "a", B.ip, 80, 0.3)

    def test_behind_a_nat_one_reaches_out_and_is_not_reached(self) -> None:
        inner = PortSpec("a", "10.78.1.1", lan="site")
        nat = Nat("nat", PortSpec("nat", "10.78.0.1", lan="site"), PortSpec("nat", "10.77.0.3"))
        with Network([inner, B], nats=[nat]) as network:
            with listen(network, "b", 80) as server:
                connect(network, "a", B.ip, 80)
                self.assertEqual(server.accept()[1][0], "10.77.0.3")
            with listen(network, "a", 80):
                self.assertRaises(OSError, connect, network, "b", "10.77.0.3", 80, 0.3)

    def test_nothing_is_left_when_it_is_over(self) -> None:
        with Network([A, B]) as network:
            names = [network.namespace("a"), network.namespace("b")]
            running = subprocess.Popen(network.command("a", ["sleep", "60"]))
        self.assertEqual(set(names) & set(netns.existing()), set())
        self.assertNotEqual(running.wait(5), 0)

    def test_what_a_killed_run_left_is_found_and_removed(self) -> None:
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                              capture_output=True, text=True, check=True)  # fmt: skip
        name = netns.name_of("left", int(gone.stdout))
        netns.create(name)
        self.assertIn(name, netns.leftovers())
        netns.delete(name)
        self.assertNotIn(name, netns.existing())

    def test_a_run_under_way_is_no_leftover(self) -> None:
        with Network([A]) as network:
            self.assertNotIn(network.namespace("a"), netns.leftovers())


class ProgramsTests(SynchronousTestCase):
    """Not root's business, but real processes too."""

    def test_a_prepared_program_begins_when_it_is_told(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        programs = Programs(folder)
        self.addCleanup(programs.close)
        (folder / "late_to_start.py").write_text("import time; print('began', time.time())")
        paths = os.pathsep.join([str(folder.resolve()), python_environment()["PYTHONPATH"]])
        starter = [sys.executable, "-m", "dashp2p.lab.starter", "late_to_start"]
        program = programs.start("late", starter, {"PYTHONPATH": paths})
        self._wait(lambda: program.said(READY))
        at_s = time.time() + 0.2
        program.begin(at_s)
        program.process.wait(10)
        self.assertGreaterEqual(float(program.tail(1).split()[1]), at_s)

    def test_a_program_that_ignores_sigterm_is_killed(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        programs = Programs(folder)
        code = "import signal,time; signal.signal(15, signal.SIG_IGN); print('x', flush=True); "
        deaf = programs.start("deaf", [sys.executable, "-c", code + "time.sleep(60)"])
        self._wait(lambda: deaf.said("x"))
        programs.close(patience_s=0.2)
        self.assertEqual(deaf.process.returncode, -9)

    def _wait(self, condition: object) -> None:
        until = time.monotonic() + 10
        while not condition():  # type: ignore[operator]
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)
