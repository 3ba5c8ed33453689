#!/usr/bin/env python3
"""Draw the packages and their imports: `docs/architecture.svg`.

    .venv/bin/python scripts/draw_architecture.py            # draw the file again
    .venv/bin/python scripts/draw_architecture.py --check    # check that the file is up to date

A box is a folder of modules. Modules at a package's root share a box if they import no folder, and
another box if no folder imports them; each other module has a box of its own. An arrow means
"imports"; arrows that follow from others are left out. A circle of imports is an error.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
DRAWING = ROOT / "docs" / "architecture.svg"
ROWS = (("label_studio_backend", "fiftyone_plugin"), ("pam_labeling",), ("pam_model",))
PACKAGES = [package for row in ROWS for package in row]

# All sizes are in pixels.
WIDTH = 1120
BOX_WIDTH, LINE, PADDING = 190, 14, 8
GAP_X, GAP_Y, GAP_PACKAGES = 12, 40, 46
TITLE = 30
LETTERS_PER_LINE = 27


@dataclass(frozen=True)
class Node:
    """A box: its name, the names of its modules, and its row in the package, from the top."""

    name: str
    modules: tuple[str, ...]
    row: int

    @property
    def lines(self) -> list[str]:
        """The modules' names, wrapped."""
        lines = [""]
        for module in self.modules:
            joined = f"{lines[-1]}, {module}" if lines[-1] else module
            if len(joined) > LETTERS_PER_LINE:
                lines.append(module)
            else:
                lines[-1] = joined
        return [line for line in lines if line]

    @property
    def height(self) -> int:
        """The height of the box."""
        return LINE * (1 + len(self.lines)) + 2 * PADDING


@dataclass(frozen=True)
class House:
    """One package: its boxes, and the arrows between them as pairs of names."""

    package: str
    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str], ...]

    @property
    def rows(self) -> list[list[Node]]:
        """The boxes by row, from the top."""
        rows: list[list[Node]] = [[] for _ in range(1 + max(node.row for node in self.nodes))]
        for node in self.nodes:
            rows[node.row].append(node)
        return rows

    @property
    def height(self) -> int:
        """The height of the package."""
        rows = [max(node.height for node in row) for row in self.rows]
        return TITLE + sum(rows) + GAP_Y * (len(rows) - 1) + 2 * PADDING


def house(graph: grimp.ImportGraph, package: str) -> House:
    """The folders of a package, its modules at the root, and who imports whom."""
    children = sorted(graph.find_children(package))
    folders = [child for child in children if graph.find_children(child)]
    single = [child for child in children if child not in folders]
    below = [module for module in single if not reaches(graph, package, module, folders)]
    above = [
        module
        for module in single
        if module not in below
        and not any(directly(graph, other, module) for other in children if other != module)
    ]
    parts = {folder.removeprefix(f"{package}."): [folder] for folder in folders}
    parts |= {
        module.removeprefix(f"{package}."): [module]
        for module in single
        if module not in above + below
    }
    # A box at the root is named after its place, with a name that no folder can have.
    parts |= {name: modules for name, modules in (("above", above), ("below", below)) if modules}
    imports = {
        (one, other)
        for one in parts
        for other in parts
        if one != other and any(directly(graph, a, b) for a in parts[one] for b in parts[other])
    }
    ranks = depths(set(parts), imports)
    lowest = max(ranks.values())
    nodes = [
        Node(name, modules_of(graph, package, name, modules), lowest - ranks[name])
        for name, modules in sorted(parts.items())
    ]
    return House(package, tuple(nodes), tuple(sorted(reduced(imports))))


def directly(graph: grimp.ImportGraph, importer: str, imported: str) -> bool:
    """Whether a module, or one inside it, imports another module, or one inside that."""
    return graph.direct_import_exists(importer=importer, imported=imported, as_packages=True)


def reaches(graph: grimp.ImportGraph, package: str, module: str, folders: list[str]) -> bool:
    """Whether a module at the root imports a folder, directly or through other such modules."""
    inside = graph.find_children(package) - set(folders)
    seen, stack = {module}, [module]
    while stack:
        current = stack.pop()
        if any(directly(graph, current, folder) for folder in folders):
            return True
        new = (graph.find_modules_directly_imported_by(current) & inside) - seen
        seen |= new
        stack += sorted(new)
    return False


