"""python -m dashp2p.lab simulate: crowds on a virtual clock, and how to repeat them."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import asdict, evolve
from rich.console import Console
from rich.progress import Progress, TaskID

from dashp2p.coercers import byte_size
from dashp2p.lab import rows
from dashp2p.lab.scenario import Ablation, Churn, Ending, Lie, Scenario, Variant
from dashp2p.lab.sim.figures import SimFigures, figures
from dashp2p.lab.sim.incoming import BrokenInvariantError
from dashp2p.lab.sim.invariants import Invariants
from dashp2p.lab.sim.report import table
from dashp2p.lab.sim.simulation import Settings, Simulation, ladder_of
from dashp2p.swarm.policy import Policy


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m dashp2p.lab simulate", description=__doc__)
    add = found.add_argument
    add("--row", default="1", help="rows of the table of figures: number, name, range like 1-5 (1)")
    add("--seed", type=int, default=1, help="the first seed (1)")
    add("--seeds", type=int, default=1, help="how many seeds (1)")
    add("--peers", type=int, help="how many peers, instead of the row's")
    add("--spacing", type=float, metavar="S", help="seconds between two arrivals")
    add("--film", type=float, metavar="S", help="length of the film in seconds")
    add("--stay", type=float, metavar="S", help="churn: mean stay in seconds, exponential")
    add("--endings", default="kill,stop,cut", help="churn: how peers end (kill,stop,cut)")
    add("--aimed", action="store_true", help="churn: who leads a fetch goes first")
    add("--ramp", type=float, default=0.0, metavar="S", help="the first crowd comes within so long")
    add("--ladder", help="video rungs in kbit/s, as in 5000,3000,1000,500")
    add("--block-size", type=_size, default=16384, help="block size (16KiB)")
    add("--quantum", type=_size, help="largest piece on the network; larger is faster")
    add("--ablate", action="append", default=[], choices=[a.value for a in Ablation])
    add("--liars", help="peers that lie, beside the crowd: empty,silent,false,squat")
    add("--origin-down", type=float, nargs=2, metavar=("FROM", "TO"), help="the origin is away")
    add("--cmcd", action="store_true", help="players tell their buffer and what they ask for next")
    add("--buffer", type=float, metavar="S", help="what players keep, instead of the row's")
    add("--cold", action="store_true", help="daemons start with their players")
    add("--eager-hashes", action="store_true", help="answer with hashes before the first block")
    add("--no-peers", action="store_true", help="everybody straight from the origin")
    add("--no-lone", action="store_true", help="without one viewer alone beside it")
    add("--no-checks", action="store_true", help="without looking at every invariant: faster")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    return found


def scenario_of(options: argparse.Namespace, scenario: Scenario) -> Scenario:
    """The row, with what the options change. Raises ValueError."""
    if options.peers is not None:
        scenario = evolve(scenario, peers=options.peers)
    if options.spacing is not None:
        scenario = evolve(scenario, spacing_s=options.spacing)
    if options.film is not None:
        scenario = evolve(scenario, film_s=options.film)
    if options.liars is not None:
        kinds_of_lie = filter(None, options.liars.split(","))
        scenario = evolve(scenario, liars=tuple(Lie(lie) for lie in kinds_of_lie))
    if options.cold:
        scenario = evolve(scenario, cold=True)
    if options.stay is not None:
        kinds = {"kill": Ending.KILL, "stop": Ending.STOP, "cut": Ending.CUT}
        endings = tuple(kinds[name] for name in options.endings.split(","))
        churn = Churn(scenario.peers, options.stay, endings, options.aimed)
        scenario = evolve(scenario, churn=churn)
    elif scenario.churn is not None and options.peers is not None:
        scenario = evolve(scenario, churn=evolve(scenario.churn, crowd=options.peers))
    return scenario


def settings_of(
    options: argparse.Namespace, scenario: Scenario, seed: int, variant: Variant
) -> Settings:
    """One run's. Raises ValueError."""
    rates = ladder_of(scenario)
    if options.ladder:
        rates = tuple(int(float(rate) * 1000) for rate in options.ladder.split(","))
    return Settings(
        scenario=scenario,
        seed=seed,
        variant=variant,
        policy=Policy.without(frozenset(options.ablate)),
        ladder_bps=rates,
        block_size_bytes=options.block_size,
        ramp_s=options.ramp,
        origin_down_s=None if options.origin_down is None else tuple(options.origin_down),
        eager_hashes=options.eager_hashes,
        tells=options.cmcd,
        buffer_s=options.buffer,
        quantum_bytes=options.quantum or options.block_size,
    )


def run(settings: Settings, checks: bool, progress: Callable[[float], None]) -> Simulation:
    """Simulate it. Raises BrokenInvariantError."""
    sim = Simulation(settings)
    sim.progress = progress
    if checks:
        Invariants(sim).attach()
    sim.run()
    return sim


def main(arguments: list[str] | None = None) -> int:
    """Answers 0 when all that must hold has held."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(given)
    console = Console()
    documents: list[dict[str, object]] = []
    good = True
    try:
        for row in rows.find(options.row):
            scenario = scenario_of(options, row)
            found, broken = _all_runs(options, scenario, console)
            console.print(table(scenario, found))
            good = good and not broken and not any(one.unfinished for _, _, one in found)
            documents += [
                {"row": row.name, "seed": s, "variant": v.value, **asdict(f)} for s, v, f in found
            ]
    except ValueError as error:
        parser().error(str(error))
    again = shlex.join([*_without_seed(given), "--seed", "SEED"])
    text = f"again: python -m dashp2p.lab simulate {again}"
    console.print(text, highlight=False, soft_wrap=True)
    if options.json is not None:
        document = {"command": given, "good": good, "runs": documents}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if good else 1


def _all_runs(
    options: argparse.Namespace, scenario: Scenario, console: Console
) -> tuple[list[tuple[int, Variant, SimFigures]], bool]:
    """Every seed and variant of one scenario, and whether something broke that must hold."""
    crowd = Variant.PLAIN if options.no_peers else Variant.PEERS
    variants = (crowd,) if options.no_lone else (Variant.LONE, crowd)
    found: list[tuple[int, Variant, SimFigures]] = []
    with Progress(console=console, transient=True) as bar:
        for seed in range(options.seed, options.seed + options.seeds):
            for variant in variants:
                task = bar.add_task(f"{scenario.title}: {variant.value}, seed {seed}", total=1.0)

                def tell(share: float, task: TaskID = task) -> None:
                    bar.update(task, completed=share)

                settings = settings_of(options, scenario, seed, variant)
                try:
                    sim = run(settings, not options.no_checks, tell)
                except BrokenInvariantError as error:
                    console.print(f"[red]seed {seed}: {error}[/]", highlight=False)
                    return found, True
                finally:
                    bar.remove_task(task)
                found.append((seed, variant, figures(sim)))
    return found, False


def _size(text: str) -> int:
    try:
        return byte_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _without_seed(given: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in given:
        if skip:
            skip = False
        elif word in ("--seed", "--seeds"):
            skip = True
        elif not word.startswith(("--seed=", "--seeds=")):
            kept.append(word)
    return kept


if __name__ == "__main__":
    sys.exit(main())
