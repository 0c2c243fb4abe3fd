"""Drives in recordings: what they do with commands, and what effort they make of them.

The online identifier of the drives is fed sample by sample; it needs no second pass. What counts
as identified is up to it, too: a lag of milliseconds is not known to three per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim2real_core.profile import RobotProfile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.batch.data import Recording
from sim2real_sysid.batch.rollouts import drivable
from sim2real_sysid.batch.signals import plateaus, smooth
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.quality_efforts import AT_LIMIT
from sim2real_sysid.servo import Servo

CHUNK = 25  # samples that are handed over at once, so that the identifier can look often
MOST_CUT = 0.01  # share of the efforts
PILE = 2.0  # times as many as of the next smaller value


def drive_estimates(
    profile: RobotProfile, recordings: Sequence[Recording], *, measured: bool = True
) -> dict[str, ParameterEstimate]:
    """Gain, delay and lag of each drive; nothing without commands.

    Args:
        profile: the robot.
        recordings: cleaned.
        measured: whether the efforts were. Those that the commands make have the drives' gains and
            neither delay nor lag, and tell none.
    """
    from sim2real_sysid.drives import DriveIdentifier

    if not drivable(profile, recordings):
        return {}
    identifier = DriveIdentifier(profile, SysidConfig())
    for recording in recordings:
        for segment in recording.segments:
            identifier.restart()
            effort = np.where(plateaus(segment.effort), np.nan, segment.effort)
            k = 0
            for first in range(0, len(segment), CHUNK):
                part = slice(first, first + CHUNK)
                stamps = segment.stamp[part]
                while k < len(segment.command) and segment.command_stamp[k] <= stamps[-1]:
                    identifier.command(float(segment.command_stamp[k]), segment.command[k])
                    k += 1
                identifier.follow(stamps, segment.position[part], effort[part])
    found = identifier.estimates()[0]
    doubted = _cut(profile, recordings) if measured else set(profile.joint_names)
    return {
        address: replace(one, status='not_identified') if address.split('.')[1] in doubted else one
        for address, one in found.items()
    }


def _cut(profile: RobotProfile, recordings: Sequence[Recording]) -> set[str]:
    """Joints whose efforts are cut now and then: what is left of them is the small ones.

    Values pile up at the largest one then; those of a coarse sensor do not.
    """
    effort, cut = np.concatenate([np.abs(s.effort) for r in recordings for s in r.segments]), set()
    for name, column, limit in zip(profile.joint_names, effort.T, profile.array('effort')):
        sizes, counts = np.unique(column[np.isfinite(column)], return_counts=True)
        if len(sizes) > 1 and sizes[-1] >= AT_LIMIT * limit:
            continue  # a drive at its own limit gives what is measured
        if len(counts) > 1 and counts[-1] > max(MOST_CUT * len(column), PILE * counts[-2]):
            cut.add(name)
    return cut


def servo_efforts(recording: Recording, profile: RobotProfile, bandwidth: float) -> Recording:
    """The recording with the efforts that the drives' gains make of command and motion.

    Delay and lag of the drives are not known yet, so they are in none.
    """
    servo, segments = Servo.of(profile), []
    for segment in recording.segments:
        position, velocity, _ = smooth(segment, bandwidth)
        at = np.searchsorted(segment.command_stamp, segment.stamp, side='right') - 1
        command = segment.command[np.maximum(at, 0)]
        effort = servo.forward * command - servo.feedback(position, velocity, command)
        limit = profile.array('effort')
        segments.append(replace(segment, effort=np.clip(effort, -limit, limit)))
    return replace(recording, segments=tuple(segments))