def depths(names: set[str], imports: set[tuple[str, str]]) -> dict[str, int]:
    """How many boxes are below each box, along the longest path."""
    found: dict[str, int] = {}

    def depth(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise SystemExit(f"circle of imports: {' -> '.join([*path, name])}")
        if name not in found:
            below = [depth(b, (*path, name)) for a, b in sorted(imports) if a == name]
            found[name] = 1 + max(below, default=-1)
        return found[name]

    for name in sorted(names):
        depth(name, ())
    return found


def reduced(imports: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows without those that follow from others."""

    def leads(start: str, end: str, arrows: set[tuple[str, str]]) -> bool:
        return any(a == start and (b == end or leads(b, end, arrows)) for a, b in arrows)

    return {arrow for arrow in imports if not leads(*arrow, imports - {arrow})}


def modules_of(
    graph: grimp.ImportGraph, package: str, name: str, parts: list[str]
) -> tuple[str, ...]:
    """The names to write into a box."""
    if name in ("above", "below"):
        return tuple(part.removeprefix(f"{package}.") for part in parts)
    [folder] = parts
    # A module at the root has no children, so its box has only a name.
    return tuple(
        f"{child.removeprefix(f'{folder}.')}{'/' if graph.find_children(child) else ''}"
        for child in sorted(graph.find_children(folder))
    )


def svg(houses: dict[str, House]) -> str:
    """The whole drawing."""
    parts: list[str] = []
    top = GAP_X
    for row in ROWS:
        width = (WIDTH - GAP_X * (len(row) + 1)) // len(row)
        height = max(houses[package].height for package in row)
        for column, package in enumerate(row):
            left = GAP_X + column * (width + GAP_X)
            parts += drawn_house(houses[package], left, top, width, height)
            if row != ROWS[-1]:
                middle = left + width // 2
                parts.append(
                    arrow(middle, top + height, middle, top + height + GAP_PACKAGES, wide=True)
                )
        top += height + GAP_PACKAGES
    total = top - GAP_PACKAGES + GAP_X
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" role="img">'
    return "\n".join(
        [head, STYLE, f'<rect class="page" width="{WIDTH}" height="{total}"/>', *parts, "</svg>\n"]
    )


STYLE = """<title>The packages of pam-labeling, their folders, and who imports whom</title>
<style>
  text { font-family: system-ui, sans-serif; font-size: 11px; fill: #333 }
  .title { font-size: 17px; font-weight: 600; fill: #111 }
  .name { font-size: 13px; font-weight: 600; fill: #111 }
  .page { fill: #fff }
  .package { fill: #f2f5f9; stroke: #b9c4d3 }
  .box { fill: #fff; stroke: #6b7f99 }
  .arrow { fill: none; stroke: #44546a; stroke-width: 1.3; marker-end: url(#head) }
  .wide { stroke-width: 3; marker-end: url(#wide-head) }
</style>
<defs>
  <marker id="head" viewBox="0 0 8 8" refX="7" refY="4"
    markerWidth="7" markerHeight="7" orient="auto">
    <path d="M0 0 8 4 0 8z" fill="#44546a"/></marker>
  <marker id="wide-head" viewBox="0 0 8 8" refX="7" refY="4"
    markerWidth="4" markerHeight="4" orient="auto">
    <path d="M0 0 8 4 0 8z" fill="#44546a"/></marker>
</defs>"""


def drawn_house(house: House, left: int, top: int, width: int, height: int) -> list[str]:
    """A package as SVG: its frame, its arrows, and its boxes on top."""
    places: dict[str, tuple[int, int, Node]] = {}
    y = top + TITLE + PADDING
    for row in house.rows:
        row_width = len(row) * BOX_WIDTH + (len(row) - 1) * GAP_X
        x = left + (width - row_width) // 2
        for node in row:
            places[node.name] = (x, y, node)
            x += BOX_WIDTH + GAP_X
        y += max(node.height for node in row) + GAP_Y
    parts = [
        f'<rect class="package" x="{left}" y="{top}" width="{width}" height="{height}" rx="8"/>',
        f'<text class="title" x="{left + 12}" y="{top + 22}">{house.package}</text>',
    ]
    for one, other in house.arrows:
        x1, y1, upper = places[one]
        x2, y2, _ = places[other]
        parts.append(arrow(x1 + BOX_WIDTH // 2, y1 + upper.height, x2 + BOX_WIDTH // 2, y2))
    for x, y, node in places.values():
        parts += drawn_box(node, x, y, house.package)
    return parts


def drawn_box(node: Node, x: int, y: int, package: str) -> list[str]:
    """A box as SVG, with its name and its modules."""
    name = node.name
    if name in ("above", "below"):
        name = f"{package}/"
    elif node.modules:
        name = f"{name}/"
    size = f'width="{BOX_WIDTH}" height="{node.height}"'
    parts = [f'<rect class="box" x="{x}" y="{y}" {size} rx="4"/>']
    text_y = y + PADDING + LINE - 3
    parts.append(f'<text class="name" x="{x + PADDING}" y="{text_y}">{escape(name)}</text>')
    for number, line in enumerate(node.lines, start=1):
        parts.append(f'<text x="{x + PADDING}" y="{text_y + number * LINE}">{escape(line)}</text>')
    return parts


def arrow(x1: int, y1: int, x2: int, y2: int, *, wide: bool = False) -> str:
    """An arrow as SVG; it leaves downwards and arrives from above."""
    bend = (y2 - y1) // 2
    style = "arrow wide" if wide else "arrow"
    return f'<path class="{style}" d="M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"/>'


def main() -> None:
    """Draw the file, or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail if the drawing would change")
    check = parser.parse_args().check
    sys.path[:0] = [str(ROOT / "model"), str(ROOT)]
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    drawing = svg({package: house(graph, package) for package in PACKAGES})
    if not check:
        DRAWING.write_text(drawing, encoding="utf-8")
    elif not DRAWING.exists() or DRAWING.read_text(encoding="utf-8") != drawing:
        sys.exit(f"{DRAWING.relative_to(ROOT)} is out of date: run scripts/draw_architecture.py")


if __name__ == "__main__":
    main()
