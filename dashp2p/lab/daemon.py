"""twistd, by the interpreter that runs the lab: `python -m dashp2p.lab.daemon ARGUMENTS`."""

from twisted.scripts.twistd import run

if __name__ == "__main__":
    run()
