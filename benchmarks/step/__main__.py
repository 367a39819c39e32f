"""How near the optimum a default fit gets, how soon, and where it stops, on many sets.

Run ``python -m benchmarks.step`` with ``SKSOFTMAX_TABLES`` naming a folder of tables. A *gap*
is how far the objective of the model kept is above its optimum, beside how far it is with all
weights zero: after 1, 3 and 10 epochs, and where the fit stops by itself. Accuracy and
log-loss are means of five stratified splits, beside a StandardScaler and LogisticRegression at
the same alpha, the peer. *Regret*, with ``--regret``, is the gap after 10 epochs beside the
least among nine learning rates chosen by hand with momentum 0.9. ``--large`` adds sets that
take minutes each, ``--cache`` keeps optima and the peer's figures for the next run.
"""

from __future__ import annotations

import argparse
import json
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine
from benchmarks.step.measures import Options, measure
from benchmarks.step.report import print_sets, print_summary, restructured
from benchmarks.step.sets import LARGE, all_sets

QUICK_ROWS = 6_000


def parameter(text: str) -> tuple[str, Any]:
    """Return the name and value in an argument ``name=value``."""
    name, _, value = text.partition("=")
    try:
        return name, literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--set", nargs="+", metavar="NAME", help="run these sets only")
    parser.add_argument("--quick", action="store_true", help="sets of few rows, two splits")
    parser.add_argument("--large", action="store_true", help="also sets that take minutes")
    parser.add_argument("--regret", action="store_true", help="also nine rates chosen by hand")
    parser.add_argument("--alpha", type=parameter_value, help="instead of the default")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument(
        "--parameter", nargs="+", type=parameter, default=[], metavar="NAME=VALUE"
    )
    parser.add_argument("--cache", type=Path, help="file of optima and the peer's figures")
    parser.add_argument("--output", type=Path, help="write all figures to this JSON file")
    parser.add_argument("--table", type=Path, help="write docs/step.inc, or another file")
    options = parser.parse_args(arguments)
    known = all_sets()
    unknown = set(options.set or ()) - set(known)
    if unknown:
        parser.error(f"no set is named {sorted(unknown)}; there are {', '.join(known)}")
    return options


def parameter_value(text: str) -> Any:
    """Return a number where the text is one, else the text."""
    return parameter(f"={text}")[1]


def main(arguments: list[str] | None = None) -> None:
    """Measure the sets, print the table, and write the figures."""
    given = parsed(arguments)
    parameters = {"backend": given.backend} | dict(given.parameter)
    if given.alpha is not None:
        parameters["alpha"] = given.alpha
    options = Options(parameters, 2 if given.quick else 5, given.regret, given.cache)
    all_found = []
    print(machine())
    print(f"parameters: {parameters}")
    for name, data in all_sets().items():
        if given.set and name not in given.set:
            continue
        if not given.set and data.kind == LARGE and not given.large:
            continue
        if given.quick and data.X.shape[0] > QUICK_ROWS:
            continue
        print(f"\r{name:30}", end="", file=sys.stderr, flush=True)
        try:
            all_found.append(measure(data, options))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            print(f"{name}: {type(error).__name__}: {error}")
        if given.output:
            result = {"machine": machine(), "parameters": parameters, "sets": all_found}
            given.output.write_text(json.dumps(result, indent=1))
    print(file=sys.stderr)
    if all_found:
        print_sets(all_found)
        print_summary(all_found)
        if given.table:
            given.table.write_text(restructured(all_found))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
