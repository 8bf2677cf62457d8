"""python -m docs.diagrams: draws docs/diagrams/*.svg."""

from pathlib import Path

from docs.diagrams.drawings import ALL

for drawing in ALL:
    path = Path(__file__).parent / f"{drawing.__name__.replace('_', '-')}.svg"
    path.write_text(drawing().svg())
    print(path)
