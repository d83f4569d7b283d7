"""Writes tests/golden/lifelines.json: what the package lifelines says of leads that were watched.

pip install lifelines && python tests/support/make_curve_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

FILE = Path(__file__).parents[1] / "golden/lifelines.json"
SAMPLES = 40
AGES = (0, 0.5, 1, 2, 3, 5, 8, 13, 21)


def main() -> None:
    from lifelines import KaplanMeierFitter

    random = Random(11)
    told = []
    for number in range(SAMPLES):
        size = random.randint(1, 60)
        ages = [random.choice((random.randint(0, 15), random.random() * 15)) for _ in range(size)]
        moved = [random.random() < number / SAMPLES for _ in range(size)]
        fitter = KaplanMeierFitter().fit(ages, moved)
        told.append(
            {
                "ages": ages,
                "moved": moved,
                "stays": [[age, float(fitter.predict(age))] for age in AGES],
            }
        )
    FILE.write_text(json.dumps(told, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
