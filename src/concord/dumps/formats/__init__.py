"""Every format that is read as it is, the most telling first."""

from concord.dumps.formats import (
    areal,
    concord,
    nemo,
    open_instruct,
    roll,
    skyrl,
    slime,
    swift,
    tinker,
    trl,
    verifiers,
    verl,
)
from concord.dumps.formats.base import Format

FORMATS: tuple[Format, ...] = (
    concord.FORMAT,
    trl.FORMAT,
    verl.FORMAT,
    nemo.FORMAT,
    skyrl.FORMAT,
    slime.SLIME,
    slime.MILES,
    verifiers.V0,
    verifiers.V1,
    open_instruct.FORMAT,
    areal.FORMAT,
    tinker.FORMAT,
    roll.FORMAT,
    swift.FORMAT,
)
"""A record belongs to the first that fits it; a table that none fits is plain."""
