"""From parameters of a regression to an Estimate: addresses, status, what is confounded with what.

A parameter is ``identified`` when its interval is narrow and the motion was such that no other
reading of it is left: long enough, in both directions where friction is concerned, out of the
noise. Where that is not so, ``confounded`` names what it could not be told from; nothing there
means that the motion did not excite it.

Friction whose two directions differ is reported beside the symmetric values, once the data say
so. A constant effort and dry friction that differs between the directions look the same: half of
the constant counts as either, and as uncertainty of the latter.

What an encoder shows too much is identified where gravity tells it; a joint whose position gravity
does not tell stays ``not_identified``, confounded with nothing. So does one that the settings say
is known.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import Quantity, quantity
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_core.records import Change, Estimate, ParameterEstimate
from sim2real_sysid.config import SysidConfig
from sim2real_sysid.posterior import BEND, FULL, LEAN, MAIN, RISE, Posterior
from sim2real_sysid.regression import COULOMB, JOINT_QUANTITIES, OFFSET, VISCOUS

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LEAST_BLOCKS = 6  # half seconds of motion, before anything counts as identified
BOTH_WAYS = 0.1  # least share of the rarer direction, before friction counts as identified
EVIDENT = 4.0  # standard deviations, before a further effect is believed
LEAST_TILT = 0.05  # share of the viscous friction, before its directions differ
MOST_BEND = 0.5  # of the logarithm of a Stribeck velocity, about that of its column
IMPOSSIBLE = 6.0  # standard deviations beyond what can be: the data are not of this robot
MOST_TIED = 4  # parameters that one is said to be confounded with
AT_MOST = 0.1  # rad or m of a position offset make a difference, whatever gravity says


@dataclass(frozen=True)
class Knowledge:
    """What the moments say.

    Attributes:
        main: of the main model.
        full: of the full model.
        speeds: (nj, 9) Stribeck velocities of the columns [rad/s or m/s].
        curves: (nj,) which of them is in the models.
        sharp: (nj,) whether it must be that one, or a neighbour.
        count: (b, nj, 2) rows of motion backward and forward, by block.
        idle: (nj,) time since the last telling motion [s].
        kept: (n,) parameters of the main model that are known from before a change.
    """

    main: Posterior
    full: Posterior
    speeds: Array
    curves: npt.NDArray[np.intp]
    sharp: Flags
    count: Array
    idle: Array
    kept: Flags


@dataclass
class _Row:
    """A parameter on its way into the Estimate.

    Attributes:
        joint: whose it is; -1 for what all joints tell.
        mean: value.
        slope: (n,) derivative with respect to the parameters it comes from.
        believed: whether nothing but its interval is in the way.
        matters: smallest value that makes a difference.
        slot: of the main model, -1 where it comes from the full one.
        extra: variance beyond that of the parameters it comes from.
        confounded: known to be so.
    """

    address: str
    joint: int
    mean: float
    slope: Array
    believed: bool
    matters: float
    slot: int = -1
    extra: float = 0.0
    confounded: tuple[str, ...] = ()
    std: float = field(default=np.inf)


class Reporter:
    """Makes Estimates.

    Args:
        profile: the robot.
        config: settings.
        payload: number of the payload's parameters; 0 where it cannot be told.
        zeros: joints whose position offset gravity tells.
        hidden: what is always reported so, by address.

    Attributes:
        addresses: of what is always reported, in order.
        shift: (n,) what is to be added to the main model's parameters.
        lowest: (n,) what they can be at least, that added.
    """

    def __init__(
        self,
        profile: RobotProfile,
        config: SysidConfig,
        payload: int,
        zeros: Sequence[int] = (),
        hidden: Mapping[str, ParameterEstimate] = MappingProxyType({}),
    ) -> None:
        self._profile, self._config, self._hidden = profile, config, hidden
        self._quantities: dict[str, Quantity] = {}
        nj = len(profile.joints)
        names: list[str] = []
        self._slots: dict[int, str] = {}
        for j, joint in enumerate(profile.joint_names):
            self._slots |= {
                MAIN * j + k: f'joint.{joint}.{name}' for k, name in enumerate(JOINT_QUANTITIES)
            }
            names += [f'joint.{joint}.{name}' for name in JOINT_QUANTITIES]
            further = ('static_friction', 'stribeck_velocity', 'position_offset')
            names += [f'joint.{joint}.{name}' for name in further]
        link = f'link.{profile.payload_link}'
        carried = [f'{link}.{what}' for what in ('mass', 'com.x', 'com.y', 'com.z')[:payload]]
        shared = [*carried, *(f'joint.{profile.joint_names[j]}.position_offset' for j in zeros)]
        self._shared = MAIN * nj  # where they begin
        self._slots |= {self._shared + k: name for k, name in enumerate(shared)}
        self.addresses = (*names, *carried, *hidden)
        self._first = {a: nominal(profile, a) for a in self.addresses}
        self.shift = np.zeros(self._shared + len(shared))
        self.lowest = np.full(len(self.shift), -np.inf)
        for slot, address in self._slots.items():
            if '.com.' not in address:  # of these the parameters are first moments
                self.lowest[slot] = self._quantity(address).low
        if payload:
            self.shift[self._shared] = self._first[carried[0]]

    def address(self, slot: int) -> str:
        """Of a parameter of the main model; ``''`` for what is not reported."""
        return self._slots.get(slot, '')

    def _quantity(self, address: str) -> Quantity:
        if address not in self._quantities:
            self._quantities[address] = quantity(address, self._profile)
        return self._quantities[address]

    def nothing(self, stamp: float) -> Estimate:
        """Before anything moved."""
        return Estimate(stamp, {address: self._unknown(address) for address in self._first})

    def _unknown(self, address: str) -> ParameterEstimate:
        if address in self._hidden:
            return self._hidden[address]
        unit = self._quantity(address).unit
        return ParameterEstimate(self._first[address], math.inf, 'not_identified', unit)

    def report(self, stamp: float, knowledge: Knowledge, changes: tuple[Change, ...]) -> Estimate:
        """What is known."""
        main = self._of_main(knowledge)
        full = [row for j in range(len(knowledge.idle)) for row in self._of_full(knowledge, j)]
        covariances = []
        for rows, posterior in ((main, knowledge.main), (full, knowledge.full)):
            slopes = np.array([row.slope for row in rows])
            covariance = slopes @ posterior.covariance @ slopes.T
            covariance[np.diag_indices(len(rows))] += [row.extra for row in rows]
            covariances.append(covariance)
            for row, variance in zip(rows, np.diag(covariance)):
                row.std = math.sqrt(max(float(variance), 0.0))
        return self._estimate(stamp, knowledge, main, full, covariances, changes)

    def _estimate(
        self,
        stamp: float,
        knowledge: Knowledge,
        main: list[_Row],
        full: list[_Row],
        covariances: list[Array],
        changes: tuple[Change, ...],
    ) -> Estimate:
        known = {row.address: self._parameter(row, knowledge) for row in [*main, *full]}
        wrong = {row.joint for row in main if '_friction' in row.address and self._impossible(row)}
        for row in (*main, *full):  # what is far from possible makes what goes with it doubtful
            if row.joint in wrong:
                known[row.address] = replace(known[row.address], status='not_identified')
        order = tuple(a for a, p in known.items() if p.status == 'identified')
        sizes = len(main), len(full)
        whole = np.zeros((sum(sizes), sum(sizes)))
        whole[: sizes[0], : sizes[0]], whole[sizes[0] :, sizes[0] :] = covariances
        kept = [k for k, p in enumerate(known.values()) if p.status == 'identified']
        further = [a for a in known if a not in self._first]
        return Estimate(
            stamp,
            {a: known.get(a) or self._unknown(a) for a in (*self.addresses, *further)},
            order,
            whole[np.ix_(kept, kept)],
            changes,
        )

    def _parameter(self, row: _Row, knowledge: Knowledge) -> ParameterEstimate:
        limits = self._quantity(row.address)
        if row.slot >= 0 and not knowledge.main.known[row.slot]:
            row.mean, row.std, row.believed = self._first[row.address], math.inf, False
        value = float(np.clip(row.mean, limits.low, limits.high))
        target = self._config.relative_std * max(abs(row.mean), row.matters)
        # A value far outside what is possible says that the model is not of this robot.
        possible = abs(value - row.mean) <= 2.0 * row.std
        if row.believed and possible and row.std <= target:
            idle = knowledge.idle.min() if row.joint < 0 else knowledge.idle[row.joint]
            status = 'stale' if idle > self._config.stale_after else 'identified'
            return ParameterEstimate(value, row.std, status, limits.unit)
        tied = row.confounded
        if row.slot >= 0 and 0.0 < row.std < math.inf:
            tied = self._tied(row.slot, row.std, target, knowledge.main)
        return ParameterEstimate(value, row.std, 'not_identified', limits.unit, tied)

    def _impossible(self, row: _Row) -> bool:
        """Whether a value is beyond any chance outside of what is possible."""
        limits = self._quantity(row.address)
        return abs(float(np.clip(row.mean, limits.low, limits.high)) - row.mean) > max(
            IMPOSSIBLE * row.std, row.matters
        )

    def _tied(self, slot: int, std: float, target: float, main: Posterior) -> tuple[str, ...]:
        """What a parameter cannot be told from."""
        slots = [s for s in self._slots if main.known[s]]
        place = slots.index(slot)
        matrix = main.inverse[np.ix_(slots, slots)]
        # Intervals are wider than the equations alone say.
        enough = float(matrix[place, place]) * min((target / std) ** 2, 0.5)
        return tuple(self._slots[slots[other]] for other in ties(matrix, place, enough))

    def _of_main(self, knowledge: Knowledge) -> list[_Row]:
        """Rows of the main model."""
        main, n = knowledge.main, len(self.shift)
        enough, both_ways = _excitation(knowledge.count)
        rows = []
        for slot, address in self._slots.items():
            slope = np.zeros(n)
            slope[slot] = 1.0
            joint = slot // MAIN if slot < self._shared else -1
            mean, matters = main.mean[slot] + self.shift[slot], main.matters[slot]
            believed, extra = bool(main.reliable[slot]), 0.0
            if joint < 0:
                believed &= bool(enough.any())
                if '.com.' in address:  # from the first moment
                    of = self._shared
                    mass = max(main.mean[of] + self.shift[of], 1e-3)
                    slope[slot], slope[of] = 1 / mass, -main.mean[slot] / mass**2
                    mean = self._first[address] + main.mean[slot] / mass
                    matters = matters / mass
                elif address.endswith('.position_offset'):
                    matters = min(float(matters), AT_MOST)
                    extra = 0.25 * float(main.mean[slot]) ** 4  # what is not linear in it
            else:
                believed &= bool(enough[joint])
                believed &= address.endswith('.armature') or bool(both_ways[joint])
            believed |= bool(knowledge.kept[slot])
            rows.append(
                _Row(address, joint, float(mean), slope, believed, float(matters), slot, extra)
            )
        return rows

    def _of_full(self, knowledge: Knowledge, j: int) -> list[_Row]:
        """Rows of a joint from the full model."""
        full, name = knowledge.full, f'joint.{self._profile.joint_names[j]}'
        n, first = len(full.mean), FULL * j
        enough, both_ways = _excitation(knowledge.count)
        ready = bool(enough[j] and both_ways[j])
        matters = float(full.matters[first + COULOMB])

        def row(what: str, mean: float, slope: dict[int, float], believed: bool) -> _Row:
            full_slope = np.zeros(n)
            for k, value in slope.items():
                full_slope[first + k] = value
            return _Row(f'{name}.{what}', j, mean, full_slope, believed, 0.0)

        own = full.mean[first : first + FULL]
        std = np.sqrt(np.maximum(np.diag(full.covariance)[first : first + FULL], 0.0))
        rise, bend = max(float(own[RISE]), 1e-12), float(own[BEND])
        off = bend / rise
        curve, speeds = int(knowledge.curves[j]), knowledge.speeds[j]
        curved = ready and rise > EVIDENT * std[RISE] and abs(off) < MOST_BEND
        curved = curved and 0 < curve < len(speeds) - 1 and bool(full.reliable[first + RISE])
        curved = curved and bool(knowledge.sharp[j])
        speed = speeds[curve] * math.exp(np.clip(off, -1.0, 1.0))
        static = row('static_friction', own[COULOMB] + rise, {COULOMB: 1.0, RISE: 1.0}, curved)
        stribeck = row(
            'stribeck_velocity', speed, {RISE: -speed * bend / rise**2, BEND: speed / rise}, curved
        )
        static.matters = matters
        if not curved:
            stribeck.mean, stribeck.extra = self._first[stribeck.address], math.inf
        static.confounded = (f'{name}.stribeck_velocity',) if rise > std[RISE] else ()
        stribeck.confounded = (f'{name}.static_friction',) if rise > std[RISE] else ()
        rows = [static, stribeck]
        tilt, viscous = abs(float(own[LEAN])), abs(float(own[VISCOUS]))
        if ready and tilt > max(EVIDENT * std[LEAN], LEAST_TILT * viscous):
            for way, sign in (('positive', 1.0), ('negative', -1.0)):
                slope = {VISCOUS: 1.0, LEAN: sign}
                value = float(own[VISCOUS] + sign * own[LEAN])
                rows.append(row(f'viscous_friction.{way}', value, slope, True))
                slope = {COULOMB: 1.0, OFFSET: 0.5 * sign}
                value = float(own[COULOMB] + 0.5 * sign * own[OFFSET])
                dry = row(f'coulomb_friction.{way}', value, slope, True)
                dry.extra = 0.25 * float(own[OFFSET]) ** 2
                dry.confounded = (f'{name}.effort_offset',)
                rows.append(dry)
        return rows


def ties(covariance: Array, place: int, enough: float) -> list[int]:
    """What would have to be known to know a parameter.

    One after the other the parameter is taken as known that takes most of the variance away,
    until what is left is small enough. Where even all of them would not do, the motion did not
    excite it.

    Args:
        covariance: (n, n) of all.
        place: of the parameter.
        enough: variance that counts as known.

    Returns:
        Places of the others, what ties most first; none where they would not do.
    """
    least = 1.0 / float(np.linalg.inv(covariance)[place, place])
    if not 0.0 < least <= enough:
        return []
    found: list[int] = []
    while covariance[place, place] > enough and len(found) < MOST_TIED:
        power = np.where(np.diag(covariance) > 0.0, np.diag(covariance), np.inf)
        taken = covariance[place] ** 2 / power
        taken[place] = 0.0
        other = int(taken.argmax())
        found.append(other)
        gone = np.outer(covariance[:, other], covariance[other]) / covariance[other, other]
        covariance = covariance - gone
        covariance[other, :] = covariance[:, other] = 0.0
    return found


def joined(
    estimate: Estimate, parameters: dict[str, ParameterEstimate], covariance: Array
) -> Estimate:
    """An estimate with further parameters, independent of those in it.

    Args:
        estimate: what is known already.
        parameters: address to what is to be added.
        covariance: (m, m) of the identified ones among them, in their order.
    """
    order = tuple(a for a, p in parameters.items() if p.status == 'identified')
    n, m = len(estimate.order), len(order)
    whole = np.zeros((n + m, n + m))
    whole[:n, :n], whole[n:, n:] = estimate.covariance, covariance
    return replace(
        estimate,
        parameters={**estimate.parameters, **parameters},
        order=(*estimate.order, *order),
        covariance=whole,
    )


def doubted(estimate: Estimate, addresses: Collection[str]) -> Estimate:
    """An estimate in which some addresses are not identified."""
    kept = [k for k, address in enumerate(estimate.order) if address not in addresses]
    return replace(
        estimate,
        parameters={
            address: replace(found, status='not_identified') if address in addresses else found
            for address, found in estimate.parameters.items()
        },
        order=tuple(estimate.order[k] for k in kept),
        covariance=estimate.covariance[np.ix_(kept, kept)],
    )


def _excitation(count: Array) -> tuple[Flags, Flags]:
    """Per joint, whether it moved long enough, and in both directions: (nj,) each.

    In one direction Coulomb friction and offset are the same thing, and friction that differs
    between directions would pass for something else.
    """
    enough = (count.sum(axis=2) > 0).sum(axis=0) >= LEAST_BLOCKS
    ways = count.sum(axis=0)
    rarer, total = ways.min(axis=1), ways.sum(axis=1)
    return enough, (total > 0) & (rarer >= BOTH_WAYS * total)
