"""Networks of torch, from wherever they are: TorchScript, rsl-rl checkpoints, Python functions."""

from __future__ import annotations

import importlib.util
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rsl_rl.utils import resolve_nn_activation

from sim2real_core.errors import Fault, Faults, InputError, MissingError, Sim2RealError
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.description import HOW, Description
from sim2real_policy.onnx_source import describe

Weights = Mapping[str, torch.Tensor]

ACTORS = ('mlp.', 'actor.', 'student.')
MEMORIES = ('rnn.rnn.', 'rnn.', 'memory_a.rnn.', 'memory_s.rnn.')
NORMALIZERS = (
    'obs_normalizer.', 'actor_obs_normalizer.', 'student_obs_normalizer.', 'normalizer.', '',
)  # fmt: skip
"""Where rsl-rl 1 to 5 and the TorchScript that it writes keep their parts."""
NEEDLESS = re.compile(
    r'(critic|memory_c|teacher|memory_t|distribution|critic_obs_normalizer|teacher_obs_normalizer)'
    r'\.|(log_)?std$|hidden_state$|cell_state$|(.*\.)?count$'
)
"""Weights that acting does not need."""
EPSILON = 1e-2
"""Of rsl-rl's normalizer: it divides by the standard deviation plus this."""


class Actor(torch.nn.Module):
    """An actor of rsl-rl: perhaps a recurrent layer, then a multi-layer perceptron.

    Args:
        layers: (weight, bias) of each linear layer.
        activation: between them.
        memory: the recurrent layer, LSTM or GRU.
        outputs: how many of the last layer's outputs are the action.
    """

    def __init__(
        self,
        layers: Sequence[tuple[torch.Tensor, torch.Tensor]],
        activation: str,
        memory: torch.nn.RNNBase | None,
        outputs: int,
    ) -> None:
        super().__init__()
        parts: list[torch.nn.Module] = []
        for weight, bias in layers:
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            linear.load_state_dict({'weight': weight, 'bias': bias})
            parts += [linear, resolve_nn_activation(activation)]
        self.mlp = torch.nn.Sequential(*parts[:-1])
        self.memory = memory
        self.outputs = outputs

    def forward(self, observation: torch.Tensor, *state: torch.Tensor) -> Any:
        """Action (n, a), and the next state where there is one."""
        if self.memory is None:
            return self.mlp(observation)[:, : self.outputs]
        before = state if len(state) > 1 else state[0]
        seen, after = self.memory(observation.unsqueeze(0), before)
        action = self.mlp(seen.squeeze(0))[:, : self.outputs]
        return (action, *after) if isinstance(after, tuple) else (action, after)


@dataclass(frozen=True)
class TorchNetwork:
    """A network of torch and what its file says of it.

    Attributes:
        module: takes observation (n, d), images and states in this order; gives the action (n, a),
            and the next states.
        described: in the words of the YAML.
    """

    module: Any
    described: Description = field(default_factory=Description)


def read_network(source: str, told: Description) -> TorchNetwork:
    """A network, and what its file says of itself.

    Args:
        source: TorchScript or a checkpoint (``.pt``), or ``FILE.py:FUNCTION``.
        told: what the YAML says.

    Raises:
        InputError: no such thing, or what the file does not say (the activation) is not told.
    """
    file, _, function = source.rpartition(':')
    if file.endswith('.py'):
        return TorchNetwork(_from_function(Path(file), function), Description())
    path = Path(source)
    if not path.is_file():
        raise InputError(Fault('source', source, 'give an existing file, or FILE.py:FUNCTION'))
    if not _is_torchscript(path):
        weights, described = _checkpoint(path)
        return rebuilt(weights, told.over(described), source)
    try:
        module: Any = torch.jit.load(str(path), map_location='cpu')  # type: ignore[no-untyped-call]
    except Exception as error:  # as of torch.load
        mend = f'give TorchScript as torch.jit.save writes it ({_first_line(error)})'
        raise InputError(Fault('source', source, mend)) from error
    module.eval()
    if any(name.endswith(('hidden_state', 'cell_state')) for name, _ in module.named_buffers()):
        # It keeps its state in itself, where no runtime can reset it: that is taken out.
        return rebuilt(dict(module.state_dict()), told, source)
    return TorchNetwork(module, Description())


