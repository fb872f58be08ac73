"""HTTP manners shared by the daemons."""
