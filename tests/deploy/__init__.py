"""What deploy/ holds: units for systemd, an origin of nginx."""
