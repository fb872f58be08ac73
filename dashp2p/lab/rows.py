"""The table of figures: the scenarios that the project promises something about."""

from __future__ import annotations

from attrs import evolve

from dashp2p.lab.loss import Loss
from dashp2p.lab.scenario import Churn, Lie, Links, Player, Scenario, Targets

_NEAR = Targets(
    cps_max=1.05,
    egress_over_lone_max=1.25,
    mean_over_lone_min=0.95,
    startup_median_over_lone_s=0.4,
    startup_worst_over_lone_s=0.8,
    stalls_max=0,
)

ROWS: tuple[Scenario, ...] = (
    Scenario("near", "ten at once, near", 1, targets=_NEAR),
    Scenario("near-2s", "ten, 2 s apart, near", 2, spacing_s=2.0, targets=_NEAR),
    Scenario(
        "near-twenty",
        "twenty, 0.5 s apart, near",
        3,
        peers=20,
        spacing_s=0.5,
        targets=evolve(_NEAR, offload_min=0.94),
    ),
    Scenario(
        "far",
        "ten at once, far",
        4,
        links=Links(far=True),
        targets=Targets(
            cps_max=1.05,
            mean_over_lone_min=0.95,
            startup_median_over_lone_s=0.6,
            startup_worst_over_lone_s=1.0,
            stalls_max=0,
        ),
    ),
    Scenario(
        "far-loss",
        "ten at once, far, 2 % lost",
        5,
        links=Links(far=True, loss=Loss(0.02)),
        targets=Targets(
            cps_max=1.10,
            mean_over_lone_min=0.90,
            startup_median_over_lone_s=0.8,
            startup_worst_over_lone_s=1.5,
            stalls_max=0,
        ),
    ),
    Scenario(
        "far-bursts",
        "ten at once, far, three lose 10 % in bursts of four",
        6,
        links=Links(far=True, loss=Loss(0.10, burst=4), lossy_peers=3),
        targets=Targets(cps_max=1.10, mean_over_lone_min=0.90, stalls_max=0),
    ),
    Scenario(
        "three-killed",
        "ten, 1 s apart, near, three killed at 12 s",
        7,
        spacing_s=1.0,
        killed=3,
        killed_at_s=12.0,
        targets=Targets(cps_max=1.10, stalls_max=0),
    ),
    Scenario(
        "churn",
        "ten at a time, mean stay 20 s, near",
        8,
        film_s=120.0,
        churn=Churn(),
        targets=Targets(cps_max=1.15, stalls_max=0, takeovers_min=10),
    ),
    Scenario(
        "fifty",
        "fifty at once, near",
        9,
        peers=50,
        # Ten times what two cores carry of the usual ladder would measure the machine.
        ladder="360:500,240:250",
        targets=Targets(cps_max=1.05, offload_min=0.97, stalls_max=0),
    ),
    Scenario(
        "thin-uplinks",
        "ten, 1 s apart, uplinks of 4 Mbit/s",
        10,
        spacing_s=1.0,
        links=Links(uplink_bps=4e6),
        targets=Targets(window_egress_over_need_max=1.15, mean_over_lone_min=0.85, stalls_max=0),
    ),
    Scenario(
        "cold",
        "ten at once, daemons just started, near",
        11,
        cold=True,
        targets=Targets(startup_median_over_lone_s=0.7, startup_worst_over_lone_s=0.7),
    ),
    Scenario("nat", "ten behind one NAT", 12, links=Links(nat=True), targets=Targets(cps_max=1.10)),
    Scenario(
        "tracker-killed",
        "ten at once, near, tracker killed at 5 s",
        13,
        tracker_killed_at_s=5.0,
        targets=Targets(cps_max=1.25, stalls_max=0),
    ),
    Scenario(
        "origin-killed",
        "ten, 2.5 s apart, near, all but the last content with 3 Mbit/s, "
        "origin killed once that is held",
        14,
        # At once all would have all when it is held. The last comes to a rung that nobody has.
        spacing_s=2.5,
        most_bps=3e6,
        origin_killed_when_held=True,
        targets=Targets(stalls_max=0, refusal_s_max=1.0),
    ),
    Scenario(
        "liars",
        "ten at once, near, five of them liars, two of these squat leases",
        15,
        peers=5,
        liars=(Lie.EMPTY, Lie.SILENT, Lie.FALSE, Lie.SQUAT, Lie.SQUAT),
        targets=Targets(cps_max=1.5, stalls_max=0, liars_kept_max=0),
    ),
)


BROWSERS = 5
BROWSER_LADDER = "360:5000,270:3000,240:1000,180:500"
"""The usual bitrates in small pictures: five Chromiums have two cores to decode them on."""


def with_player(scenario: Scenario, player: Player) -> Scenario:
    """The same scenario with another kind of viewer."""
    if player is not Player.DASHJS:
        return evolve(scenario, player=player)
    viewers = min(BROWSERS, scenario.peers)
    return evolve(
        scenario,
        title=f"{scenario.title} (but {viewers} viewers, dash.js)",
        player=player,
        most_bps=None,
        peers=viewers,
        ladder=BROWSER_LADDER,
    )


def with_origin_uplink(scenario: Scenario, rate_bps: float) -> Scenario:
    """The same scenario with another line from the origin. As wide as the whole crowd needs, plain
    viewers show what the machine that they run on allows."""
    links = evolve(scenario.links, origin_uplink_bps=rate_bps)
    title = f"{scenario.title} (origin's uplink {rate_bps / 1e6:g} Mbit/s)"
    return evolve(scenario, title=title, links=links)


def find(text: str) -> list[Scenario]:
    """Rows by number, name, range ("1-6") or "all". ValueError with what there is."""
    if text == "all":
        return list(ROWS)
    low, dash, high = text.partition("-")
    if low.isdigit() and (not dash or high.isdigit()):
        numbers = range(int(low), int(high or low) + 1)
        found = [row for row in ROWS if row.number in numbers]
    else:
        found = [row for row in ROWS if row.name == text]
    if not found:
        known = ", ".join(f"{row.number} {row.name}" for row in ROWS)
        raise ValueError(f"no scenario {text!r}; there are: {known}, and all")
    return found
