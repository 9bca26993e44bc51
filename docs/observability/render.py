#!/usr/bin/env python3
"""Draws dashboard.svg: the panels of grafana-dashboard.json, filled by a demonstration run.

    render.py [SECONDS [FILE]]

makes tenants and a table in the empty database that PGHOST, PGDATABASE and so on name (as a superuser; the library is to be
preloaded), has several tenants work in it for a minute, asks the queries of postgres_exporter.yaml each second as an exporter does,
reckons what the panels ask for, and draws it. It knows as much of PromQL as the dashboard and the alerts use. It is no Grafana: the
picture shows what the dashboard tells, not how Grafana looks to the pixel. What the tenants do is drawn by lot from a fixed seed; how much of it
they get done in a minute differs from run to run.
"""

import csv
import html
import io
import json
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
RATE_INTERVAL = 8.0

SETUP = """
CREATE EXTENSION pg_tenancy;
CREATE ROLE demo_app LOGIN;
CREATE ROLE demo_exporter LOGIN IN ROLE pg_monitor;
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id uuid NOT NULL DEFAULT tenancy.current_tenant(),
                     amount numeric NOT NULL CHECK (amount >= 0), PRIMARY KEY (tenant_id, id));
SELECT tenancy.protect('orders');
GRANT SELECT, INSERT, UPDATE ON orders TO demo_app;
SELECT tenancy.grant_access('demo_app');
SELECT tenancy.create_resource('exports', 'rate');
SELECT tenancy.create_tenant(key) FROM unnest('{acme,globex,initech,umbrella,hooli}'::text[]) AS key;
SELECT tenancy.set_quota('hooli', 'exports', 30, per => '1 minute');
"""

# How often a tenant works in a second, and with how many rows at a time.
TENANTS = {"acme": (40, 30), "globex": (25, 80), "initech": (15, 10), "umbrella": (8, 400), "hooli": (12, 20)}


