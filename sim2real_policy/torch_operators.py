"""Operators of ONNX in terms of torch; see https://onnx.ai/onnx/operators for what each means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Operator = Callable[..., Any]
FLOAT_TYPES = {1: 'float32', 6: 'int32', 7: 'int64', 9: 'bool', 10: 'float16', 11: 'float64'}
"""Of onnx.TensorProto.DataType, the names that torch uses."""


def operators(torch: Any) -> dict[str, Operator]:
    """Each operator's function of its inputs (absent ones are None) and attributes.

    Args:
        torch: the module; it is not imported here.
    """
    return {**_elementwise(torch), **_shapes(torch), **_layers(torch), **_recurrent(torch)}


def _elementwise(torch: Any) -> dict[str, Operator]:
    functional = torch.nn.functional

    def gelu(x: Any, approximate: str = 'none') -> Any:
        return functional.gelu(x, approximate=approximate)

    def fold(function: Operator) -> Operator:
        def folded(first: Any, *others: Any) -> Any:
            for other in others:
                first = function(first, other)
            return first

        return folded

    return {
        'Add': torch.add,
        'Sub': torch.sub,
        'Mul': torch.mul,
        'Div': lambda a, b: a / b if a.is_floating_point() else (a // b),
        'Pow': torch.pow,
        'Max': fold(torch.maximum),
        'Min': fold(torch.minimum),
        'Abs': torch.abs,
        'Neg': torch.neg,
        'Sqrt': torch.sqrt,
        'Exp': torch.exp,
        'Log': torch.log,
        'Erf': torch.erf,
        'Sin': torch.sin,
        'Cos': torch.cos,
        'Tanh': torch.tanh,
        'Sigmoid': torch.sigmoid,
        'Relu': torch.relu,
        'Reciprocal': torch.reciprocal,
        'Identity': lambda x: x,
        'Softplus': functional.softplus,
        'Softsign': functional.softsign,
        'Mish': functional.mish,
        'Gelu': gelu,
        'Elu': lambda x, alpha=1.0: functional.elu(x, alpha),
        'Selu': lambda x, alpha=None, gamma=None: functional.selu(x),
        'LeakyRelu': lambda x, alpha=0.01: functional.leaky_relu(x, alpha),
        'HardSigmoid': lambda x, alpha=0.2, beta=0.5: torch.clamp(alpha * x + beta, 0.0, 1.0),
        'Clip': lambda x, min=None, max=None: torch.clamp(x, min, max),
        'Softmax': lambda x, axis=-1: torch.softmax(x, axis),
        'Where': torch.where,
        'Cast': lambda x, to, **_: x.to(getattr(torch, FLOAT_TYPES[to])),
    }


def _shapes(torch: Any) -> dict[str, Operator]:
    def whole(values: Any) -> list[int]:
        return [int(value) for value in values]

    def reshape(x: Any, shape: Any, allowzero: int = 0) -> Any:
        wanted = whole(shape)
        if not allowzero:
            wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
        return x.reshape(wanted)

    def unsqueeze(x: Any, axes: Any) -> Any:
        rank = x.dim() + len(axes)
        for axis in sorted(axis % rank for axis in whole(axes)):
            x = x.unsqueeze(axis)
        return x

    def squeeze(x: Any, axes: Any = None) -> Any:
        return x.squeeze() if axes is None else x.squeeze(tuple(whole(axes)))

    def cut(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        count = len(starts)
        axes = range(count) if axes is None else whole(axes)
        steps = [1] * count if steps is None else whole(steps)
        index = [slice(None)] * x.dim()
        for axis, start, end, step in zip(axes, whole(starts), whole(ends), steps):
            index[axis] = slice(start, end, step)
        return x[tuple(index)]

    def gather(x: Any, indices: Any, axis: int = 0) -> Any:
        axis %= x.dim()
        indices = torch.where(indices < 0, indices + x.shape[axis], indices)
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        return x.index_select(axis, indices.reshape(-1)).reshape(shape)

    def split(x: Any, sizes: Any = None, axis: int = 0, num_outputs: int = 2) -> tuple[Any, ...]:
        if sizes is not None:
            return tuple(x.split(whole(sizes), axis))
        return tuple(x.chunk(num_outputs, axis))

    def constant(**given: Any) -> Any:
        ((name, value),) = given.items()
        return value if name == 'value' else torch.tensor(value)

    return {
        'Constant': constant,
        'Concat': lambda *parts, axis: torch.cat(parts, axis),
        'Flatten': lambda x, axis=1: x.reshape(int(torch.tensor(x.shape[:axis]).prod()), -1),
        'Gather': gather,
        'Reshape': reshape,
        'Shape': lambda x: torch.tensor(x.shape),
        'Slice': cut,
        'Split': split,
        'Squeeze': squeeze,
        'Transpose': lambda x, perm=None: x.permute(perm or list(range(x.dim()))[::-1]),
        'Unsqueeze': unsqueeze,
    }


def _layers(torch: Any) -> dict[str, Operator]:
    functional = torch.nn.functional

    def gemm(
        a: Any, b: Any, c: Any = None, alpha: float = 1.0, beta: float = 1.0,
        transA: int = 0, transB: int = 0,
    ) -> Any:  # fmt: skip
        product = alpha * ((a.T if transA else a) @ (b.T if transB else b))
        return product if c is None else product + beta * c

    def padded(x: Any, pads: Sequence[int], value: float) -> Any:
        half = len(pads) // 2  # begins of all axes, then ends; torch counts from the last axis
        pairs = [pads[axis + part * half] for axis in reversed(range(half)) for part in (0, 1)]
        return functional.pad(x, pairs, value=value) if any(pads) else x

    def convolve(
        x: Any, weight: Any, bias: Any = None, *, kernel_shape: Any = None, strides: Any = None,
        pads: Any = None, dilations: Any = None, group: int = 1, auto_pad: str = 'NOTSET',
    ) -> Any:  # fmt: skip
        _no_auto(auto_pad)
        rank = x.dim() - 2
        run = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
        x = padded(x, pads or [0] * 2 * rank, 0.0)
        return run(x, weight, bias, strides or 1, 0, dilations or 1, group)

    def pool(name: str, value: float) -> Operator:
        def pooled(
            x: Any, *, kernel_shape: Any, strides: Any = None, pads: Any = None,
            auto_pad: str = 'NOTSET', ceil_mode: int = 0, count_include_pad: int = 0, **_: Any,
        ) -> Any:  # fmt: skip
            _no_auto(auto_pad)
            rank = len(kernel_shape)
            x = padded(x, pads or [0] * 2 * rank, value)
            run = getattr(functional, f'{name}{rank}d')
            return run(x, kernel_shape, strides or 1, ceil_mode=bool(ceil_mode))

        return pooled

    def layer_norm(
        x: Any, scale: Any, bias: Any = None, axis: int = -1, epsilon: float = 1e-5, **_: Any
    ) -> Any:
        return functional.layer_norm(x, x.shape[axis % x.dim() :], scale, bias, epsilon)

    def batch_norm(
        x: Any, scale: Any, bias: Any, mean: Any, variance: Any, epsilon: float = 1e-5, **_: Any
    ) -> Any:
        return functional.batch_norm(x, mean, variance, scale, bias, eps=epsilon)

    def reduce(function: Operator) -> Operator:
        def reduced(x: Any, axes: Any = None, keepdims: int = 1, **_: Any) -> Any:
            over = tuple(range(x.dim())) if axes is None else tuple(int(axis) for axis in axes)
            return function(x, dim=over, keepdim=bool(keepdims))

        return reduced

    return {
        'Gemm': gemm,
        'MatMul': torch.matmul,
        'Conv': convolve,
        'MaxPool': pool('max_pool', float('-inf')),
        'GlobalAveragePool': lambda x: x.mean(tuple(range(2, x.dim())), keepdim=True),
        'LayerNormalization': layer_norm,
        'BatchNormalization': batch_norm,
        'ReduceMean': reduce(torch.mean),
        'ReduceSum': reduce(torch.sum),
        'ReduceMax': reduce(torch.amax),
    }


def _no_auto(auto_pad: str) -> None:
    if auto_pad not in ('NOTSET', 'VALID'):
        from sim2real_core.errors import MissingError

        raise MissingError(f'torch runs no auto_pad {auto_pad} here; ONNX Runtime does')


def _recurrent(torch: Any) -> dict[str, Operator]:
    """GRU and LSTM, forward; x is (steps, n, d), gates are in ONNX's order."""

    def forward_only(direction: str) -> None:
        if direction != 'forward':
            from sim2real_core.errors import MissingError

            raise MissingError(f'torch runs no {direction} layer here; ONNX Runtime does')

    def biases(b: Any, gates: int, like: Any) -> tuple[Any, Any]:
        width = gates * like.shape[-1]
        return (b[0, :width], b[0, width:]) if b is not None else (0.0, 0.0)

    def gru(
        x: Any, w: Any, r: Any, b: Any = None, _lengths: Any = None, h: Any = None, *,
        hidden_size: int, linear_before_reset: int = 0, direction: str = 'forward', **_: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        forward_only(direction)
        state = x.new_zeros(x.shape[1], hidden_size) if h is None else h[0]
        of_input, of_state = biases(b, 3, r)
        size, outputs = hidden_size, []
        for step in x:
            gate = step @ w[0].T + of_input
            back = state @ r[0].T + of_state
            update = torch.sigmoid(gate[:, :size] + back[:, :size])
            reset = torch.sigmoid(gate[:, size : 2 * size] + back[:, size : 2 * size])
            if linear_before_reset:
                mixed = reset * back[:, 2 * size :]
            else:
                mixed = (reset * state) @ r[0, 2 * size :].T
                mixed = mixed + (of_state[2 * size :] if b is not None else 0.0)
            state = (1 - update) * torch.tanh(gate[:, 2 * size :] + mixed) + update * state
            outputs.append(state)
        return torch.stack(outputs)[:, None], state[None]

    def lstm(
        x: Any, w: Any, r: Any, b: Any = None, _lengths: Any = None, h: Any = None, c: Any = None,
        *, hidden_size: int, direction: str = 'forward', **_: Any,
    ) -> tuple[Any, Any, Any]:  # fmt: skip
        forward_only(direction)
        zeros = x.new_zeros(x.shape[1], hidden_size)
        state, cell = (zeros if h is None else h[0]), (zeros if c is None else c[0])
        of_input, of_state = biases(b, 4, r)
        outputs = []
        for step in x:
            gates = step @ w[0].T + of_input + state @ r[0].T + of_state
            enter, leave, forget, value = gates.chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(value)
            state = torch.sigmoid(leave) * torch.tanh(cell)
            outputs.append(state)
        return torch.stack(outputs)[:, None], state[None], cell[None]

    return {'GRU': gru, 'LSTM': lstm}
