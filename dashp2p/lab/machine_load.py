"""How busy this machine is: near all of it, the machine is what an experiment measures."""

from __future__ import annotations

from pathlib import Path

_STAT = Path("/proc/stat")


class MachineLoad:
    """All cores' time, from its making on."""

    def __init__(self) -> None:
        self._before = self._read()

    def share(self) -> float | None:
        """Of that time what was used, 0 to 1; None where the system does not tell (macOS)."""
        now = self._read()
        if now is None or self._before is None:
            return None
        passed = now[0] - self._before[0]
        return 1 - (now[1] - self._before[1]) / passed if passed else 0.0

    @staticmethod
    def _read() -> tuple[int, int] | None:
        try:
            line = _STAT.read_text().split("\n", 1)[0]
        except OSError:
            return None
        fields = [int(text) for text in line.split()[1:]]
        return sum(fields), fields[3] + fields[4]
