# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WQL, as far as a Hyper-V client needs it, evaluated on a :class:`~replica_lab.provider.CimProvider`.

Three statements (learn.microsoft.com, "WQL (SQL for WMI)" and its ASSOCIATORS OF and REFERENCES OF pages)::

    SELECT * | name, name ...  FROM Class  [WHERE condition]
    ASSOCIATORS OF {path} [WHERE AssocClass=C ResultClass=C Role=name ResultRole=name]
    REFERENCES OF {path} [WHERE ResultClass=C Role=name]

A condition compares properties with constants (``= <> != < > <= >=``, ``LIKE``, ``IS NULL``), joined by AND,
OR, NOT and parentheses. Strings compare without regard to case; a backslash escapes the next character;
a comparison with a NULL property is false. What WMI has beyond that is refused, never ignored.
"""

from __future__ import annotations

import operator
import re
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from replica_lab import schema
from replica_lab.provider import CimFailure, CimObject, CimProvider, NotFound, Ref, Value


class WqlError(CimFailure):
    """The text is no query that WMI would carry out (WBEM_E_INVALID_QUERY)."""


# --- the statements --------------------------------------------------------------------------------

Literal = t.Union[None, bool, int, float, str]


@dataclass(frozen=True)
class Comparison:
    """``name operator literal``; the operator is one of OPERATORS, or ``like``."""

    name: str
    operator: str
    literal: Literal


@dataclass(frozen=True)
class Junction:
    """``all``, ``any`` or ``not`` of its parts."""

    kind: str
    parts: tuple[Condition, ...]


Condition = t.Union[Comparison, Junction]


@dataclass(frozen=True)
class Select:
    class_name: str
    names: tuple[str, ...] | None
    """The projection; None for ``*``."""
    condition: Condition | None


@dataclass(frozen=True)
class Around:
    """ASSOCIATORS OF (``references`` False) or REFERENCES OF (True) one instance."""

    references: bool
    source: Ref
    options: t.Mapping[str, str] = field(default_factory=dict)


Query = t.Union[Select, Around]

OPERATORS: dict[str, t.Callable[[t.Any, t.Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def evaluate(provider: CimProvider, text: str, user: str) -> list[CimObject]:
    """What the query finds for this user, in the provider's order.

    Raises WqlError for a text that is no query, NotFound for a class or a source instance that does not exist.
    """
    return run(provider, parse(text), user)


def run(provider: CimProvider, query: Query, user: str) -> list[CimObject]:
    """The same for a query that is parsed already."""
    if isinstance(query, Select):
        return _select(provider, query, user)
    return _around(provider, query, user)


# --- reading the text ------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<number>[+-]?\d+(?:\.\d+)?(?!\w))
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign><=|>=|<>|!=|[=<>(),*])
    )""",
    re.VERBOSE | re.DOTALL,
)
_AROUND = re.compile(r"\s*(ASSOCIATORS|REFERENCES)\s+OF\s*\{(.*)\}\s*(?:WHERE\s+(.*))?\Z", re.IGNORECASE | re.DOTALL)
_AROUND_OPTION = re.compile(r"\s*(\w+)\s*=\s*(\w+)")
_AROUND_OPTIONS = {
    False: {"assocclass": "AssocClass", "resultclass": "ResultClass", "role": "Role", "resultrole": "ResultRole"},
    True: {"resultclass": "ResultClass", "role": "Role"},
}
_PATH = re.compile(r"\s*(?:(?:[\\/]{2}[^\\/:]+[\\/])?[^:\"'.=]*:)?(\w+)(?:\.(.*))?\s*\Z", re.DOTALL)
_PATH_KEY = re.compile(r"""\s*(\w+)\s*=\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,"'\s]+)\s*(,|\Z)""", re.DOTALL)


def parse(text: str) -> Query:
    """Read a statement. Raises WqlError naming the place where it stops making sense."""
    around = _AROUND.match(text)
    if around:
        references = around[1].upper() == "REFERENCES"
        return Around(references, parse_path(around[2]), _around_options(around[3] or "", references))
    return _Reader(text).select()


