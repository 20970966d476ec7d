"""The page about performance, made from rows, and the statistics in it."""

import sys
import textwrap

GRAPHS = {
    "macros": "serde, clap and thiserror with derives, tokio",
    "services": "reqwest, axum, tower-http, tracing and friends",
    "native": "zstd-sys, libsqlite3-sys (bundled), ring",
}
# Chains of packages that have one kind of unit, and the units of each package.
CHAINS = {
    "libraries": "a rustc that checks a library",
    "macro-libraries": "a rustc that builds a macro library",
    "build-scripts": "a rustc that builds a build script, its run, and a rustc that checks the library",
}
UNITS = 40
COLD = ["clap", "tokio", "serde"]
# A project of several hundred packages whose archive has its lock file.
WORKSPACE = ("starship", "1.27.0")
TARGETS = {"executes": 0.6, "rustc": 12.0, "run": 5.0, "driving": 3.0, "wall": 1.10, "added": 0.05, "start": 60.0, "continued": 20.0, "behalf": 110.0, "cold": 20.0}
MICRO = {
    "nothing": ("nothing (the two marks)", "–", None),
    "system": ("open a system's file for reading", "goes on, counted", "continued"),
    "missing header": ("look for a header that is not there", "goes on, counted", "continued"),
    "own source": ("open an own source by a relative path", "goes on, counted", "continued"),
    "own": ("open a file of `OUT_DIR` for reading", "goes on, counted", "continued"),
    "elsewhere": ("open what is nobody's", "goes on, recorded", "continued"),
    "write": ("open a file of `OUT_DIR` for writing", "opened on behalf, recorded", "behalf"),
    "write new": ("make a file in `OUT_DIR`", "opened on behalf, recorded as a new line", "behalf"),
}


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def interval(values):
    """At least 95 % for the median whatever the distribution is, by order statistics (the sign test); none below six values."""
    values, n = sorted(values), len(values)
    tail, rank = 0.0, 0
    weight = 0.5**n
    for k in range(n // 2):
        tail += weight
        if 2 * tail > 0.05:
            break
        rank = k + 1
        weight *= (n - k) / (k + 1)
    return (values[rank - 1], values[n - rank]) if rank else None


def shown(values, form="{:.2f}"):
    between = interval(values)
    return form.format(median(values)) + (f" [{form.format(between[0])}, {form.format(between[1])}]" if between else f" (n = {len(values)})")


def verdict(holds):
    return "holds" if holds else "missed"


def pairs(rows, graph, variant):
    found = {(row["round"], row["variant"]): row for row in rows.newest("graph", graph)}
    return [(found[number, "plain"], row) for (number, kind), row in sorted(found.items()) if kind == variant and (number, "plain") in found]


def added(plain, row):
    """What the supervisor used, and the system time of all the rest beyond plain's, as a share of plain's CPU time."""
    supervisor = row["supervisor_user"] + row["supervisor_sys"]
    rest = row.get("build_sys", row["sys"]) - row["supervisor_sys"] - plain["sys"]
    return (supervisor + rest) / (plain["user"] + plain["sys"])


def cpu(row, build):
    return row["build_user"] + row["build_sys"] if build and "build_user" in row else row["user"] + row["sys"]


def graph_table(rows):
    text = [
        "| graph | n | plain s | build s | driving s | whole s | build / plain | with driving / plain | whole / plain | CPU build / plain | added CPU | strace / plain | calls |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    bounds = []
    for graph in GRAPHS:
        mine, traced = pairs(rows, graph, "sandboxed"), pairs(rows, graph, "strace")
        if not mine:
            continue
        build = [row["build_wall"] / plain["wall"] for plain, row in mine]
        driven = [(row["build_wall"] + row["driving_wall"]) / plain["wall"] for plain, row in mine]
        whole = [row["wall"] / plain["wall"] for plain, row in mine]
        more = [100 * added(plain, row) for plain, row in mine]
        strace = shown([row["wall"] / plain["wall"] for plain, row in traced]) if traced else "–"
        text.append(
            f"| {graph} | {len(mine)} | {median([p['wall'] for p, _ in mine]):.1f} | {median([r['build_wall'] for _, r in mine]):.1f} "
            f"| {median([r['driving_wall'] for _, r in mine]):.1f} | {median([r['wall'] for _, r in mine]):.1f} "
            f"| {shown(build)} | {shown(driven)} | {shown(whole)} "
            f"| {shown([cpu(r, True) / cpu(p, True) for p, r in mine])} | {shown(more, '{:.1f}')} % | {strace} "
            f"| {median([r['calls'] for _, r in mine]):.0f} |"
        )
        bounds.append(f"* {graph}: build / plain below {TARGETS['wall']:.2f} with its interval, of at least 11 rounds: {verdict(len(mine) >= 11 and high(build) < TARGETS['wall'])}")
        bounds.append(f"* {graph}: added CPU at most {100 * TARGETS['added']:.0f} %: {verdict(median(more) <= 100 * TARGETS['added'])}")
    return text, bounds


def high(values):
    """The upper end of the interval; infinite where there are too few values for one."""
    return (interval(values) or (0, float("inf")))[1]


def unpacking(rows):
    """The whole command against plain cargo that has to unpack the archives, too."""
    found = {(row["round"], row["variant"]): row["wall"] for row in rows.newest("unpacking")}
    both = [(wall, found[number, "sandboxed"]) for (number, kind), wall in sorted(found.items()) if kind == "unpacking"]
    if not both:
        return [], []
    ratios = [whole / plain for plain, whole in both]
    text = [
        f"Where plain cargo, too, finds archives only and unpacks them (services, n = {len(both)}): {median([plain for plain, _ in both]):.1f} s, "
        f"and the whole command {median([whole for _, whole in both]):.1f} s, which at its end also removes what it unpacked: {shown(ratios)}."
    ]
    return text, [f"* services: whole / plain that unpacks at most {TARGETS['wall']:.2f} with its interval: {verdict(high(ratios) <= TARGETS['wall'])}"]


def depth_table(rows):
    text = ["| graph | n | plain s | build s | driving s | build / plain | with driving / plain | calls |", "|---|---|---|---|---|---|---|---|"]
    bounds = []
    for graph in GRAPHS:
        mine = pairs(rows, graph, "executes")
        if not mine:
            continue
        build = [row["build_wall"] / plain["wall"] for plain, row in mine]
        driven = [(row["build_wall"] + row["driving_wall"]) / plain["wall"] for plain, row in mine]
        text.append(
            f"| {graph} | {len(mine)} | {median([p['wall'] for p, _ in mine]):.1f} | {median([r['build_wall'] for _, r in mine]):.1f} "
            f"| {median([r['driving_wall'] for _, r in mine]):.1f} | {shown(build)} | {shown(driven)} | {median([r['calls'] for _, r in mine]):.0f} |"
        )
        if graph == "services":
            bounds.append(f"* {graph}: depth `build` with driving at most {TARGETS['executes']:.1f} of plain: {verdict(median(driven) <= TARGETS['executes'])}")
    return text, bounds


def workspace(rows):
    """The whole command over the lock file of a project, against plain cargo in its workspace."""
    found = {(row["round"], row["variant"]): row for row in rows.newest("workspace")}
    numbers = sorted({number for number, _ in found})
    if not numbers:
        return [], []

    def walls(variant):
        return [found[number, variant]["wall"] for number in numbers if (number, variant) in found]

    def ratios(variant, plain):
        both = [number for number in numbers if (number, variant) in found and (number, plain) in found]
        return [found[number, variant]["wall"] / found[number, plain]["wall"] for number in both]

    one = found[numbers[0], "sandboxed"]
    text = [
        f"`sandbox-check lock --offline --fresh` over the workspace of {' '.join(WORKSPACE)}, {one['packages']} packages, from its start to its end, against "
        f"`cargo check --workspace --offline` there, whose sources are unpacked (n = {len(walls('plain'))}) or have to be (n = {len(walls('unpacking'))}): "
        f"{median(walls('plain')):.1f} and {median(walls('unpacking')):.1f} s. What a run wrote is on the disk before the next one begins.",
        "",
        "| depth | n | s | / plain | / plain that unpacks | calls |",
        "|---|---|---|---|---|---|",
    ]
    for variant, depth in (("sandboxed", "check"), ("executes", "build")):
        calls = median([row["calls"] for (_, name), row in found.items() if name == variant])
        text.append(
            f"| `{depth}` | {len(walls(variant))} | {median(walls(variant)):.1f} | {shown(ratios(variant, 'plain'))} | {shown(ratios(variant, 'unpacking'))} | {calls:.0f} |"
        )
    bound = TARGETS["wall"]
    return text, [
        f"* workspace: depth `check` / plain at most {bound:.2f} with its interval: {verdict(high(ratios('sandboxed', 'plain')) <= bound)}",
        f"* workspace: depth `check` / plain that unpacks at most {bound:.2f} with its interval: {verdict(high(ratios('sandboxed', 'unpacking')) <= bound)}",
        f"* workspace: depth `build` below plain with its interval: {verdict(high(ratios('executes', 'plain')) < 1)}",
    ]


def unit_table(rows):
    """Milliseconds that a unit takes longer in the sandbox. Of a run that does nothing all of it counts as added: what it takes
    without the sandbox, a millisecond, is about what the start of its shim takes, which the evidence does not see."""
    found = {(row["graph"], row["round"], row["variant"]): row for row in rows.newest("units")}
    numbers = sorted({number for _, number, _ in found})

    def per_package(chain, number):
        plain, row = found[chain, number, "plain"], found[chain, number, "sandboxed"]
        return plain["wall"] * 1000 / UNITS, (row["build_wall"] - plain["wall"]) * 1000 / UNITS

    whole = [number for number in numbers if all((chain, number, kind) in found for chain in CHAINS for kind in ("plain", "sandboxed"))]
    if not whole:
        return [], []
    text = ["| unit | n | plain ms | added ms |", "|---|---|---|---|"]
    more = {}
    for chain, told in CHAINS.items():
        both = [per_package(chain, number) for number in whole]
        more[chain] = [extra for _, extra in both]
        text.append(f"| {told} | {len(whole)} | {median([plain for plain, _ in both]):.0f} | {shown(more[chain], '{:.1f}')} |")
    one_rustc = [chain for chain in CHAINS if chain != "build-scripts"]
    bounds = [f"* {CHAINS[chain]}: at most {TARGETS['rustc']:.0f} ms added: {verdict(median(more[chain]) <= TARGETS['rustc'])}" for chain in one_rustc]
    run = [row["script_run"] for row in (found["build-scripts", number, "sandboxed"] for number in whole) if "script_run" in row]
    if run:
        text.append(f"| of the last, the run of a build script that does nothing, by the evidence: from its shim's first word to its end | {len(run)} | – | {shown(run, '{:.1f}')} |")
        bounds.append(f"* the run of a build script: at most {TARGETS['run']:.0f} ms added: {verdict(median(run) <= TARGETS['run'])}")
    return text, bounds


def told_programs(rows):
    """Which program, by the name of its series, what was measured with, and when."""
    parts = [(graph, ("graph", graph)) for graph in GRAPHS]
    parts += [(kind, (kind,)) for kind in ("unpacking", "workspace", "units", "driving", "start", "micro", "cold")]
    series = {}
    for name, wanted in parts:
        for row in rows.newest(*wanted)[:1]:
            series.setdefault(row["series"], []).append({"micro": "single calls", "cold": "whole checks", "workspace": "a whole workspace"}.get(name, name))
    days = {row["series"]: row["date"] for row in rows.all if row["kind"] == "machine"}
    if len(series) == 1:
        return f"on {days[next(iter(series))]}"
    return "not all of it with the same program: " + "; ".join(f"{', '.join(names)} on {days[one]} ({one})" for one, names in series.items())


def page(rows):
    about = rows.newest("machine")
    if not about:
        sys.exit("there are no rows")
    m = about[-1]
    table, bounds = graph_table(rows)
    from_archives, more = unpacking(rows)
    bounds += more
    depths, more = depth_table(rows)
    bounds += more
    text = [
        "# Performance",
        "",
        "<!-- Made by scripts/bench from docs/performance/rows.jsonl; do not edit. -->",
        "",
        f"Measured with {m['cpus']} CPUs ({m['cpu']}), {m['memory_gib']} GiB, Linux {m['kernel']}, rustc {m['rustc']}, "
        f"as {'root' if m['root'] else 'an ordinary user'}, {told_programs(rows)}. Medians; in brackets an interval of at least 95 % for "
        "the median, by order statistics. Each ratio is that of two runs of the same round.",
        "",
        "## Whole graphs",
        "",
        *[f"* **{name}**: {what}." for name, what in GRAPHS.items()],
        "",
        "*Plain* is `cargo check --offline` of the very project that the sandbox builds (the graph, and the programs that make its macros "
        "run), with the same cargo, rustc, arguments and number of jobs, in a fresh target folder in memory. *Build* is the same in the "
        "sandbox, from cargo's start to the end of its last unit. *Driving* is what follows: each macro library alone with many inputs, "
        "but for those that were driven beside cargo, where that left a CPU idle; plain cargo has nothing like it. *Whole* is the "
        "command `sandbox-check --offline --depth check` from its start to its end: resolving, unpacking, verifying, planning, the self-test, the build, the driving, judging. *Added CPU* is what the supervisor "
        "used during the build, and the system time of the rest of the build beyond plain's, as a share of plain's CPU time. *strace* is "
        "plain cargo below `strace -f --seccomp-bpf` with the calls that are always notified. *Calls* are notifications.",
        "",
        *table,
    ]
    text += ["", *from_archives] if from_archives else []
    if len(depths) > 2:
        text += ["", "## Only what executes", "", "`--depth build`, the default of a check, against the same plain `cargo check`.", "", *depths]
    whole, more = workspace(rows)
    bounds += more
    if whole:
        text += ["", "## A whole workspace", "", *whole]
    units, more = unit_table(rows)
    bounds += more
    if units:
        text += [
            "",
            "## Units",
            "",
            f"Chains of {UNITS} packages, of which each waits for the one before: how much longer one takes in the sandbox, by wall time. With one job, so that nothing else runs beside them.",
            "",
            *units,
        ]
    if rows.newest("driving"):
        driven = rows.newest("driving")
        seconds = [row.get("driven_wall", row["driving_wall"]) for row in driven]
        text += ["", "## Driving", "", f"{driven[-1]['libraries']} macro libraries, each macro with all its inputs: {shown(seconds)} s in which a driver ran (n = {len(seconds)})."]
        bounds.append(f"* 20 macro libraries driven in at most {TARGETS['driving']:.0f} s: {verdict(driven[-1]['libraries'] >= 20 and median(seconds) <= TARGETS['driving'])}")
    if rows.newest("start"):
        times = [row["milliseconds"] for row in rows.newest("start")]
        text += ["", "## Start", "", f"From the finished plan to cargo's start inside, with the self-test: {shown(times, '{:.1f}')} ms (n = {len(times)})."]
        bounds.append(f"* start: median at most {TARGETS['start']:.0f} ms: {verdict(median(times) <= TARGETS['start'])}")
    if rows.newest("micro"):
        text += ["", "## Single calls", "", "Wall time of one call of one thread, with its `close`, while nothing else runs.", "", "| call | answer | µs |", "|---|---|---|"]
        for what, (told, answer, bound) in MICRO.items():
            values = [row["microseconds"] for row in rows.newest("micro") if row["what"] == what]
            if values:
                text.append(f"| {told} | {answer} | {shown(values, '{:.1f}')} |")
                if bound:
                    bounds.append(f"* {told}: at most {TARGETS[bound]:.0f} µs: {verdict(median(values) <= TARGETS[bound])}")
    if rows.newest("cold"):
        text += ["", "## Whole checks", "", "`sandbox-check NAME@VERSION` with the archives there and nothing else.", "", "| crate | s | verdict |", "|---|---|---|"]
        for name in COLD:
            mine = [row for row in rows.newest("cold") if row["name"] == name]
            if mine:
                text.append(f"| {name} {mine[0]['version']} | {median([row['seconds'] for row in mine]):.1f} | {mine[-1]['verdict']} |")
                bounds.append(f"* {name}: at most {TARGETS['cold']:.0f} s: {verdict(max(row['seconds'] for row in mine) <= TARGETS['cold'])}")
    text += ["", "## What was to be reached", "", *bounds]
    return "\n".join(line if line.startswith("|") else textwrap.fill(line, 118, break_on_hyphens=False) for line in text) + "\n"
