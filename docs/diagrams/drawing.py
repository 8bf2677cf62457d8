"""Diagrams that look like docs/demo.svg: a dark terminal, in whose cells boxes, words and arrows stand."""

from __future__ import annotations

from html import escape

CELL_W, CELL_H, FONT = 9.0, 20.0, 15
MARGIN, BAR = 16.0, 34.0
"""Pixels round the cells, and of the bar above them."""
COLOURS = {"text": "#c5c8c6", "dim": "#868887", "green": "#98a84b", "red": "#cc555a", "blue": "#608ab1"}
STYLE = f"""
text {{ font-family: "Fira Code", "DejaVu Sans Mono", monospace; font-size: {FONT}px; white-space: pre }}
.title {{ font-family: arial, sans-serif; font-size: 14px; font-weight: bold; text-anchor: middle; fill: #c5c8c6 }}
.line {{ fill: none; stroke-width: 1.4 }}
"""


class Diagram:
    """A drawing of so many columns and rows; the description is what a screen reader says."""

    def __init__(self, title: str, description: str, columns: float, rows: float) -> None:
        self._title, self._description, self._columns, self._rows = title, description, columns, rows
        self._parts: list[str] = []

    def text(self, column: float, row: float, words: str, colour: str = "text", *, bold: bool = False) -> None:
        """Lines of words, the first one in this row."""
        for n, line in enumerate(words.split("\n")):
            if line.strip():
                indent = len(line) - len(line.lstrip())
                x, y = self._at(column + indent, row + n + 0.7)
                shown = line.strip()
                weight = ' font-weight="bold"' if bold else ""
                self._parts.append(
                    f'<text x="{x:.1f}" y="{y:.1f}" fill="{COLOURS[colour]}"{weight} '
                    f'textLength="{len(shown) * CELL_W:.1f}" lengthAdjust="spacingAndGlyphs">{escape(shown)}</text>'
                )

    def box(
        self,
        column: float,
        row: float,
        width: float,
        height: float,
        head: str = "",
        words: str = "",
        colour: str = "dim",
    ) -> None:
        """A frame with a bold first line, and further ones below."""
        (x, y), (right, bottom) = self._at(column, row), self._at(column + width, row + height)
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{bottom - y:.1f}" rx="6" '
            f'class="line" stroke="{COLOURS[colour]}"/>'
        )
        longest = max(map(len, (head, *words.split("\n"))))
        if longest + 2 > width:
            raise ValueError(f"A box of {width} columns is too narrow for the {longest} of {head!r}.")
        if head:
            self.text(column + 1, row + 0.3, head, "text" if colour == "dim" else colour, bold=True)
        self.text(column + 1, row + 1.4 if head else row + 0.3, words)

    def line(self, *points: tuple[float, float], colour: str = "dim", dashed: bool = False) -> None:
        """A line through these cells."""
        self._draw(points, colour, dashed, "")

    def arrow(self, *points: tuple[float, float], colour: str = "text", dashed: bool = False) -> None:
        """A line through these cells with a head at its end."""
        self._draw(points, colour, dashed, f' marker-end="url(#{colour})"')

    def bar(self, column: float, row: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        (x, y), (right, bottom) = self._at(column, row), self._at(column + width, row + height)
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{bottom - y:.1f}" rx="2" '
            f'fill="{COLOURS[colour]}"/>'
        )

    def svg(self) -> str:
        """The file."""
        width, height = self._at(self._columns, self._rows)
        width, height = width + MARGIN, height + MARGIN
        heads = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
            for name, colour in COLOURS.items()
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
                f'width="{width:.0f}" height="{height:.0f}" role="img" aria-labelledby="t d">',
                f'<title id="t">{escape(self._title)}</title>',
                f'<desc id="d">{escape(self._description)}</desc>',
                f"<style>{STYLE}</style>",
                f"<defs>{heads}</defs>",
                f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8" fill="#292929" '
                'stroke="#ffffff" stroke-opacity="0.35"/>',
                f'<text class="title" x="{width / 2:.0f}" y="22">{escape(self._title)}</text>',
                *(
                    f'<circle cx="{22 + 20 * n}" cy="17" r="6" fill="{colour}"/>'
                    for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
                ),
                *self._parts,
                "</svg>\n",
            ]
        )

    def _draw(self, points: tuple[tuple[float, float], ...], colour: str, dashed: bool, end: str) -> None:
        path = " L".join(f"{x:.1f} {y:.1f}" for x, y in (self._at(*point) for point in points))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path d="M{path}" class="line" stroke="{COLOURS[colour]}"{dash}{end}/>')

    @staticmethod
    def _at(column: float, row: float) -> tuple[float, float]:
        return MARGIN + column * CELL_W, BAR + row * CELL_H
