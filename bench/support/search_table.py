"""The tables of bench/search.sh: search_table.py RESULTS JSON, lines of JSON in, one object out."""

import json
import statistics
import sys

POSTGRES = ["gin", "rum", "btree_nested", "btree_merge"]
IN_PROCESS = ["fts5", "xapian", "tantivy"]
ORDER = ["engine", "service"] + IN_PROCESS + POSTGRES
CLASSES = ["rare", "frequent", "freq_freq", "freq_rare", "disjoint", "absent", "five_words", "count", "page_and_total",
           "by_subject", "by_status", "far_page", "small_accounts"]
# How many times faster than the best of FTS5 and Xapian, than the best in PostgreSQL.
ENGINE_TARGETS = {"rare": 20, "frequent": 20, "absent": 20, "five_words": 20, "freq_freq": 50, "freq_rare": 50,
                  "disjoint": 10, "count": 500}
SERVICE_TARGETS = {name: 1 for name in CLASSES} | {"freq_freq": 2, "five_words": 20, "page_and_total": 100}
CHANGES = ["touch", "label", "message", "contact", "delete"]


def medians(lines):
    """{(size, peer, phase, class): {field: median}}"""
    groups = {}
    for line in lines:
        key = (line["size"], line["peer"], line["phase"], line["class"])
        groups.setdefault(key, []).append(line)
    return {key: {field: statistics.median(line[field] for line in group) for field, value in group[0].items()
                  if isinstance(value, (int, float))} for key, group in groups.items()}


def check_same(lines):
    """Every side must have found the same."""
    sums = {}
    for line in lines:
        if "sum" in line:
            sums.setdefault((line["size"], line["class"]), {}).setdefault(line["sum"], set()).add(line["peer"])
    differing = {key: found for key, found in sums.items() if len(found) > 1}
    for key, found in differing.items():
        print(f"DIFFERENT ANSWERS: {key}: {[sorted(peers) for peers in found.values()]}")
    return not differing


def number(value):
    if value is None:
        return "-"
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def verdict(ratio, target):
    if target is None or ratio is None:
        return ""
    return f"{target:g} {'met' if ratio >= target else 'NOT MET'}"


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths))))
    print()


