"""Which signals of a recording can be believed: what the checks of logs found, taken out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim2real_core.profile import RobotProfile
from sim2real_sysid.batch.data import RawRecording
from sim2real_sysid.dynamics import RigidBody
from sim2real_sysid.findings import EFFORT, POSITION
from sim2real_sysid.quality import check, in_force

CLEANED = ('position_missing', 'position_jumps', 'effort_missing', 'effort_saturated')
"""What is left out sample by sample, so that the samples between need not go."""
MARGIN = 0.5  # [s] that is left out before and after a stretch of positions nobody believes


def believed(
    raw: RawRecording, profile: RobotProfile, body: RigidBody
) -> tuple[RawRecording, list[str]]:
    """A recording without what the checks doubt.

    Efforts that are doubted are taken out for the whole recording, as a wrong unit or sign would
    be everywhere. Positions are taken out while they are doubted: those of one joint decide what
    all others carry, so the whole sample goes.

    Returns:
        The recording, and for people what was found.
    """
    command = None
    if (np.diff(raw.command_stamp) >= 0).all():
        timeout = profile.command.timeout
        command = in_force(raw.stamp, raw.command_stamp, raw.command, timeout)
    findings = check(profile, raw.stamp, raw.position, raw.effort, command, body=body)
    position, effort = raw.position.copy(), raw.effort.copy()
    for finding in findings:
        if finding.joint not in profile.joint_names or finding.what in CLEANED:
            continue
        j = profile.joint_names.index(finding.joint)
        if finding.spoils == EFFORT:
            effort[:, j] = np.nan
        elif finding.spoils == POSITION:
            doubted = (raw.stamp >= finding.since - MARGIN) & (raw.stamp <= finding.until + MARGIN)
            position[doubted, j] = np.nan
    words = [
        f'{f.joint}: {f.what}: {f.evidence}; {f.mend}' if f.joint else f'{f.what}: {f.evidence}'
        for f in findings
    ]
    return replace(raw, position=position, effort=effort), words
