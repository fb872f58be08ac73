"""Tests of dashp2p.tracker."""