def parse_path(text: str) -> Ref:
    r"""An object path, with or without ``\\host\namespace:``, as a reference. Raises WqlError."""
    match = _PATH.match(text)
    if not match or match[2] is None:
        raise WqlError(f"not an object path: {text}")
    keys: dict[str, str] = {}
    rest = match[2]
    while True:
        key = _PATH_KEY.match(rest)
        if not key:
            raise WqlError(f"not an object path: {text}")
        keys[key[1]] = _unquote(key[2]) if key[2][0] in "\"'" else key[2]
        if not key[3]:
            return Ref.of(match[1], **keys)
        rest = rest[key.end() :]


def _unquote(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL)


def _around_options(text: str, references: bool) -> dict[str, str]:
    options: dict[str, str] = {}
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _AROUND_OPTION.match(text, position)
        name = match and _AROUND_OPTIONS[references].get(match[1].lower())
        if not match or not name or name in options:
            raise WqlError(f"not understood after WHERE: {text[position:].strip()}")
        options[name] = match[2]
        position = match.end()
    return options


class _Reader:
    """Recursive descent over the tokens of a SELECT."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        position = 0
        end = len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if not match:
                raise WqlError(f"not understood: {text[position:].strip()}")
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind]))
            position = match.end()
        self.at = 0

    def select(self) -> Select:
        self.expect("SELECT")
        names = None if self.accept("*") else self.names()
        self.expect("FROM")
        class_name = self.word()
        condition = self.any_of() if self.accept("WHERE") else None
        if self.at < len(self.tokens):
            raise self.error()
        return Select(class_name, names, condition)

    def names(self) -> tuple[str, ...]:
        names = [self.word()]
        while self.accept(","):
            names.append(self.word())
        return tuple(names)

    def any_of(self) -> Condition:
        parts = [self.all_of()]
        while self.accept("OR"):
            parts.append(self.all_of())
        return parts[0] if len(parts) == 1 else Junction("any", tuple(parts))

    def all_of(self) -> Condition:
        parts = [self.single()]
        while self.accept("AND"):
            parts.append(self.single())
        return parts[0] if len(parts) == 1 else Junction("all", tuple(parts))

    def single(self) -> Condition:
        if self.accept("NOT"):
            return Junction("not", (self.single(),))
        if self.accept("("):
            inner = self.any_of()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Condition:
        kind, text = self.peek()
        if kind in ("string", "number") or (kind == "word" and text.upper() in ("TRUE", "FALSE", "NULL")):
            literal = self.literal()
            sign = self.sign()
            return Comparison(self.word(), _MIRRORED.get(sign, sign), literal)
        name = self.word()
        if self.accept("IS"):
            sign = "<>" if self.accept("NOT") else "="
            self.expect("NULL")
            return Comparison(name, sign, None)
        negated = self.accept("NOT")
        if negated or self.peek()[1].upper() == "LIKE":
            self.expect("LIKE")
            pattern = self.literal()
            if not isinstance(pattern, str):
                raise WqlError(f"LIKE needs a string: {self.text}")
            like = Comparison(name, "like", pattern)
            return Junction("not", (like,)) if negated else like
        return Comparison(name, self.sign(), self.literal())

    def literal(self) -> Literal:
        kind, text = self.peek()
        self.at += 1
        if kind == "string":
            return _unquote(text)
        if kind == "number":
            return float(text) if "." in text else int(text)
        constants: dict[str, Literal] = {"TRUE": True, "FALSE": False, "NULL": None}
        if kind == "word" and text.upper() in constants:
            return constants[text.upper()]
        self.at -= 1
        raise self.error()

    def sign(self) -> str:
        kind, text = self.peek()
        if kind != "sign" or text not in OPERATORS:
            raise self.error()
        self.at += 1
        return text

    def word(self) -> str:
        kind, text = self.peek()
        if kind != "word":
            raise self.error()
        self.at += 1
        return text

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def accept(self, text: str) -> bool:
        kind, found = self.peek()
        if kind in ("word", "sign") and found.upper() == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.error(text)

    def error(self, wanted: str = "") -> WqlError:
        found = self.peek()[1] or "the end"
        return WqlError(f"{f'{wanted} expected, ' if wanted else 'unexpected: '}{found} in: {self.text}")


# --- SELECT ----------------------------------------------------------------------------------------

Predicate = t.Callable[[t.Mapping[str, Value]], bool]


def _select(provider: CimProvider, query: Select, user: str) -> list[CimObject]:
    objects = provider.instances(query.class_name, user)
    spelling = _spelling(query.class_name)
    if query.condition is not None:
        holds = _compile(query.condition, spelling)
        objects = [one for one in objects if holds(one.properties)]
    if query.names is not None:
        names = [spelling(name) for name in query.names]
        objects = [CimObject(one.ref, {name: one.properties.get(name) for name in names}) for one in objects]
    return objects


def _spelling(class_name: str) -> t.Callable[[str], str]:
    """Property names are free in case; the answer is the MOF's spelling, or WqlError for one that is not there."""
    names = {name.lower(): name for found in schema.concrete(class_name) for name in found.properties}

    def spelling(name: str) -> str:
        if name.lower() not in names:
            raise WqlError(f"{class_name} has no property {name}")
        return names[name.lower()]

    return spelling


