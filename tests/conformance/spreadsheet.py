"""Whether a spreadsheet (xlsx) has each cell as the file of CSV that it was made from has it.

    spreadsheet.py FILE.csv FILE.xlsx
"""
import csv
import re
import sys
import xml.etree.ElementTree as xml
import zipfile

NAMES = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def content(element):
    """What does not fit XML is written as _xHHHH_."""
    text = "".join(part.text or "" for part in element.iterfind(".//s:t", NAMES))
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), text)


def cells_of(path):
    """By row and column, from 0: text, float or bool. A formula ends the program."""
    book = zipfile.ZipFile(path)
    texts = [content(t) for t in xml.fromstring(book.read("xl/sharedStrings.xml")).iterfind("s:si", NAMES)]
    cells = {}
    for cell in xml.fromstring(book.read("xl/worksheets/sheet1.xml")).iterfind(".//s:c", NAMES):
        name, kind = cell.get("r"), cell.get("t", "n")
        value = cell.findtext("s:v", namespaces=NAMES)
        if cell.find("s:f", NAMES) is not None:
            sys.exit(f"{name} is a formula: {cell.findtext('s:f', namespaces=NAMES)}")
        if value is None:
            continue
        column = 0
        for letter in name.rstrip("0123456789"):
            column = column * 26 + ord(letter) - ord("A") + 1
        row = int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        cells[row - 1, column - 1] = (texts[int(value)] if kind == "s" else value == "1" if kind == "b"
                                      else float(value))
    return cells


def same(expected, found):
    if isinstance(found, bool):
        return expected == ("true" if found else "false")
    if isinstance(found, float):
        return re.fullmatch(r"[0-9]+(\.[0-9]+)?", expected) is not None and abs(float(expected) - found) < 1e-6
    return expected.replace("\r\n", "\n") == found.replace("\r\n", "\n")


def main(table, sheet):
    csv.field_size_limit(1 << 30)
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    cells, numbers = cells_of(sheet), ("duration", "agents_involved", "agent_interactions")
    for i, row in enumerate(rows):
        for j, expected in enumerate(row):
            found = cells.pop((i, j), "")
            if not same(expected, found):
                sys.exit(f"row {i}, {rows[0][j]}: {found!r} instead of {expected!r}")
            if i > 0 and expected and isinstance(found, float) != rows[0][j].endswith(numbers):
                sys.exit(f"row {i}, {rows[0][j]}: {found!r} is of the wrong kind")
    if cells:
        sys.exit(f"more than the file has: {cells}")
    print(f"{len(rows)} rows are the same")


main(*sys.argv[1:])