class Size:
    def __init__(self, size, results):
        self.size = size
        self.results = results
        asked = [key[1] for key in results if key[0] == size and key[2] == "query"]
        self.peers = sorted(dict.fromkeys(asked), key=ORDER.index)

    def get(self, peer, phase, name, field):
        return self.results.get((self.size, peer, phase, name), {}).get(field)

    def best(self, peers, phase, name, field="p50_us"):
        found = [(self.get(peer, phase, name, field), peer) for peer in peers]
        return min(((value, peer) for value, peer in found if value), default=(None, None))

    def engine(self, out):
        others = [peer for peer in IN_PROCESS if peer in self.peers]
        rows = []
        for name in CLASSES:
            ours = self.get("engine", "query", name, "p50_us")
            if ours is None:
                continue
            best, who = self.best(["fts5", "xapian"], "query", name)
            ratio = best / ours if best else None
            out.append({"size": self.size, "part": "engine", "class": name, "us": ours, "best": best, "peer": who,
                        "ratio": ratio, "target": ENGINE_TARGETS.get(name)})
            rows.append([name, number(ours), number(self.get("engine", "query", name, "p99_us"))] +
                        [number(self.get(peer, "query", name, "p50_us")) for peer in others] +
                        [number(ratio), verdict(ratio, ENGINE_TARGETS.get(name))])
        print(f"{self.size:,} cases, in process, p50 in us; against the better of FTS5 and Xapian")
        table(["query", "engine", "p99"] + others + ["times", "target"], rows)

    def service(self, out):
        others = [peer for peer in POSTGRES if peer in self.peers]
        rows = []
        for name in CLASSES:
            ours = self.get("service", "query", name, "p50_us")
            best, who = self.best(others, "query", name)
            if ours is None or best is None:
                continue
            out.append({"size": self.size, "part": "service", "class": name, "us": ours, "best": best, "peer": who,
                        "ratio": best / ours, "target": SERVICE_TARGETS.get(name)})
            rows.append([name, number(ours), number(self.get("service", "query", name, "p99_us"))] +
                        [number(self.get(peer, "query", name, "p50_us")) for peer in others] +
                        [number(best / ours), verdict(best / ours, SERVICE_TARGETS.get(name))])
        floor = self.get("service", "query", "floor", "p50_us")
        if floor:
            rows.append(["a call that does nothing", number(floor), number(self.get("service", "query", "floor", "p99_us"))] +
                        ["" for _ in others] + ["", ""])
        print(f"{self.size:,} cases, whole call with total and matches over gRPC; PostgreSQL over its socket; p50 in us")
        table(["query", "service", "p99"] + others + ["times", "target"], rows)

    def changes(self, out):
        peers = [peer for peer in self.peers if peer != "service"]
        rows = []
        for name in CHANGES:
            cpu = {peer: self.get(peer, "update", name, "cpu_us") for peer in peers}
            if not any(cpu.values()):
                continue
            row = [name] + [number(cpu[peer]) for peer in peers]
            for peer, target in (("gin", 8), ("fts5", 3)):
                ratio = cpu[peer] / cpu["engine"] if cpu.get(peer) and cpu.get("engine") else None
                row += [number(ratio), verdict(ratio, target)]
                out.append({"size": self.size, "part": "change", "class": name, "peer": peer, "us": cpu.get("engine"),
                            "best": cpu.get(peer), "ratio": ratio, "target": target})
            rows.append(row)
        print(f"{self.size:,} cases, CPU of a change in us, each durable by itself (contact: all its cases at once)")
        table(["change"] + peers + ["of gin", "target", "of fts5", "target"], rows)

    def mixed(self, out):
        rows = []
        for peer in self.peers:
            p50, p99 = (self.get(peer, "mixed", "queries", field) for field in ("p50_us", "p99_us"))
            if not p50:
                continue
            ours = peer in ("engine", "service")
            out.append({"size": self.size, "part": "mixed", "peer": peer, "p50_us": p50, "p99_us": p99})
            rows.append([peer, number(p50), number(p99), number(p99 / p50),
                         f"10 {'met' if p99 <= 10 * p50 else 'NOT MET'}" if ours else "",
                         number(self.get(peer, "mixed", "changes", "p50_us")),
                         number(self.get(peer, "mixed", "changes", "p99_us"))])
        print(f"{self.size:,} cases, nine queries to one change, open loop, us from when it was due")
        table(["side", "p50", "p99", "p99/p50", "target", "change p50", "p99"], rows)

    def sizes(self, out, text):
        rows = []
        for peer in self.peers:
            if peer == "service" or not self.get(peer, "query", "open", "index_bytes"):
                continue
            seconds, cpu = (self.get(peer, "build", "build", field) for field in ("seconds", "cpu_us"))
            index, total = (self.get(peer, "query", "open", field) for field in ("index_bytes", "total_bytes"))
            first, kb = (self.get(peer, "query", "open", field) for field in ("first_answer_seconds", "resident_kb"))
            rate = text / self.size / cpu if cpu and peer not in POSTGRES else None  # bytes a us: MB a second
            out.append({"size": self.size, "part": "size", "peer": peer, "text_mb_per_cpu_second": rate,
                        "index_share": index / text if index else None, "first_answer_seconds": first,
                        "resident_bytes_a_case": kb * 1024 / self.size if kb else None})
            rows.append([peer, number(seconds), number(rate), number(index / 1e6), f"{100 * index / text:.0f}%",
                         number(total / 1e6), number(kb * 1024 / self.size) if peer not in POSTGRES else "-",
                         f"{first:.3f}"])
        print(f"{self.size:,} cases, {text / 1e6:,.0f} MB of text")
        table(["side", "build s", "MB/s CPU", "index MB", "of text", "all MB", "resident B/case", "first answer s"], rows)
        for name, what in (("start", "reading every case"), ("restart", "from its files")):
            seconds, kb = (self.get("service", "start", name, field) for field in ("seconds", "resident_kb"))
            if seconds:
                out.append({"size": self.size, "part": "start", "class": name, "seconds": seconds, "resident_kb": kb})
                print(f"service, {what}: {seconds:.2f} s from start to SERVING, then {kb / 1024:.0f} MB resident")
        print()


def main():
    lines = [json.loads(line) for line in open(sys.argv[1])]
    texts = {line["size"]: line["text_bytes"] for line in lines if line["phase"] == "corpus"}
    measured = [line for line in lines if line["phase"] != "corpus"]
    results, out = medians(measured), []
    same = check_same(measured)
    for size in texts:
        part = Size(size, results)
        part.engine(out)
        part.service(out)
        part.changes(out)
        part.mixed(out)
        part.sizes(out, texts[size])
    json.dump({"same_answers": same, "rows": out, "lines": measured}, open(sys.argv[2], "w"), indent=1)
    return 0 if same else 1


sys.exit(main())