def psql(*arguments, text=None, role=None):
    command = ["psql", "--no-psqlrc", "--quiet", *(["--username", role] if role else []), *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def transactions(tenant, size, moment, dice):
    """What the tenant's application sends now."""
    tide = 0.6 + 0.4 * dice.random() + (0.8 if tenant == "globex" and 25 < moment < 40 else 0)
    yield f"INSERT INTO orders (amount) SELECT random() * 100 FROM generate_series(1, {max(1, int(size * tide / 4))});"
    yield f"SELECT * FROM orders ORDER BY id DESC LIMIT {int(size * tide)};"
    if dice.random() < 0.3:
        yield "SELECT sum(amount) FROM orders;"
    if dice.random() < (0.10 if tenant == "initech" else 0.01):
        yield "INSERT INTO orders (amount) VALUES (-1);"
    if tenant == "umbrella" and 35 < moment < 45 and dice.random() < 0.3:
        yield "UPDATE orders SET tenant_id = gen_random_uuid();"
    if tenant == "hooli" and dice.random() < 0.2:
        yield "SELECT tenancy.consume('exports');"


def work(tenant, pace, size, seconds):
    session = subprocess.Popen(["psql", "--no-psqlrc", "--quiet", "--username", "demo_app"], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    start, dice = time.monotonic(), random.Random(tenant)
    while (moment := time.monotonic() - start) < seconds:
        statements = "".join(transactions(tenant, size, moment * 60 / seconds, dice))
        session.stdin.write(f"BEGIN; SELECT tenancy.set_tenant('{tenant}'); {statements} COMMIT;\n")
        session.stdin.flush()
        time.sleep(dice.expovariate(pace))
    session.communicate()


def exporter_queries():
    """Name, SQL and the columns that are labels of each query of the YAML."""
    queries, name, column = {}, None, None
    for line in (HERE / "postgres_exporter.yaml").read_text().splitlines():
        indent, content = len(line) - len(line.lstrip()), line.strip()
        if not content or content.startswith("#"):
            continue
        if indent == 0:
            name = content.rstrip(":")
            queries[name] = ("", set())
        elif indent == 4 and content.startswith("- "):
            column = content[2:].rstrip(":")
        elif indent == 8 and content == 'usage: "LABEL"':
            queries[name][1].add(column)
        elif indent >= 4 and not content.startswith(("usage:", "description:")):
            queries[name] = (queries[name][0] + content + "\n", queries[name][1])
    return queries


def table(sql):
    return list(csv.reader(io.StringIO(psql("--csv", text=sql + ";", role="demo_exporter"))))


def scrape(queries, series, moment):
    for name, (sql, labels) in queries.items():
        heading, *rows = table(sql)
        for row in rows:
            values = dict(zip(heading, row))
            of = tuple(sorted((label, values[label]) for label in labels))
            for column, value in values.items():
                if column not in labels and value != "":
                    series.setdefault((f"{name}_{column}", of), []).append((moment, float(value)))


class Promql:
    """Evaluates an expression at a moment, to a list of labels and value."""

    TOKEN = re.compile(r"\s*([A-Za-z_]\w*|\d+\w*|==|\$\w+|\"[^\"]*\"|\S)")

    def __init__(self, series, expression, database):
        expression = expression.replace("$datname", database)
        self.series, self.tokens, self.place = series, self.TOKEN.findall(expression), 0

    def at(self, moment):
        self.moment, self.place = moment, 0
        return self.either()

    def peek(self):
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self, wanted=None):
        token = self.peek()
        assert token is not None and wanted in (None, token), (token, wanted, self.tokens)
        self.place += 1
        return token

    def either(self):
        left = self.besides()
        while self.peek() == "or":
            self.take()
            known = dict(left)
            left = left + [(of, value) for of, value in self.besides() if of not in known]
        return left

    def besides(self):
        left = self.compared()
        while self.peek() == "unless":
            self.take()
            known = dict(self.compared())
            left = [(of, value) for of, value in left if of not in known]
        return left

    def compared(self):
        left = self.difference()
        if self.peek() in ("==", ">"):
            is_equal = self.take() == "=="
            bound = float(self.take())
            left = [(of, value) for of, value in left if (value == bound if is_equal else value > bound)]
        return left

    def difference(self):
        left = self.term()
        while self.peek() == "-":
            self.take()
            right = dict(self.term())
            left = [(of, value - right[of]) for of, value in left if of in right]
        return left

    def term(self):
        left = self.factor()
        while self.peek() == "/":
            self.take()
            below = dict(self.factor())
            left = [(of, value / below[of]) for of, value in left if below.get(of)]
        return left

    def factor(self):
        if self.peek() == "(":
            return self.within(self.either)
        name = self.take()
        if name in ("sum", "count", "max"):
            kept = []
            if self.peek() == "by":
                self.take()
                while self.peek() != ")":
                    self.take()
                    kept.append(self.take())
                self.take(")")
            groups = {}
            for of, value in self.within(self.either):
                of = tuple((label, text) for label, text in of if label in kept)
                groups.setdefault(of, []).append(value)
            reckon = {"sum": sum, "count": len, "max": max}[name]
            return [(of, reckon(values)) for of, values in groups.items()]
        if name == "topk":
            self.take("(")
            count = int(self.take())
            self.take(",")
            values = self.either()
            self.take(")")
            return sorted(values, key=lambda one: -one[1])[:count]
        if name == "absent":
            return [] if self.within(self.either) else [((), 1.0)]
        if name in ("rate", "increase"):
            return self.within(lambda: list(self.grown(name)))
        return [(of, points[-1][1]) for of, points in self.selected(name) if points]

    def within(self, what):
        self.take("(")
        found = what()
        self.take(")")
        return found

    def selected(self, name):
        wanted = []
        if self.peek() == "{":
            self.take()
            label = self.take()
            self.take("=")
            wanted.append((label, self.take().strip('"')))
            self.take("}")
        until = self.moment
        if self.peek() == "offset":
            self.take()
            until -= self.duration()
        return [(of, [point for point in points if point[0] <= until])
                for (metric, of), points in self.series.items() if metric == name and all(one in of for one in wanted)]

    def duration(self):
        token = self.take()
        return RATE_INTERVAL if token == "$__rate_interval" else int(token[:-1]) * {"m": 60.0, "h": 3600.0}[token[-1]]

    def grown(self, how):
        selected = self.selected(self.take())
        self.take("[")
        window = self.duration()
        self.take("]")
        for of, points in selected:
            inside = [point for point in points if point[0] >= self.moment - window]
            if len(inside) > 1:
                (first, before), (last, after) = inside[0], inside[-1]
                yield of, (after - before) / ((last - first) if how == "rate" else 1)


UNIT, GAP, ROW = 48, 8, 34
COLORS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#b877d9"]


def number(value, unit=""):
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    suffix = {"s": " s"}.get(unit, "")
    if value >= 1000:
        return f"{value / 1000:.3g}k{suffix}"
    return f"{value:.3g}{suffix}"


def text(x, y, content, size=12, color="#ccccdc", anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{html.escape(str(content))}</text>")


def draw_lines(panel, series, database, box, moments):
    x, y, width, height = box
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    lines = {}
    for target in panel["targets"]:
        promql = Promql(series, target["expr"], database)
        for moment in moments:
            for of, value in promql.at(moment):
                legend = re.sub(r"\{\{(\w+)\}\}", lambda match: dict(of).get(match[1], ""), target["legendFormat"])
                lines.setdefault(legend, {})[moment] = value
    names = sorted(lines)
    if stacked:
        below = dict.fromkeys(moments, 0.0)
        for name in names:
            for moment in moments:
                below[moment] += lines[name].get(moment, 0.0)
                lines[name][moment] = below[moment]
    highest = max((value for line in lines.values() for value in line.values()), default=0) * 1.08 or 1.0
    left, top, right, bottom = x + 52, y + 34, x + width - 12, y + height - 46
    at = lambda moment, value: (left + (right - left) * moment / moments[-1], bottom - (bottom - top) * value / highest)
    parts = []
    for step in range(5):
        value = highest * step / 4
        line = at(0, value)[1]
        parts.append(f'<line x1="{left}" y1="{line:.1f}" x2="{right}" y2="{line:.1f}" stroke="#2c2f36"/>')
        parts.append(text(left - 6, line + 4, number(value, unit), 10, "#8e8e9b", "end"))
    for step in range(0, 5):
        moment = moments[-1] * step / 4
        parts.append(text(at(moment, 0)[0], bottom + 14, f"{moment:.0f} s", 10, "#8e8e9b", "middle"))
    for place, name in reversed(list(enumerate(names))):
        color = COLORS[place % len(COLORS)]
        points = [at(moment, value) for moment, value in sorted(lines[name].items())]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        if stacked and points:
            parts.append(f'<polygon points="{points[0][0]:.1f},{bottom} {path} {points[-1][0]:.1f},{bottom}" fill="{color}" fill-opacity="0.35"/>')
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    legend = left - 30
    for place, name in enumerate(names):
        parts.append(f'<rect x="{legend}" y="{y + height - 20}" width="10" height="3" fill="{COLORS[place % len(COLORS)]}"/>')
        parts.append(text(legend + 14, y + height - 14, name, 11))
        legend += 26 + 6.6 * len(name)
    return parts


def draw_number(panel, series, database, box, moments):
    x, y, width, height = box
    found = Promql(series, panel["targets"][0]["expr"], database).at(moments[-1])
    value = sum(value for _, value in found)
    color = "#73bf69" if value < 1 else "#f2495c"
    return [text(x + width / 2, y + height / 2 + 26, number(value), 38, color, "middle", "bold")]


def draw_table(panel, database, box):
    x, y, width, height = box
    rows = table(panel["targets"][0]["rawSql"].replace("$datname", database))
    longest = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    scale = min(1.0, (width - 24) / sum(6.4 * length + 14 for length in longest))
    parts = []
    for line, row in enumerate(rows):
        baseline = y + 50 + line * min(24, (height - 60) / len(rows))
        left = x + 12
        for cell, length in zip(row, longest):
            shown = {"t": "yes", "f": "NO"}.get(cell, cell)
            color = "#8ab8ff" if line == 0 else "#f2495c" if shown == "NO" else "#ccccdc"
            parts.append(text(left, baseline, shown, 11 if scale == 1 else max(8.5, 11 * scale), color))
            left += (6.4 * length + 14) * scale
    return parts


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    picture = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "dashboard.svg"
    psql("--set=ON_ERROR_STOP=1", text=SETUP)
    database = psql("--tuples-only", "--no-align", text="SELECT current_database()").strip()
    workers = [threading.Thread(target=work, args=(tenant, *how, seconds)) for tenant, how in TENANTS.items()]
    for worker in workers:
        worker.start()
    queries, series, start = exporter_queries(), {}, time.monotonic()
    while (moment := time.monotonic() - start) < seconds:
        scrape(queries, series, moment)
        time.sleep(max(0.0, 1 - (time.monotonic() - start - moment)))
    for worker in workers:
        worker.join()
    moments = [step * seconds / 60 for step in range(3, 61)]

    dashboard = json.loads((HERE / "grafana-dashboard.json").read_text())
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    width, height = 24 * UNIT + GAP, bottom * ROW + GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             'font-family="Inter, Helvetica, Arial, sans-serif">',
             f'<rect width="{width}" height="{height}" fill="#111217"/>']
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        box = (place["x"] * UNIT + GAP, place["y"] * ROW + GAP, place["w"] * UNIT - GAP, place["h"] * ROW - GAP)
        parts.append(f'<rect x="{box[0]}" y="{box[1]}" width="{box[2]}" height="{box[3]}" rx="3" fill="#181b1f" stroke="#2c2f36"/>')
        parts.append(text(box[0] + 10, box[1] + 20, panel["title"], 13, weight="bold"))
        if panel["type"] == "timeseries":
            parts += draw_lines(panel, series, database, box, moments)
        elif panel["type"] == "stat":
            parts += draw_number(panel, series, database, box, moments)
        else:
            parts += draw_table(panel, database, box)
    picture.write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
