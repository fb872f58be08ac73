"""Numbers and scenarios as people say them."""

from __future__ import annotations

from dashp2p.lab.report.experiment import Experiment
from dashp2p.lab.result import Setting
from dashp2p.lab.scenario import Lie, Links, Player, Scenario

_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LIES = {
    Lie.EMPTY: "refuses what it is asked for",
    Lie.SILENT: "answers nothing",
    Lie.FALSE: "sends false bytes",
    Lie.SQUAT: "takes leases and never fetches",
}


def number(value: int) -> str:
    """Small ones as words: `three`, `50`."""
    return _SMALL[value] if 0 <= value < len(_SMALL) else f"{value}"


def count(value: int, noun: str) -> str:
    """`three viewers`, `one viewer`, `no viewers`, `50 viewers`."""
    return f"{number(value)} {noun if value == 1 else noun + 's'}"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")


def mbit(rate_bps: float) -> str:
    return f"{rate_bps / 1e6:.2f} Mbit/s" if rate_bps < 10e6 else f"{rate_bps / 1e6:.0f} Mbit/s"


def seconds(value_s: float) -> str:
    return f"{value_s:.2f} s" if value_s < 10 else f"{value_s:.1f} s"


def times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 100 else f"{ratio:.0f} times"


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def length(value_s: float) -> str:
    """A film's or a stay's: `30 s`, `5 min`."""
    whole_minutes = value_s >= 120 and not value_s % 60
    return f"{value_s / 60:g} min" if whole_minutes else f"{value_s:g} s"


def scenario_in_words(experiment: Experiment) -> str:
    """Who is there, on which links, and what befalls them."""
    scenario = experiment.scenario
    parts = [_crowd(experiment)]
    if experiment.setting is Setting.LAB:
        parts += _links(scenario.links)
    elif experiment.setting is Setting.LOOPBACK:
        parts.append(
            "All of it is on one machine's loopback, where nothing but the origin's rate is "
            f"limited: {mbit(scenario.links.origin_uplink_bps)} up"
        )
    elif experiment.setting is Setting.DEMO:
        parts.append("All of it is on one machine, and no line is limited")
    else:
        parts.append("The network is a real one, and so are its other users")
    parts += _troubles(scenario)
    parts.append(_player(experiment))
    if scenario.most_bps is not None:
        parts.append(f"all but the last want no more than {mbit(scenario.most_bps)}")
    return " ".join(sentence(part) for part in parts if part)


def _crowd(experiment: Experiment) -> str:
    scenario = experiment.scenario
    if scenario.churn is not None:
        return (
            f"for {length(scenario.film_s)} {count(scenario.churn.crowd, 'viewer')} at a time "
            f"watch one film; each stays {length(scenario.churn.stay_s)} in the mean and is "
            "followed at once by somebody new"
        )
    viewers = count(scenario.peers, "viewer")
    film = f"one film of {length(scenario.film_s)}"
    if experiment.setting is Setting.REHEARSAL:
        film = f"one film, for {length(scenario.film_s)} at most"
    elif experiment.setting is Setting.DEMO:
        film = "one film" if scenario.peers == 1 else "the same film"
    opens = "opens" if scenario.peers == 1 else "open"
    if scenario.spacing_s and scenario.peers > 1:
        return f"{viewers} {opens} {film}, {scenario.spacing_s:g} s apart"
    together = " at the same moment" if scenario.peers > 1 else ""
    return f"{viewers} {opens} {film}{together}"


def _links(links: Links) -> list[str]:
    parts = [
        f"each has {mbit(links.uplink_bps)} up and {mbit(links.downlink_bps)} down, the origin "
        f"{mbit(links.origin_uplink_bps)} up"
    ]
    parts.append("a round trip takes 40 ms" if links.far else "all are near each other")
    if links.loss.rate:
        whose = (
            f"the lines of {count(links.lossy_peers, 'viewer')} lose"
            if links.lossy_peers is not None
            else "every viewer's line loses"
        )
        bursts = f" in bursts of {links.loss.burst:g}" if links.loss.burst > 1 else ""
        parts.append(f"{whose} {links.loss.rate * 100:g} % of what it sends{bursts}")
    if links.nat:
        parts.append("all viewers are behind one address translator, tracker and origin outside")
    return parts


def _troubles(scenario: Scenario) -> list[str]:
    parts = []
    if scenario.killed:
        parts.append(
            f"{count(scenario.killed, 'viewer')} {'is' if scenario.killed == 1 else 'are'} killed "
            f"after {scenario.killed_at_s:g} s, peer and all"
        )
    if scenario.churn is not None:
        endings = ", ".join(ending.value for ending in scenario.churn.endings)
        parts.append(f"nobody says goodbye ({endings})")
    if scenario.cold:
        parts.append("the peers start with the players and not before")
    if scenario.tracker_killed_at_s is not None:
        parts.append(f"the tracker is killed after {scenario.tracker_killed_at_s:g} s")
    if scenario.origin_killed_when_held:
        parts.append("the origin is killed once the crowd holds what it still needs of it")
    if scenario.liars:
        lies = "; ".join(f"one {_LIES[lie]}" for lie in scenario.liars)
        parts.append(f"beside them are {count(len(scenario.liars), 'liar')}: {lies}")
    return parts


def _player(experiment: Experiment) -> str:
    scenario = experiment.scenario
    if experiment.setting is Setting.REHEARSAL:
        return f"players keep {scenario.buffer_s:g} s of film in hand"
    if scenario.player is Player.DASHJS:
        return "the players are dash.js in Chromium"
    tells = "tell what they need (CMCD)" if scenario.player is Player.CMCD else "say nothing of it"
    return f"players keep {scenario.buffer_s:g} s of film in hand, and {tells}"
