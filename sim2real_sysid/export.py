"""What was identified, as a robot's description: URDF or SDF.

Only what is identified is written; every other number, and every character between them, stays.
Where an encoder's zero is, is written as the place of the joint: see
:mod:`sim2real_sysid.joint_zeros`.
What the format has no word for goes into a comment, so that it is not lost, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from sim2real_core.addresses import Address, parse_address, quantity
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Estimate
from sim2real_core.urdf import parse_urdf
from sim2real_sim import sdf
from sim2real_sim.sdf_text import Element, parse
from sim2real_sysid.joint_zeros import own_joints, shift_zeros, with_zeros

FRICTION = {'viscous_friction': 'damping', 'coulomb_friction': 'friction'}
"""Quantity of a joint -> attribute of a URDF's ``<dynamics>``."""
WAYS = ('positive', 'negative')
SYMMETRIC = 'a URDF and SDF know no direction: the mean of both is written'
ZERO = 'position_offset'
MOVED = (
    'zeros of joints moved to where the encoders have them, and what the description says of '
    'limits with them: give no position_offset beside this model'
)
INERTIA = ('xx', 'xy', 'xz', 'yy', 'yz', 'zz')


@dataclass(frozen=True)
class Export:
    """A written model.

    Attributes:
        text: of the file.
        written: address to the value that is in it now [SI].
        unsaid: address to why it is not in it, but in a comment.
        notes: what else a person should know.
    """

    text: str
    written: Mapping[str, float]
    unsaid: Mapping[str, str]
    notes: tuple[str, ...] = ()


def to_urdf(profile: RobotProfile, estimate: Estimate) -> Export:
    """The robot's URDF with what was identified.

    A link's inertia follows its mass in proportion where it is not identified itself.

    Args:
        profile: the robot.
        estimate: what is known of it.

    Raises:
        InputError: an estimate of something that the robot does not have, or a link that no body
            is like; all are named.
    """
    values, unsaid = _settled(profile, estimate)
    document = parse(profile.urdf.text, profile.urdf.file)
    root = document.find('robot')
    assert root is not None  # the profile was read from it
    written: dict[str, float] = {}
    bodies: dict[str, dict[str, float]] = {}
    zeros: dict[str, float] = {}
    for text, value in values.items():
        address = parse_address(text)
        if address.kind == 'link':
            bodies.setdefault(address.name, {})[address.quantity] = value
        elif address.quantity == ZERO:
            zeros[address.name] = value
        elif address.kind == 'joint' and address.quantity in FRICTION:
            dynamics = _named(root, 'joint', address.name).make('dynamics')
            dynamics.set(FRICTION[address.quantity], repr(value))
        else:
            unsaid[text] = _instead(address)
            continue
        written[text] = value
    for name, wanted in bodies.items():
        _write_body(_named(root, 'link', name), profile, name, wanted)
    shift_zeros(root, zeros)
    _comment(root, estimate, unsaid)
    result = str(document)
    _check_bodies(result, profile, bodies)
    return Export(result, written, unsaid, tuple(_urdf_notes(profile, written)))


def to_sdf(
    profile: RobotProfile,
    estimate: Estimate,
    text: str = '',
    *,
    model: str = '',
    version: str = '1.7',
) -> Export:
    """An SDF of the robot with what was identified.

    Args:
        profile: the robot.
        estimate: what is known of it.
        text: an SDF of one's own; made from the URDF when empty.
        model: which model of a world is meant.
        version: of an SDF that is made.

    Raises:
        InputError: as :func:`to_urdf`, or the SDF lacks a link or joint.
    """
    values, unsaid = _settled(profile, estimate)
    written = {address: value for address, value in values.items() if sdf.editable(address)}
    zeros = {address: value for address, value in values.items() if address.endswith(f'.{ZERO}')}
    notes: list[str] = []
    if text:
        unsaid.update(dict.fromkeys(zeros, 'an SDF that is made from the URDF has it'))
        moved = {}
    else:
        moved = zeros
        offsets = {parse_address(address).name: value for address, value in zeros.items()}
        made = sdf.robot_sdf(with_zeros(profile, offsets), version)
        text, notes = made.text, [*made.notes, *_zero_notes(profile, zeros)]
    for address in values:
        if address not in written and address not in zeros:
            unsaid[address] = _instead(parse_address(address))
    document = parse(sdf.edit(text, written, model=model))
    root = next(iter(document))
    _comment(root, estimate, unsaid)
    return Export(str(document), written | moved, unsaid, tuple(notes))


