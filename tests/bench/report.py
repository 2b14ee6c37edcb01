# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the benchmarks that are scripts report: rows of two columns, ours and the peer's."""

import json
import statistics
from dataclasses import dataclass, field
from typing import Callable


@dataclass
class Row:
    name: str
    unit: str
    goal: str
    met: Callable[[float, float], bool]  # of the medians, ours and the peer's
    ours: "list[float]" = field(default_factory=list)
    peer: "list[float]" = field(default_factory=list)

    def as_object(self) -> "dict[str, object]":
        ours, peer = statistics.median(self.ours), statistics.median(self.peer)
        return {"name": self.name, "unit": self.unit, "ours": round(ours, 3), "peer": round(peer, 3),
                "ratio": round(ours / peer, 3) if peer else None, "goal": self.goal, "met": self.met(ours, peer),
                "ours_spread": [round(min(self.ours), 3), round(max(self.ours), 3)],
                "peer_spread": [round(min(self.peer), 3), round(max(self.peer), 3)]}


def at_most(name: str, unit: str, limit: float) -> Row:
    """A row whose goal is a ratio of at most limit."""
    return Row(name, unit, f"ratio <= {limit:g}", lambda ours, peer: ours <= peer * limit)


def at_least(name: str, unit: str, limit: float) -> Row:
    """A row whose goal is a ratio of at least limit."""
    return Row(name, unit, f"ratio >= {limit:g}", lambda ours, peer: ours >= peer * limit)


def format_table(rows: "list[dict[str, object]]") -> str:
    def value(row: "dict[str, object]", whose: str) -> str:
        low, high = row[f"{whose}_spread"]  # type: ignore[misc]
        return f"{row[whose]:.2f} [{low:.2f}..{high:.2f}]"

    table = [("name", "unit", "ours", "peer", "ratio", "goal", "met")]
    table += [(str(row["name"]), str(row["unit"]), value(row, "ours"), value(row, "peer"),
               "-" if row["ratio"] is None else f"{row['ratio']:.3f}", str(row["goal"]), "yes" if row["met"] else "no")
              for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() + "\n" for line in table)


def print_rows(rows: "list[dict[str, object]]", as_json: bool) -> None:
    """The table, or one JSON object for each row."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(format_table(rows), end="")
