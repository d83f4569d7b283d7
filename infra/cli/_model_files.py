"""Which one version of a model a path on the command line stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from leadstream.infra.cli import UserError
from leadstream.schemas.clock import wall_clock_ms
from leadstream.streams.domain.compiled import CompiledModel, ModelSet, refuse_reading_accounts
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.models import default_model_path, load_models

SHIPPED: Final = "shipped"
REPLAY: Final = "run `leadstream replay --processes 1` under it, and look at what it says"
PATH_HELP: Final = (
    f'A model is a YAML file, a directory of versions (the one active now), or "{SHIPPED}".'
)


def one_version(path: Path, *, folds: str | None = None) -> CompiledModel:
    """Return the model of a file, or the version of a directory that is active now.

    Args:
        folds: what folds each lead alone under it, as in "a backtest".
    Raises:
        UserError: every fault of the model.
    """
    if str(path) == SHIPPED and not path.exists():
        path = default_model_path()
    try:
        found = load_models(path).at(wall_clock_ms())
        if folds is not None:
            refuse_reading_accounts(ModelSet([found]), f"{folds} folds each lead alone", REPLAY)
        return found
    except ModelError as error:
        raise UserError(str(error)) from None
