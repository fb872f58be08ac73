"""Tests of the HTTP manners that the daemons share."""