def _compile(condition: Condition, spelling: t.Callable[[str], str]) -> Predicate:
    if isinstance(condition, Comparison):
        return _compile_comparison(spelling(condition.name), condition.operator, condition.literal)
    parts = [_compile(part, spelling) for part in condition.parts]
    if condition.kind == "not":
        return lambda properties: not parts[0](properties)
    if condition.kind == "all":
        return lambda properties: all(part(properties) for part in parts)
    return lambda properties: any(part(properties) for part in parts)


def _compile_comparison(name: str, sign: str, literal: Literal) -> Predicate:
    if literal is None:
        if sign not in ("=", "<>", "!="):
            raise WqlError(f"NULL has no order: {name} {sign} NULL")
        wanted = sign == "="
        return lambda properties: (properties.get(name) is None) is wanted
    if sign == "like":
        matches = re.compile(_like(str(literal)), re.IGNORECASE | re.DOTALL).fullmatch
        return lambda properties: isinstance(text := properties.get(name), str) and matches(text) is not None
    holds = OPERATORS[sign]
    # The usual case first, on its own: a text against a text, over thousands of instances.
    folded = literal.lower() if isinstance(literal, str) else None

    def compare(properties: t.Mapping[str, Value]) -> bool:
        value = properties.get(name)
        if value is None:
            return False
        if folded is not None and isinstance(value, str):
            return holds(value.lower(), folded)
        return holds(*_comparable(name, value, literal))

    return compare


def _comparable(name: str, value: Value, literal: Literal) -> tuple[t.Any, t.Any]:
    """Both sides in a type that can be compared; WMI converts the constant to the type of the property."""
    try:
        if isinstance(value, bool):
            if isinstance(literal, str):
                return value, {"true": True, "false": False}[literal.lower()]
            return value, bool(literal)
        if isinstance(value, int) and not isinstance(literal, bool):
            return value, int(literal) if isinstance(literal, str) else literal
        if isinstance(value, datetime) and isinstance(literal, str):
            return value, parse_datetime(literal)
        if isinstance(value, timedelta) and isinstance(literal, str):
            return value, parse_interval(literal)
        if isinstance(value, Ref) and isinstance(literal, str):
            return _identity(value), _identity(parse_path(literal))
    except (KeyError, ValueError):
        pass
    raise WqlError(f"{name} cannot be compared with {literal!r}")


