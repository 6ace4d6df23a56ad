"""Every tiny model, by its name."""

from __future__ import annotations

from tests.models.create.convert import cases
from tests.models.create.convert.more_cases import MORE_CASES
from tests.models.create.convert.seeing_cases import SEEING_CASES

ADAPTER = cases.ADAPTER
CASES = cases.CASES | MORE_CASES | SEEING_CASES
