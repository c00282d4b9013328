"""A rich report in the shape of `Report.to_dict()`, invented throughout, and a hostile and an empty one like it."""

from __future__ import annotations

import copy
from typing import Any

COLUMNS = ("age", "sex", "zip", "admitted", "birth_country")
HEIGHTS = {"age": 5, "sex": 1, "zip": 4, "admitted": 3, "birth_country": 2}
CHOSEN = (2, 0, 2, 2, 1)
SQL = """WITH classes AS (
  SELECT COUNT(*) AS records FROM "stays_2026"
  GROUP BY "age", "sex", "zip", "admitted", "birth_country"
)
SELECT MIN(records) AS k FROM classes;"""


def _model(name: str, column: str | None, value: float, bound: float, margin: float, **more: Any) -> dict[str, Any]:
    return {
        "model": name, "column": column, "parameters": more.get("parameters", {}), "value": value, "bound": bound,
        "holds": margin >= 0, "margin": margin, "classes_violating": more.get("classes", 0), "rows_violating": more.get("rows", 0),
        "meaning": more["meaning"], "protects_against": more["protects"], "not_against": more["not_against"],
        "paper": more["paper"], "sql": SQL,
    }  # fmt: skip


MODELS = [
    _model("k-anonymity", None, 7, 5, 2, parameters={"k": 5}, meaning="Every published person looks like at least 6 others.",
           protects="finding a person by age, sex, postcode, date and country of birth",
           not_against="learning a diagnosis that everybody in a group shares", paper="Sweeney 2002"),
    _model("l-diversity", "diagnosis", 3, 3, 0, parameters={"l": 3, "kind": "distinct"},
           meaning="In every group there are at least 3 different diagnoses.",
           protects="being sure of somebody's diagnosis once their group is found",
           not_against="diagnoses that differ in name and mean nearly the same", paper="Machanavajjhala et al. 2007"),
    _model("t-closeness", "diagnosis", 0.21875, 0.25, 0.03125, parameters={"t": 0.25, "distance": "equal"},
           meaning="No group's mix of diagnoses is further than 0.22 from that of the whole table.",
           protects="learning much about a person from the mix of their group",
           not_against="what the table as a whole says about everybody", paper="Li, Li & Venkatasubramanian 2007"),
]  # fmt: skip


def _column(name: str, level: int, how: str, examples: list[tuple[str, str]], distribution: Any) -> dict[str, Any]:
    height = HEIGHTS.get(name)
    return {
        "name": name, "role": "quasi-identifier", "published": True, "how": how, "level": level, "height": height,
        "loss": level / (height or 1) * 0.6, "suppressed_share": 0.0137,
        "examples": [{"before": before, "after": after} for before, after in examples],
        "distribution": distribution, "shift": 0.031 * (level + 1),
    }  # fmt: skip


def _bands(width: int) -> list[str]:
    return [f"{low}–{low + width - 1}" for low in range(0, 100, width)]


_AGES = [310, 260, 240, 330, 520, 610, 640, 655, 690, 735, 780, 815, 860, 905, 930, 870, 690, 410, 180, None]


