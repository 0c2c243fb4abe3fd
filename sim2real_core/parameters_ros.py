"""ROS parameters from a Config: declared with descriptor, unit and range, validated, read."""

from __future__ import annotations

from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sim2real_core.config import Config, ParameterRow, fault_of

Settings = TypeVar('Settings', bound=Config)


def declare(node: Node, config_class: type[Settings]) -> Settings:
    """Declare a room's settings as ROS parameters and read them.

    Setting a parameter later only validates; a node that honours the change calls :func:`read`
    at the moment it applies.

    Raises:
        InputError: a given value does not fit; every fault is named.
    """
    for row in config_class.table():
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        try:
            node.declare_parameter(row.name, default, _descriptor(row))
        except (InvalidParameterTypeException, InvalidParameterValueException):
            # Take it as it is: the Config below names all faults at once.
            loose = ParameterDescriptor(dynamic_typing=True)
            node.declare_parameter(row.name, default, loose)
    rows = {row.name: row for row in config_class.table()}

    def validate(parameters: list[Parameter]) -> SetParametersResult:
        given = {p.name: _value(rows[p.name], p.value) for p in parameters if p.name in rows}
        for name, value in given.items():
            mend = fault_of(rows[name], config_class._coerced(rows[name], value))
            if mend:
                reason = f'{name} = {value!r}: {mend}'
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    config = read(node, config_class)
    node.add_on_set_parameters_callback(validate)
    return config


def read(node: Node, config_class: type[Settings]) -> Settings:
    """The node's present parameters as a Config.

    Raises:
        InputError: they do not fit together; every fault is named.
    """
    values = {
        row.name: _value(row, node.get_parameter(row.name).value) for row in config_class.table()
    }
    return config_class.from_mapping(values, file=node.get_fully_qualified_name())


def _value(row: ParameterRow, value: Any) -> Any:
    if isinstance(row.default, tuple):
        return () if value is None else tuple(value)
    return value


def _descriptor(row: ParameterRow) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=row.description + (f' [{row.unit}]' if row.unit else ''),
        read_only=row.read_only,
        # A YAML integer must do where a float is declared, an empty list where a list is;
        # the Config checks the type.
        dynamic_typing=isinstance(row.default, (float, tuple)),
    )
    bounds = []
    if row.low is not None:
        bounds.append(f'at least {row.low:g}')
    if row.high is not None:
        bounds.append(f'at most {row.high:g}')
    if row.choices is not None:
        bounds.append('one of ' + ', '.join(map(str, row.choices)))
    descriptor.additional_constraints = ', '.join(bounds)
    if row.low is not None and row.high is not None:
        if type(row.default) is int:
            bounds_message = IntegerRange(from_value=int(row.low), to_value=int(row.high), step=1)
            descriptor.integer_range = [bounds_message]
        elif type(row.default) is float:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(row.low), to_value=float(row.high))
            ]
    return descriptor