def _is_torchscript(path: Path) -> bool:
    """Whether a file has code beside its weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any('/code/' in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _checkpoint(path: Path) -> tuple[Weights, Description]:
    """The actor's weights, and what a checkpoint says beside them."""
    try:
        found = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch has no error of its own for what it cannot read
        mend = (
            'give TorchScript, a checkpoint of rsl-rl, or FILE.py:FUNCTION; a pickled module is '
            f'not read, it could run anything ({_first_line(error)})'
        )
        raise InputError(Fault('source', str(path), mend)) from error
    found = found if isinstance(found, dict) else {}
    for key in ('actor_state_dict', 'model_state_dict', 'student_state_dict'):
        if key in found:
            weights = {
                **_weights(found, key, path),
                **_weights(found, 'obs_norm_state_dict', path),
            }
            break
    else:
        has = ', '.join(map(str, found))
        mend = f'must have actor_state_dict or model_state_dict; it has {has}'
        raise InputError(Fault('source', str(path), mend))
    if 'metadata' not in found:
        return weights, Description()
    properties = found['metadata']
    texts = properties.items() if isinstance(properties, dict) else [(0, 0)]
    if not all(isinstance(text, str) for pair in texts for text in pair):
        raise InputError(Fault('metadata', properties, 'must be a mapping of texts', str(path)))
    described = describe(BundleMetadata.from_properties(properties, file=str(path)))
    return weights, Description({**described.values, 'network': {'activation': 'elu'}})


def _weights(found: Mapping[str, Any], key: str, path: Path) -> Weights:
    """Weights of a checkpoint under a key; none when it is left out."""
    given, faults = found.get(key), Faults(str(path))
    given = {} if given is None else given
    if not isinstance(given, dict):
        faults.add(key, given, 'must be a mapping from names to tensors')
        given = {}
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            faults.add(f'{key}.{name}', value, 'must be a tensor')
    faults.check()
    return given


def _first_line(error: Exception) -> str:
    """What an error says, in short."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def rebuilt(weights: Weights, told: Description, file: str) -> TorchNetwork:
    """An actor of rsl-rl from its weights; their shapes tell its sizes.

    Its normalizer becomes the metadata's, and what it remembers becomes state of the metadata.

    Args:
        weights: by the names that rsl-rl gives.
        told: says the activation.
        file: named in faults.

    Raises:
        InputError: the activation is not told, or there are parts that cannot be rebuilt.
    """
    faults = Faults(file)
    actor = next((name for name in ACTORS if f'{name}0.weight' in weights), '')
    memory = next((name for name in MEMORIES if f'{name}weight_ih_l0' in weights), '')
    normalizer = next((n for n in NORMALIZERS if f'{n}_mean' in weights), None)
    used = [rf'{re.escape(actor)}\d+\.(weight|bias)'] if actor else []
    used += [rf'{re.escape(memory)}(weight|bias)_[ih]h_l\d+'] if memory else []
    used += [rf'{re.escape(normalizer)}_\w+'] if normalizer is not None else []
    for name in weights:
        if not any(re.fullmatch(one, name) for one in used) and not NEEDLESS.match(name):
            mend = 'is no part that can be rebuilt: give TorchScript or FILE.py:FUNCTION'
            faults.add('source', name, mend)
    if not actor:
        faults.add('source', sorted(weights), f'has no layers {" or ".join(ACTORS)}0.weight')
    network = told.values.get('network') or {}
    if not isinstance(network, Mapping):
        faults.add('network', network, 'must be a mapping, like {activation: elu}')
        faults.check()
    activation = str(network.get('activation', ''))
    if not activation:
        faults.add('network.activation', None, f'a checkpoint does not say it: {HOW}')
    faults.check()
    recurrent = _memory(weights, memory, faults) if memory else None
    layers = _layers(weights, actor, recurrent, faults)
    if normalizer is not None and f'{normalizer}_std' not in weights:
        faults.add('source', f'{normalizer}_std', 'is missing')
    faults.check()
    outputs = layers[-1][0].shape[0]
    if network.get('distribution') == 'heteroscedastic':
        outputs //= 2  # the second half is the deviation
    values: dict[str, Any] = {}
    if recurrent is not None:
        shape = [recurrent.num_layers, 1, recurrent.hidden_size]
        letters = 'hc' if isinstance(recurrent, torch.nn.LSTM) else 'h'
        values['state'] = [
            {'input': f'{x}_in', 'output': f'{x}_out', 'shape': shape} for x in letters
        ]
    if normalizer is not None:
        mean, std = (weights[f'{normalizer}{name}'].double().ravel() for name in ('_mean', '_std'))
        values['normalizer'] = {'mean': mean.tolist(), 'std': (std + EPSILON).tolist()}
    try:
        module = Actor(layers, activation, recurrent, outputs).eval()
    except ValueError as error:
        raise InputError(Fault('network.activation', activation, str(error))) from error
    return TorchNetwork(module, told.over(Description(values)))


def _memory(weights: Weights, prefix: str, faults: Faults) -> torch.nn.RNNBase | None:
    """The recurrent layer of some weights: an LSTM has four gates, a GRU three."""
    own = {
        name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)
    }
    seen, kept = (own.get(f'weight_{name}_l0', torch.empty(0)).shape for name in ('ih', 'hh'))
    kinds = {4: torch.nn.LSTM, 3: torch.nn.GRU}
    gates = kept[0] // max(kept[1], 1) if len(seen) == len(kept) == 2 else 0
    if gates not in kinds:
        mend = 'must be (4 n, n) of an LSTM, or (3 n, n) of a GRU, beside weight_ih_l0'
        faults.add('source', f'{prefix}weight_hh_l0: {tuple(kept)}', mend)
        return None
    layers = sum(name.startswith('weight_ih_l') for name in own)
    made = kinds[gates](seen[1], kept[1], layers)
    try:
        made.load_state_dict(own)
    except RuntimeError as error:  # says which, line by line
        why = ' '.join(str(error).split())
        faults.add('source', prefix, f'must be one {type(made).__name__} ({why})')
    return made


def _layers(
    weights: Weights, prefix: str, memory: torch.nn.RNNBase | None, faults: Faults
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each linear layer, of which each takes what the one before gives."""
    found, width = [], memory.hidden_size if memory is not None else None
    numbered = (re.match(rf'{re.escape(prefix)}(\d+)\.', name) for name in weights)
    for number in sorted({int(one.group(1)) for one in numbered if one}):
        names = [f'{prefix}{number}.{part}' for part in ('weight', 'bias')]
        lacking = [name for name in names if name not in weights]
        for name in lacking:
            faults.add('source', name, 'is missing')
        if lacking:
            break
        weight, bias = (weights[name] for name in names)
        takes = width or weight.shape[-1:].numel()
        if weight.shape != (bias.numel(), takes) or bias.ndim != 1:
            shapes = f'{names[0]}: {tuple(weight.shape)}, bias: {tuple(bias.shape)}'
            mend = f'must be (n, {takes}) and (n,): layers that follow each other'
            faults.add('source', shapes, mend)
            break
        found.append((weight, bias))
        width = len(weight)
    return found


