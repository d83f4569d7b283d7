"""All dashboards."""

from typing import Final

from leadstream.infra.grafana.funnel import FUNNEL
from leadstream.infra.grafana.handoff import HANDOFF
from leadstream.infra.grafana.pipeline import PIPELINE

BOARDS: Final = (PIPELINE, FUNNEL, HANDOFF)
