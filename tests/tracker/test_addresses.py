"""What an address says, and which private ones are passed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker.addresses import private_address, whereabouts


class WhereaboutsTests(SynchronousTestCase):
    def test_an_ipv4_address_is_a_site_and_its_24_is_near(self) -> None:
        at = whereabouts("198.51.100.7")
        self.assertEqual((at.site, at.network), ("198.51.100.7", "198.51.100.0/24"))
        self.assertFalse(at.local)

    def test_an_ipv6_64_is_a_site(self) -> None:
        self.assertEqual(whereabouts("2001:db8:1:2::7").site, "2001:db8:1:2::/64")

    def test_an_ipv4_address_in_ipv6_clothes_is_itself(self) -> None:
        self.assertEqual(whereabouts("::ffff:198.51.100.7"), whereabouts("198.51.100.7"))

    def test_loopback_and_private_addresses_are_local(self) -> None:
        for host in ("127.0.0.1", "127.3.2.1", "::1", "10.1.2.3", "192.168.0.9", "fd00::1"):
            self.assertTrue(whereabouts(host).local, host)
        self.assertTrue(whereabouts("127.3.2.1").loopback)
        self.assertFalse(whereabouts("10.1.2.3").loopback)

    def test_a_zone_is_dropped(self) -> None:
        self.assertEqual(whereabouts("fe80::1%eth0").host, "fe80::1")


class PrivateAddressTests(SynchronousTestCase):
    def test_private_addresses_pass(self) -> None:
        for text in ("10.0.0.5:4001", "172.31.9.9:65535", "192.168.1.1:1024", "[fd12::5]:4001"):
            self.assertEqual(str(private_address(text)), text)

    def test_nobody_is_sent_where_peers_are_not(self) -> None:
        for text in (
            "127.0.0.1:4001",
            "169.254.169.254:4001",
            "224.0.0.1:4001",
            "0.0.0.0:4001",
            "255.255.255.255:4001",
            "100.64.0.1:4001",
            "198.51.100.7:4001",
            "172.32.0.1:4001",
            "[::1]:4001",
            "[fe80::1]:4001",
            "[2001:db8::1]:4001",
            "[::ffff:127.0.0.1]:4001",
            "192.168.1.1:80",
        ):
            self.assertIsNone(private_address(text), text)

    def test_what_is_no_address_is_an_error(self) -> None:
        for text in (
            "",
            "10.0.0.5",
            "10.0.0.5:",
            "10.0.0.5:0",
            "10.0.0.5:65536",
            "10.0.0:4001",
            "10.0.0.5.6:4001",
            "host.example:4001",
            "fd00::1:4001",
            "[fd00::1:4001",
            "[fd00::1%eth0]:4001",
            "[10.0.0.5:4001",
            "10.0.0.5:4001 ",
            "10.0.0.5:४००१",
        ):
            self.assertRaises(ValueError, private_address, text)

    @given(st.text(alphabet="0123456789abf.:[]%", max_size=24))
    def test_nothing_else_is_raised_whatever_is_sent(self, text: str) -> None:
        try:
            found = private_address(text)
        except ValueError:
            return
        self.assertTrue(found is None or whereabouts(found.host).local)
