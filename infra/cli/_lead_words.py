"""Why a lead changed its stage, in words that need no knowledge of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from leadstream.infra.cli._format import shown

_BECAME: Final = {
    "known": "Became known",
    "engaged": "Became engaged",
    "mql": "Became an MQL",
    "sal": "Was accepted by sales (SAL)",
    "sql": "Became an SQL",
    "opportunity": "Became an opportunity",
    "customer": "Became a customer",
    "nurture": "Went to nurture",
    "disqualified": "Was disqualified",
    "lost": "Was lost",
    "merged": "Was merged into another lead",
}


def told(transition: dict[str, Any]) -> str:
    """Return one or two sentences: what the lead became, because of what, and what is due."""
    became = _BECAME.get(transition["to_stage"], f"Went to {transition['to_stage']}")
    why = _WHY.get(transition["cause"], _by_name)(transition)
    sentences = f"{became} because {why}{_reason(transition)}."
    if transition["sla_due_at"]:
        sentences += f" Answer due {shown(transition['sla_due_at'])}."
    return shown(sentences)


def _by_name(transition: dict[str, Any]) -> str:
    return f"of {transition['cause'].replace('_', ' ')}{_after(transition)}"


def _identified(transition: dict[str, Any]) -> str:
    return f"{transition['cause_type'] or 'an event'} said who it is"


def _hand_raise(transition: dict[str, Any]) -> str:
    return f"it asked for sales ({transition['cause_type']}, criterion {transition['criterion']})"


def _criteria(transition: dict[str, Any]) -> str:
    criterion, threshold = transition["criterion"], transition["threshold"]
    if transition["to_stage"] == "known":
        return f"nothing held it any more, criterion {criterion} least{_after(transition)}"
    text = f"criterion {criterion} held{_after(transition)}"
    if threshold is None or transition["margin"] is None:
        return text
    points = threshold + transition["margin"]
    return (
        f"{text}: {points:.4g} points, {transition['margin']:.4g} more than the {threshold:.4g} "
        "it asks for"
    )


def _decay(transition: dict[str, Any]) -> str:
    return f"its score faded below where criterion {transition['criterion']} lets go"


def _model(transition: dict[str, Any]) -> str:
    return f"model {transition['model_version']} took effect"


def _cooldown(_transition: dict[str, Any]) -> str:
    return "the rest that its reason asks for was over"


def _consent(transition: dict[str, Any]) -> str:
    if transition["to_stage"] in ("nurture", "mql"):
        return "the person allows contact again"
    return "the person's consent does not allow it"


def _inferred(transition: dict[str, Any]) -> str:
    return f"the CRM skipped this stage ({transition['cause_type']})"


def _sales_found(transition: dict[str, Any]) -> str:
    return f"sales found it without marketing ({transition['cause_type']})"


def _crm(transition: dict[str, Any]) -> str:
    return f"the CRM said {transition['cause_type']}"


_WHY: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "identified": _identified,
    "hand_raise": _hand_raise,
    "criteria": _criteria,
    "decay": _decay,
    "model": _model,
    "cooldown": _cooldown,
    "consent": _consent,
    "inferred": _inferred,
    "sales_found": _sales_found,
    "crm": _crm,
}


def _after(transition: dict[str, Any]) -> str:
    return f" after {transition['cause_type']}" if transition["cause_type"] else ""


def _reason(transition: dict[str, Any]) -> str:
    given = f' ("{transition["reason_given"]}")' if transition["reason_given"] else ""
    if transition["reason"]:
        return f", reason {transition['reason']}{given}"
    if transition["leak"] == "missing_reason":
        return ", and gave no reason"
    if transition["leak"]:
        return f", for a reason that the model does not know{given}"
    return ""