def _settled(profile: RobotProfile, estimate: Estimate) -> tuple[dict[str, float], dict[str, str]]:
    """Identified values by address, friction without direction; and what that leaves unsaid."""
    faults = Faults()
    values: dict[str, float] = {}
    for address, known in estimate.identified.items():
        try:
            limits = quantity(address, profile)
            values[address] = min(max(known.mean, limits.low), limits.high)
        except InputError as error:
            faults.extend(error)
    faults.check()
    unsaid: dict[str, str] = {}
    for joint in profile.joint_names:
        for what in FRICTION:
            both = [f'joint.{joint}.{what}.{way}' for way in WAYS]
            ways = [values.pop(address) for address in both if address in values]
            if len(ways) == len(both):
                values[f'joint.{joint}.{what}'] = sum(ways) / len(ways)
            unsaid.update(dict.fromkeys((a for a in both if a in estimate.identified), SYMMETRIC))
    return values, unsaid


def _instead(address: Address) -> str:
    """Where a value can go that the format has no word for."""
    if address.kind == 'joint' and address.quantity == 'armature':
        return f'to the profile, as joints.{address.name}.armature'
    return 'to a randomization space, with sim2real sysid to-space'


def _named(root: Element, tag: str, name: str) -> Element:
    return next(element for element in root.all(tag) if element.get('name') == name)


def _write_body(
    link: Element, profile: RobotProfile, name: str, wanted: Mapping[str, float]
) -> None:
    """Mass, centre of mass and inertia of a link."""
    body = profile.urdf.links[name]
    tensor = dict(zip(('xx', 'yy', 'zz', 'xy', 'xz', 'yz'), body.inertia))
    mass = wanted.get('mass', body.mass)
    # A link without mass gets inertia only where that was identified.
    ratio = mass / body.mass if body.mass > 0 else 1.0
    com = [wanted.get(f'com.{axis}', value) for axis, value in zip('xyz', body.com)]
    inertial = link.make('inertial')
    if list(body.com) != com:
        inertial.make('origin').set('xyz', ' '.join(map(repr, com)))
    if mass != body.mass:
        inertial.make('mass').set('value', repr(mass))
    for axes in INERTIA:
        value = wanted.get(f'inertia.{axes}', tensor[axes] * ratio)
        if value != tensor[axes] or inertial.find('inertia') is None:
            inertial.make('inertia').set(f'i{axes}', repr(value))


def _check_bodies(text: str, profile: RobotProfile, bodies: Mapping[str, object]) -> None:
    """What was written reads again, and no link has become what no body is like."""
    before = parse_urdf(profile.urdf.text, profile.urdf.path)
    after = parse_urdf(text, profile.urdf.path)
    fresh = [note for note in after.notes if 'inertia' in note]
    if len(fresh) > len([note for note in before.notes if 'inertia' in note]):
        faults = [
            Fault(f'link.{name}.inertia', list(after.links[name].inertia), mend)
            for name in bodies
            for mend in fresh
            if f'link.{name}.inertia' in mend
        ]
        raise InputError(*faults)


def _comment(root: Element, estimate: Estimate, unsaid: Mapping[str, str]) -> None:
    """Put what the format cannot say at the head of the robot."""
    if not unsaid:
        return
    lines = ['Identified, but nothing that this format can say:']
    for address in unsaid:
        known = estimate.parameters[address]
        lines.append(f'{address} = {known.mean!r} +/- {known.std:.2g} {known.unit}'.rstrip())
    # Two hyphens would end the comment.
    words = '\n       '.join(lines).replace('--', '- -')
    root.items.insert(0, f'\n  <!-- {words} -->')


def _urdf_notes(profile: RobotProfile, written: Mapping[str, float]) -> list[str]:
    """What keeps the written file from being taken as it is."""
    urdf = profile.urdf
    notes = list(urdf.notes)
    if urdf.path.suffix == '.xacro':
        notes.append(f'{urdf.path} is xacro: what is written is the URDF that it expands to')
    own = own_joints(profile)
    for text in written:
        address = parse_address(text)
        given = own.get(address.name, {}) if address.kind == 'joint' else {}
        if address.quantity in given:
            notes.append(
                f'{profile.path} itself says joints.{address.name}.{address.quantity}: '
                f'{given[address.quantity]}, which replaces what the URDF says'
            )
    notes += _zero_notes(profile, written)
    meshes = etree.fromstring(urdf.text.encode()).iter('mesh')
    if any('://' not in mesh.get('filename', '://') for mesh in meshes):
        notes.append(
            'its meshes are named relative to the folder of the first URDF: keep it there'
        )
    return notes


def _zero_notes(profile: RobotProfile, written: Mapping[str, float]) -> list[str]:
    """What moved zeros ask of who uses the model."""
    moved = [a.name for a in map(parse_address, written) if a.quantity == ZERO]
    if not moved:
        return []
    own = own_joints(profile)
    stay = [
        f'joints.{name}.{key}'
        for name in moved
        for key in ('lower', 'upper')
        if key in own.get(name, {})
    ]
    words = f'{profile.path} itself says {", ".join(stay)}: taken as readings of the encoder'
    return [MOVED, *([words] if stay else [])]