def columns() -> list[dict[str, Any]]:
    """What became of each column."""
    ages = {"kind": "ordered", "labels": _bands(5), "before": _AGES, "after": [
        (sum(v or 0 for v in _AGES[i - i % 2 : i - i % 2 + 2]) / 2) // 1 for i in range(20)]}  # fmt: skip
    countries = {"kind": "nominal", "labels": ["Germany", "Türkiye", "Poland", "Syria", "Italy", "other (31 values)"],
                 "before": [8100, 1210, 640, 410, 260, 780], "after": [8040, 1180, 590, 380, 230, 690]}  # fmt: skip
    months = {
        "kind": "ordered",
        "labels": [f"2026-{m:02}" for m in range(1, 13)],
        "before": [900 + 37 * ((m * 7) % 11) for m in range(12)],
        "after": [890 + 34 * ((m * 7) % 11) for m in range(12)],
    }
    sexes = {"kind": "nominal", "labels": ["f", "m", "d"], "before": [5900, 5410, 90], "after": [5840, 5330, None]}
    quasi = [
        _column("age", 2, "The age becomes a band of 10 years.", [("35–39", "30–39"), ("70–74", "70–79")], ages),
        _column("sex", 0, "Published as it is.", [], sexes),
        _column("zip", 2, "The last two digits of the postcode are left out.", [("1043*", "104**"), ("8033*", "803**")], None),
        _column("admitted", 2, "The day of admission becomes its month.", [("2026-03", "2026-Q1")], months),
        _column("birth_country", 1, "Countries become regions.", [("Poland", "Eastern Europe")], countries),
    ]  # fmt: skip
    plain = {
        "level": None,
        "height": None,
        "loss": 0.0,
        "suppressed_share": 0.0,
        "examples": [],
        "distribution": None,
        "shift": None,
    }
    sensitive = {"name": "diagnosis", "role": "sensitive", "published": True, "how": "Published as it is.", **plain}
    name = {"name": "name", "role": "identifier", "published": False, "how": "Left out.", **plain, "loss": 1.0}
    return [*quasi, sensitive | {"shift": 0.012}, name]


def search() -> dict[str, Any]:
    """A lattice of 3 columns, as a search knows it."""
    heights = {"age": 4, "zip": 3, "admitted": 2}
    nodes = []
    for a in range(5):
        for z in range(4):
            for d in range(3):
                total = a + z + d
                holds = a >= 2 and z >= 1 and total >= 4
                counted = (a + 2 * z + 3 * d) % 4 != 0 or (a, z, d) == (2, 2, 0)
                nodes.append({
                    "levels": [a, z, d], "sum": total, "chosen": (a, z, d) == (2, 2, 0),
                    "state": "holds" if holds and counted else "fails" if counted else "implied",
                    "loss": 0.08 * a + 0.07 * z + 0.09 * d if counted else None,
                    "suppressed_share": max(0.0, 0.09 - 0.008 * total) if counted else None,
                })  # fmt: skip
    return {
        "kind": "lattice",
        "heights": heights,
        "total": 60,
        "counted": sum(n["loss"] is not None for n in nodes),
        "nodes": nodes,
    }


def _risks() -> dict[str, Any]:
    def side(share: float, highest: float, average: float, unique: float) -> dict[str, Any]:
        person = {"at_risk_share": share, "highest": highest, "average": average}
        return {"prosecutor": person, "journalist": {key: value / 3 for key, value in person.items()}, "marketer": average / 3,
                "unique_share": unique}  # fmt: skip

    return {"threshold": 0.2, "before": side(0.914, 1.0, 0.641, 0.48), "after": side(0.0, 0.1428, 0.0412, 0.0)}


def _attacks() -> list[dict[str, Any]]:
    told = [
        ("identity", "Somebody who knows all quasi-identifiers of a person looks for the record.", None, 0, 0.0, 0, False, "k-anonymity"),
        ("homogeneity", "Everybody in a group has the same diagnosis.", "diagnosis", 0, 0.0, 0, False, "l-diversity"),
        ("skewness", "In a group a diagnosis is more than twice as common as in the whole table.", "diagnosis", 412, 0.0367, 31, True, "t-closeness"),
        ("background-knowledge", "An attacker excludes two diagnoses of a group.", "diagnosis", 96, 0.0085, 8, True, "l-diversity"),
        ("probabilistic-inference", "A group gives one diagnosis away with a certainty above one half.", "diagnosis", None, None, None, True, "p-alpha-sensitivity"),
    ]  # fmt: skip
    keys = ("attack", "what", "column", "records", "share", "classes", "breached", "counter")
    return [
        dict(zip(keys, one, strict=True)) | {"parameters": {"ratio": 2} if one[0] == "skewness" else {}} for one in told
    ]


def _correlations() -> dict[str, Any]:
    names = ["age", "sex", "zip", "admitted", "birth_country", "diagnosis"]
    before = [
        [1.0 if i == j else round(abs(((i + 1) * (j + 1) * 37) % 71) / 90, 3) for j in range(6)] for i in range(6)
    ]
    after = [[1.0 if i == j else round(before[i][j] * 0.82, 3) for j in range(6)] for i in range(6)]
    return {
        "columns": names,
        "measure": [["Cramér's V"] * 6 for _ in range(6)],
        "before": before,
        "after": after,
        "largest_shift": 0.14,
    }


_FLOW_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 120" width="600" height="120">'
    '<g fill="none" stroke="#333"><rect x="10" y="35" width="150" height="50"/><rect x="225" y="35" width="150" height="50"/>'
    '<rect x="440" y="35" width="150" height="50"/><path d="M160 60H225M375 60H440"/></g><g font-family="sans-serif" font-size="14" '
    'text-anchor="middle"><text x="85" y="65">ward</text><text x="300" y="65">registry</text><text x="515" y="65">university</text></g></svg>'
)

STANDARDS = [
    ("WP216", "3 singling out", "Can a person be singled out?", "met", "k-anonymity measured 7 on the published rows."),
    ("WP216", "3 linkability", "Can records of one person be linked?", "partly", "One release per source; see the ledger."),
    ("HIPAA", "164.514(b)(2)", "Are the 18 identifiers removed?", "not applicable", "Expert determination is used instead."),
    ("ISO/IEC 27559", "7.3", "Is the risk measured for the context of release?", "met", "Prosecutor's highest risk 0.1428, threshold 0.2."),
    ("EMA 0070", "3.2.3", "Is the threshold of 0.09 kept?", "not shown", "The highest risk is above 0.09."),
]  # fmt: skip


def example() -> dict[str, Any]:
    """A release with everything that a report can say."""
    sizes = [
        (5, 5, 0, 0),
        (6, 7, 21, 144),
        (8, 10, 64, 577),
        (11, 15, 110, 1420),
        (16, 25, 130, 2560),
        (26, 40, 88, 2790),
        (41, 80, 47, 2588),
        (81, None, 11, 1161),
    ]
    return copy.deepcopy({
        "title": "stays_2026", "kind": "release", "name": "stays_2026", "version": 3, "engine": "duckdb 2.0.0", "source": "patients.csv",
        "made_at": "2026-11-26T18:05:00+00:00", "made_by": "anna", "sqlanon": "0.2.0", "minimum_cell": 5, "holds": True,
        "summary": {
            "sentences": [
                "11,240 of 11,400 hospital stays were published; 160 were left out, because nothing made them safe.",
                "The published stays form 471 groups; the smallest group has 7 persons.",
                "All three promises were measured again on the published rows, and hold.",
                "The highest risk of finding a person fell from 100 % to 14.28 %.",
            ],
            "rows_in": 11400, "rows_out": 11240, "suppressed": 160, "suppressed_share": 160 / 11400, "entity": "patient_id", "classes": 471,
            "method": "full-domain", "levels": dict(zip(COLUMNS, CHOSEN, strict=True)), "noise_rows": 12, "swaps": 38,
            "utility": {"gcp": 0.231, "discernibility": 361_240.0, "average_class_size": 23.86}, "fingerprint": "9f3c1e7a5b20d4c8",
        },
        "models": MODELS, "columns": columns(),
        "classes": {"smallest": 7, "median": 19, "mean": 23.86, "largest": 214, "bins": [
            {"from": a, "to": b, "classes": c, "records": r} for a, b, c, r in sizes]},
        "risk": _risks(),
        "value_prediction": [{"column": "weight", "margin": 5, "threshold": 0.9, "fields": ["age", "sex"], "violations_before": 1840,
                              "violations_after": 12, "share_before": 0.1614, "share_after": 0.0011}],
        "attacks": _attacks(), "correlations": _correlations(), "search": search(),
        "methods": {"sample": 5000, "ways": [
            {"name": name, "gcp": gcp, "classes": classes, "suppressed_share": share, "seconds": seconds, "risk": risk, "chosen": chosen}
            for name, gcp, classes, share, seconds, risk, chosen in (
                ("full-domain", 0.231, 471, 0.014, 0.31, 0.0412, True), ("mondrian", 0.118, 1403, 0.0, 0.22, 0.124, False),
                ("k-member", 0.097, 1610, 0.0, 4.8, 0.141, False), ("anatomy", 0.0, 380, 0.0, 0.1, 0.2, False))]},
        "fields": {"column": "weight", "margin": 5, "threshold": 0.9, "subsets": [
            {"fields": fields, "violations": violations, "share": share} for fields, violations, share in (
                ([], 0, 0.0), (["age"], 3, 0.0003), (["sex"], 0, 0.0), (["age", "sex"], 12, 0.0011), (["age", "zip"], None, None),
                (["age", "sex", "zip"], 231, 0.0206))]},
        "repairs": {"theta": {"column": "diagnosis", "theta": 3, "smallest": 0.31}, "swaps": 38, "moved_share": 0.0068, "noise_rows": 12, "noise_share": 0.0011},
        "flow": {
            "states": [{"id": "s0", "label": "ward", "depth": 0}, {"id": "s1", "label": "registry", "depth": 1}, {"id": "s2", "label": "university", "depth": 2}],
            "transitions": [{"from": "s0", "to": "s1", "label": "writes age, sex, weight", "risk": False}, {"from": "s1", "to": "s2", "label": "reads age, sex", "risk": True}],
            "violations": ["university reads age, which nobody agreed to"], "svg": _FLOW_SVG},
        "history": [
            {"at": "2026-11-26T18:05:00+00:00", "by": "anna", "action": "release", "version": 3, "detail": "table stays_2026"},
            {"at": "2026-10-02T09:12:44+00:00", "by": "anna", "action": "withdraw", "version": 2, "detail": "superseded"}],
        "limits": [
            {"title": "Who knows the diagnosis already", "text": "Models of groups protect against those who know quasi-identifiers. Whoever knows a person's diagnosis may use it to find the record."},
            {"title": "Other tables", "text": "A second release of the same patients, by anybody, may undo the protection of both."},
            {"title": "What the table says of everybody", "text": "If a disease is common in an age group, the release says so, also of those who are not in it."}],
        "standards": [dict(zip(("standard", "section", "asks", "answer", "evidence"), row, strict=True)) for row in STANDARDS],
        "reproduce": {"spec": "source: patients.csv\nentity: patient_id\nprivacy:\n  - k-anonymity: {k: 5}\n",
                      "commands": ["sqlanon verify stays_2026 --db duckdb:///clinic.duckdb", "sqlanon report stays_2026 --db duckdb:///clinic.duckdb -o report.html"]},
        "missing": [],
    })  # fmt: skip


PARTS = (
    "risk",
    "value_prediction",
    "attacks",
    "correlations",
    "search",
    "methods",
    "fields",
    "repairs",
    "flow",
    "history",
    "classes",
)


def empty() -> dict[str, Any]:
    """A table of which nearly nothing could be measured, and nothing was asked to hold."""
    told = example() | {
        "kind": "relation",
        "name": None,
        "version": None,
        "made_by": None,
        "holds": None,
        "models": [],
        "columns": [],
    }
    told["summary"] |= {"sentences": ["There are no records."], "rows_in": 0, "rows_out": 0, "suppressed": 0, "suppressed_share": None,
                        "entity": None, "classes": 0, "levels": None, "utility": {}, "noise_rows": None, "swaps": None}  # fmt: skip
    told |= dict.fromkeys(PARTS) | {"limits": [], "standards": [], "reproduce": None}
    return told | {"missing": [{"part": part, "why": "there are no records"} for part in PARTS]}


NASTY = "</script><script>alert(1)</script>"
NAMES = (
    NASTY, "<img src=x onerror=alert(1)>", '"; DROP TABLE x; --', "it's \"quoted\"", "two\nlines\tand a tab", "x" * 300,
    "שם המטופל", "abc\u202egpj.exe", "${7*7}", "{{7*7}}", "datum.value", "javascript:alert(1)", "]]>", "<!--", "\\u003c", "名前",
)  # fmt: skip


def hostile() -> dict[str, Any]:
    """Sixty columns whose names and values are attacks on the page, in every place that text can come from."""
    told = _poisoned(example())
    names = [NAMES[i] if i < len(NAMES) else f"column_{i}" for i in range(60)]
    base = columns()[4]
    told["columns"] = [
        base | {"name": name, "how": name, "examples": [{"before": name, "after": name}],
                "distribution": base["distribution"] | {"labels": [*NAMES[:5], NAMES[i % len(NAMES)]]}}
        for i, name in enumerate(names)
    ]  # fmt: skip
    far = [[((i * j) % 21) / 10 - 1 for j in range(60)] for i in range(60)]
    told["correlations"] = {
        "columns": names,
        "measure": [[NASTY] * 60] * 60,
        "before": far,
        "after": far,
        "largest_shift": 0.0,
    }
    return told


def _poisoned(told: Any, path: str = "") -> Any:
    """The same with an attack in the place of every text that a source, a spec or a person could have written."""
    if isinstance(told, dict):
        return {key: _poisoned(value, key) for key, value in told.items()}
    if isinstance(told, list):
        return [_poisoned(one, path) for one in told]
    keeps = path in ("kind", "state", "answer", "svg", "model", "made_at", "at", "sqlanon")
    return NASTY if isinstance(told, str) and not keeps else told
