"""Histories in the order in which a network was trained to see them.

A bundle shows histories term by term, oldest first. Many networks were trained on whole
observations one after the other; a first layer then puts the elements into their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_policy.agreement import Reference
from sim2real_policy.metadata import BundleMetadata, Normalizer, Range
from sim2real_policy.observation import ObservationLayout
from sim2real_policy.onnx_graph import onnx_package, reordered_input

Array32 = npt.NDArray[np.float32]

BY_TERM = 'by_term'
STACKINGS = (BY_TERM, 'by_step', 'by_step_newest_first')


def network_order(stacking: object, layout: ObservationLayout) -> list[int]:
    """Index in a bundle's observation of each element that the network sees.

    Args:
        stacking: one of :data:`STACKINGS`.
        layout: of the bundle.

    Raises:
        InputError: no such stacking, or terms with histories of different length.
    """
    if stacking not in STACKINGS:
        raise InputError(Fault('stacking', stacking, f'must be one of {", ".join(STACKINGS)}'))
    depths = {term.history for term in layout.terms}
    if stacking == BY_TERM:
        return list(range(layout.size))
    if len(depths) != 1:
        mend = 'must be by_term where the histories of the terms differ'
        raise InputError(Fault('stacking', stacking, mend))
    ages = range(depths.pop())
    steps = reversed(ages) if stacking == 'by_step_newest_first' else ages
    order: list[int] = []
    for step in steps:
        begin = 0
        for term in layout.terms:
            size = layout.term_size(term)
            order += range(begin + step * size, begin + (step + 1) * size)
            begin += size * term.history
    return order


class Stacked:
    """A network and its metadata, told in the network's order, brought into a bundle's.

    Args:
        told: metadata whose normalizer and training range are in the network's order.
        order: see :func:`network_order`.

    Attributes:
        meta: in the bundle's order.
    """

    def __init__(self, told: BundleMetadata, order: list[int]) -> None:
        self._told, self._order = told, order
        back = np.argsort(order)
        parts: dict[str, Any] = {'normalizer': None, 'training_range': None}
        if told.normalizer is not None:
            n = told.normalizer
            parts['normalizer'] = Normalizer(mean=_taken(n.mean, back), std=_taken(n.std, back))
        if told.training_range is not None:
            r = told.training_range
            parts['training_range'] = Range(low=_taken(r.low, back), high=_taken(r.high, back))
        self.meta = replace(told, **parts)

    def model(self, make: Callable[[BundleMetadata], bytes]) -> bytes:
        """The network's model, with a bundle's observation as its input."""
        made = make(self._told)
        if self._order == sorted(self._order):
            return made
        model = onnx_package().load_from_string(made)
        known = {image.name for image in self.meta.images} | {s.input for s in self.meta.state}
        known |= {tensor.name for tensor in model.graph.initializer}
        for end in list(model.graph.input):
            if end.name not in known:
                reordered_input(model, end, self._order)
        return bytes(model.SerializeToString())

    def reference(self, make: Callable[[BundleMetadata], Reference]) -> Reference:
        """The network as it was given, shown a bundle's observation."""
        return _Reordered(make(self._told), self._order)


class _Reordered:
    """Shows observations to a network in its order."""

    def __init__(self, reference: Reference, order: list[int]) -> None:
        self._reference, self._order = reference, order
        self.reset = reference.reset

    def infer(self, observation: Array32, others: Mapping[str, Array32]) -> npt.NDArray[Any]:
        """See :class:`sim2real_policy.agreement.Reference`."""
        return self._reference.infer(observation[:, self._order], others)


def _taken(values: tuple[float, ...], order: npt.NDArray[np.intp]) -> tuple[float, ...]:
    return tuple(values[index] for index in order)
