"""What the dashboards share: variables, thresholds, and conditions on what is chosen.

What is chosen in a variable reaches a query as a quoted text, or is one of a fixed few. Tables are
read with FINAL, and leads that another absorbed do not count.
"""

from __future__ import annotations

from typing import Final

from leadstream.infra.grafana.panels import Step, choice, values_of
from leadstream.sinks.attribution.questions import CONVERSIONS, HALF_LIFE_DAYS, RULES

HEALTHY: Final[tuple[Step, ...]] = ((None, "red"), (0.1, "green"), (0.3, "orange"))
ATTAINED: Final[tuple[Step, ...]] = ((None, "red"), (0.8, "orange"), (0.95, "green"))
NONE_IS_BEST: Final[tuple[Step, ...]] = ((None, "green"), (1, "red"))
FRESH_S: Final[tuple[Step, ...]] = ((None, "green"), (900, "orange"), (3600, "red"))

CHANNEL: Final = values_of(
    "channel", "Channel",
    "SELECT DISTINCT if(channel = '', '(none)', channel) AS shown FROM lead_state ORDER BY shown",
)  # fmt: skip
OWNER: Final = values_of(
    "owner", "Owner",
    "SELECT DISTINCT if(owner = '', '(none)', owner) AS shown FROM lead_state ORDER BY shown",
)  # fmt: skip
POLICY: Final = values_of("policy", "SLA policy", "SELECT DISTINCT policy FROM sla ORDER BY policy")
MODEL: Final = choice("model", "Attribution model", RULES, "linear")
CONVERSION: Final = choice("conversion", "Conversion", CONVERSIONS, "won")
LOOKBACK: Final = choice(
    "lookback_days", "Lookback, days", ("7", "30", "60", "90", "180", "365"), "90"
)

OF_CHANNEL: Final = (
    "$__conditionalAll(if(channel = '', '(none)', channel) IN (${channel:singlequote}), $channel)"
)
OF_OWNER: Final = (
    "$__conditionalAll(if(owner = '', '(none)', owner) IN (${owner:singlequote}), $owner)"
)
OF_POLICY: Final = "$__conditionalAll(policy IN (${policy:singlequote}), $policy)"
OF_THE_LIVING: Final = "lead_id IN (SELECT lead_id FROM v_leads)"
CREDITS: Final = (
    "v_attribution(model = ${model:singlequote}, conversion = ${conversion:singlequote}, "
    f"lookback_days = $lookback_days, half_life_days = {HALF_LIFE_DAYS})"
)
OF_CREDITED: Final = "$__conditionalAll(channel IN (${channel:singlequote}), $channel)"
