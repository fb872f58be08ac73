"""A crowd of real daemons for a long time, with churn: does anything grow? `lab soak --help`."""