def _from_function(path: Path, function: str) -> torch.nn.Module:
    """What a function of a Python file returns."""
    if not path.is_file():
        raise InputError(Fault('source', str(path), 'no such file'))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = getattr(module, function, None)
        network = made() if callable(made) else None
    except Sim2RealError:
        raise
    except ModuleNotFoundError as error:
        mend = 'install it, or put the folder that has it on PYTHONPATH'
        raise MissingError(f'{path}:{function}: {_first_line(error)}: {mend}') from error
    except Exception as error:  # whatever somebody's own code raises
        why = f'{type(error).__name__}: {_first_line(error)}'
        raise InputError(Fault('source', f'{path}:{function}', f'it fails: {why}')) from error
    if not isinstance(network, torch.nn.Module):
        mend = 'must be a function without arguments that returns a torch module'
        raise InputError(Fault('source', f'{path}:{function}', mend))
    return network.cpu().eval()


class TorchReference:
    """A network of torch, run step by step on observations before normalizing.

    Args:
        network: the module.
        meta: gives images, states and normalizer.
    """

    def __init__(self, network: TorchNetwork, meta: BundleMetadata) -> None:
        self._module, self._meta = network.module, meta
        self.reset()

    def reset(self) -> None:
        """Zero the states."""
        self._state = [torch.zeros(state.shape) for state in self._meta.state]

    def infer(
        self, observation: npt.NDArray[np.float32], others: Mapping[str, npt.NDArray[np.float32]]
    ) -> npt.NDArray[Any]:
        """Action (1, a) for an observation (1, d)."""
        seen = torch.from_numpy(observation)
        if self._meta.normalizer is not None:
            mean, std = (torch.tensor(v) for v in astuple(self._meta.normalizer))
            seen = (seen - mean) / std
        images = [torch.from_numpy(others[image.name]) for image in self._meta.images]
        with torch.no_grad():
            found = self._module(seen, *images, *self._state)
        if not self._meta.state:
            return np.asarray(found.numpy())
        action, *self._state = found
        return np.asarray(action.numpy())