def _like(pattern: str) -> str:
    """A LIKE pattern (``%``, ``_``, ``[a-f]``, ``[^a-f]``) as a regular expression."""
    out = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "%":
            out.append(".*")
        elif char == "_":
            out.append(".")
        elif char == "[" and (end := pattern.find("]", position + 1)) > 0:
            inner = pattern[position:end].replace("\\", "\\\\").replace("[", "\\[").replace("=", "-")
            out.append(f"[{inner}]")
            position = end + 1
        else:
            out.append(re.escape(char))
    return "".join(out)


_DATETIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.(\d{6})([+-])(\d{3})\Z")
_INTERVAL = re.compile(r"(\d{8})(\d\d)(\d\d)(\d\d)\.(\d{6}):000\Z")


def parse_datetime(text: str) -> datetime:
    """A CIM datetime (``yyyymmddHHMMSS.mmmmmm+UUU``, UUU in minutes) as an aware UTC datetime. Raises ValueError."""
    match = _DATETIME.match(text)
    if not match:
        raise ValueError(f"not a CIM datetime: {text}")
    offset = timedelta(minutes=int(match[8] + match[9]))
    year, month, day, hour, minute, second, microsecond = (int(match[part]) for part in range(1, 8))
    return datetime(year, month, day, hour, minute, second, microsecond, timezone.utc) - offset


def parse_interval(text: str) -> timedelta:
    """A CIM interval (``ddddddddHHMMSS.mmmmmm:000``). Raises ValueError."""
    match = _INTERVAL.match(text)
    if not match:
        raise ValueError(f"not a CIM interval: {text}")
    days, hours, minutes, seconds, microseconds = (int(match[part]) for part in range(1, 6))
    return timedelta(days, seconds, microseconds, 0, minutes, hours)


# --- ASSOCIATORS OF, REFERENCES OF -------------------------------------------------------------------


def _identity(ref: Ref) -> tuple[str, tuple[tuple[str, str], ...]]:
    return ref.class_name.lower(), tuple(sorted((name.lower(), value.lower()) for name, value in ref.keys))


def _around(provider: CimProvider, query: Around, user: str) -> list[CimObject]:
    source = _identity(provider.get(query.source, user).ref)
    wanted = query.options.get("ResultClass" if query.references else "AssocClass")
    links = [
        (link, role, ref)
        for class_name in ([wanted] if wanted else _associations())
        for link in _links(provider, class_name, user, required=bool(wanted))
        for role, ref in link.properties.items()
        if isinstance(ref, Ref) and _identity(ref) == source and _fits(role, query.options.get("Role"))
    ]
    if query.references:
        return _once(link for link, _role, _ref in links)
    result_class = query.options.get("ResultClass")
    ends = [
        ref
        for link, source_role, _ref in links
        for role, ref in link.properties.items()
        if isinstance(ref, Ref) and role != source_role and _fits(role, query.options.get("ResultRole"))
        if result_class is None or _is_a(ref.class_name, result_class)
    ]
    return _once(found for ref in ends for found in _visible(provider, ref, user))


def _associations() -> list[str]:
    """The classes that join two instances: those whose keys are references."""
    return [
        name
        for name, found in schema.classes().items()
        if found.keys and all(found.properties[key].startswith("ref ") for key in found.keys)
    ]


def _is_a(class_name: str, wanted: str) -> bool:
    found = schema.shape(class_name)
    return found is not None and found.is_a(wanted)


def _links(provider: CimProvider, class_name: str, user: str, required: bool) -> list[CimObject]:
    try:
        return provider.instances(class_name, user)
    except NotFound:
        if required:
            raise
        return []


def _visible(provider: CimProvider, ref: Ref, user: str) -> list[CimObject]:
    """The other end, unless this user cannot see it or it went away meanwhile: then it is simply not in the answer."""
    try:
        return [provider.get(ref, user)]
    except NotFound:
        return []


def _fits(role: str, wanted: str | None) -> bool:
    return wanted is None or role.lower() == wanted.lower()


def _once(objects: t.Iterable[CimObject]) -> list[CimObject]:
    return list({_identity(one.ref): one for one in objects}.values())
