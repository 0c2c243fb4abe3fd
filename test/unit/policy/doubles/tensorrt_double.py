"""A double of ``tensorrt``, as far as the suite uses it; networks are run by ONNX Runtime.

It gives the runtime's logic something to work with where there is no GPU, and proves nothing about
TensorRT; that its classes, members and their parameters are the real ones is checked by
``test_bindings.py``.
"""

import ctypes
import enum

import numpy as np

from test.unit.policy.doubles import cuda_double


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.Enum):
    TF32 = 'TF32'
    FP16 = 'FP16'


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class Logger:
    WARNING = 2

    def __init__(self, min_severity=WARNING):
        self.min_severity = min_severity


class INetworkDefinition:
    def __init__(self, flags):
        self.model, self.flags = None, flags


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        assert min == opt == max
        self.shapes[input] = tuple(opt)


class IBuilderConfig:
    def __init__(self):
        self.flags, self.profiles = {BuilderFlag.TF32}, []

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return len(self.profiles) - 1


class ParserError:
    def __init__(self, text):
        self.text = text

    def desc(self):
        return self.text


class OnnxParser:
    def __init__(self, network, logger):
        self.network, self.errors = network, []

    @property
    def num_errors(self):
        return len(self.errors)

    def get_error(self, index):
        return self.errors[index]

    def parse(self, model, path=None):
        import onnx

        graph = onnx.load_from_string(bytes(model)).graph
        unknown = [node.op_type for node in graph.node if node.op_type == 'NonZero']
        self.errors = [ParserError(f'No importer registered for op: {name}') for name in unknown]
        self.network.model = bytes(model)
        return not self.errors


class Builder:
    built = 0  # engines, by all builders: a test sees whether one was taken from the cache
    flags = 0  # of the network built last

    def __init__(self, logger):
        pass

    def create_network(self, flags=0):
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        from sim2real_policy.engine import half_precision

        assert BuilderFlag.TF32 not in config.flags  # else fp32 would be none
        Builder.built += 1
        Builder.flags = network.flags
        half = getattr(BuilderFlag, 'FP16', None) in config.flags
        return MAGIC + (half_precision(network.model) if half else network.model)


MAGIC = b'plan of this device:'


class IExecutionContext:
    def __init__(self, engine):
        self.engine, self.addresses, self.shapes = engine, {}, {}

    def set_input_shape(self, name, shape):
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return memory % 256 == 0

    def execute_async_v3(self, stream_handle):
        assert stream_handle == 77 and set(self.addresses) == set(self.engine.names)
        cuda_double.device.give(self._work)
        return True

    def _view(self, name):
        shape = self.shapes.get(name) or self.engine.get_tensor_shape(name)
        shape = [1 if size in (-1, 'n') else size for size in shape]
        size = 4 * int(np.prod(shape))
        memory = (ctypes.c_char * size).from_address(self.addresses[name])
        return np.frombuffer(memoryview(memory), np.float32).reshape(shape)

    def _work(self):
        inputs = {end.name: self._view(end.name).copy() for end in self.engine.inputs}
        results = self.engine.session.run(None, inputs)
        for end, result in zip(self.engine.outputs, results):
            self._view(end.name)[:] = result


class ICudaEngine:
    def __init__(self, model):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
        self.inputs, self.outputs = self.session.get_inputs(), self.session.get_outputs()
        self.names = [end.name for end in (*self.inputs, *self.outputs)]

    @property
    def num_io_tensors(self):
        return len(self.names)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        there = [end.name for end in self.inputs]
        return TensorIOMode.INPUT if name in there else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType.FLOAT

    def get_tensor_shape(self, name):
        ends = {end.name: end for end in (*self.inputs, *self.outputs)}
        return tuple(size if isinstance(size, int) else -1 for size in ends[name].shape)

    def create_execution_context(self):
        return IExecutionContext(self)


class Runtime:
    def __init__(self, logger):
        pass

    def deserialize_cuda_engine(self, serialized_engine):
        plan = bytes(serialized_engine)
        return ICudaEngine(plan[len(MAGIC) :]) if plan.startswith(MAGIC) else None


__version__ = '10.3.0'
