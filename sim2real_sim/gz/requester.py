"""Talks to modern Gazebo in a process of its own; run by :mod:`sim2real_sim.gz.requests`.

Gazebo's Python binding keeps the interpreter's lock while it waits for a reply: with fast
subscriptions beside it every request times out. And the binding wants the protobuf that it was
built with, which need not be that of everyone else. So this file needs nothing but Gazebo's own
packages, and any interpreter that has those can run it.

One request a line comes in as JSON and one answer a line goes out. Messages are JSON as protobuf
maps it, with the names of the .proto files. Where the transport's binding is missing, the ``gz``
command is run instead; the messages' classes are needed in any case.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any

RELEASES = (  # Harmonic, Ionic, Jetty
    ('gz.msgs10', 'gz.transport13'),
    ('gz.msgs11', 'gz.transport14'),
    ('gz.msgs12', 'gz.transport15'),
    ('gz.msgs', 'gz.transport'),
)
# Messages that are not in a file of their own name.
FILES = {
    'SerializedStepMap': 'serialized_map',
    'SerializedState': 'serialized',
    'StringMsg': 'stringmsg',
}
COMPONENT = 'gz_sim_components.'
PRIME, BASIS, BITS = 0x100000001B3, 0xCBF29CE484222325, 64


class Refused(Exception):  # noqa: N818
    """Gazebo did not do it; the text says what."""


def component_id(name: str) -> int:
    """Gazebo's number of a component type: FNV-1a of its name, 64 bits."""
    value = BASIS
    for byte in (COMPONENT + name).encode():
        value = ((value ^ byte) * PRIME) % (1 << BITS)
    return value


class Messages:
    """The classes of ``gz.msgs``, of whichever release is installed."""

    def __init__(self) -> None:
        self.transport = ''
        for package, transport in RELEASES:
            try:
                importlib.import_module(package + '.time_pb2')
            except ModuleNotFoundError:
                continue
            except TypeError as error:
                raise ImportError(f"{package} does not fit this Python's protobuf") from error
            self.package, self.transport = package, transport
            return
        raise ImportError('no gz.msgs10, 11 or 12')

    def type(self, name: str) -> Any:
        """The class of a message."""
        file = FILES.get(name) or re.sub('(?<=[a-z0-9])(?=[A-Z])', '_', name).lower()
        return getattr(importlib.import_module(f'{self.package}.{file}_pb2'), name)

    def build(self, name: str, content: dict[str, Any]) -> Any:
        """A message from its JSON."""
        from google.protobuf import json_format

        return json_format.ParseDict(content, self.type(name)())

    def content(self, message: Any) -> Any:
        """The JSON of a message; every field without presence is there."""
        from google.protobuf import json_format

        options = {'preserving_proto_field_name': True}
        try:
            return json_format.MessageToDict(
                message, always_print_fields_with_no_presence=True, **options
            )
        except TypeError:  # before protobuf 5
            return json_format.MessageToDict(
                message, including_default_value_fields=True, **options
            )


def version() -> str:
    """Name and version of the simulator, or ''."""
    gz = shutil.which('gz')
    if gz is None:
        return ''
    try:
        said = subprocess.run([gz, 'sim', '--version'], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    found = re.search(r'version (\S+)', said.stdout)
    return f'gz-sim {found.group(1)}' if found else ''


class Binding:
    """The transport through its Python binding."""

    name = 'binding'

    def __init__(self, messages: Messages) -> None:
        self._node = importlib.import_module(messages.transport).Node()
        self._publishers: dict[str, Any] = {}

    def request(self, service: str, message: Any, reply: Any, timeout: float) -> Any:
        done, answer = self._node.request(
            service, message, type(message), reply, max(1, round(timeout * 1e3))
        )
        if not done:
            raise Refused(f'{service} did not answer within {timeout:g} s')
        return answer

    def publish(self, topic: str, message: Any, timeout: float) -> None:
        kind = type(message)
        if topic not in self._publishers:
            self._publishers[topic] = self._node.advertise(topic, kind)
        publisher = self._publishers[topic]
        end = time.monotonic() + timeout
        while not publisher.has_connections():
            if time.monotonic() > end:
                raise Refused(f'nobody listens to {topic} within {timeout:g} s')
            time.sleep(0.002)
        if not publisher.publish(message):
            raise Refused(f'{topic}: the message could not be sent')

    def unheard(self, topic: str, timeout: float) -> bool:
        publisher, end = self._publishers.get(topic), time.monotonic() + timeout
        while publisher is not None and publisher.has_connections():
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def services(self, timeout: float) -> list[str]:
        return list(self._node.service_list())


class Command:
    """The transport through the ``gz`` command."""

    name = 'command'

    def __init__(self) -> None:
        gz = shutil.which('gz')
        if gz is None:
            raise ImportError('neither the binding of gz.transport nor the gz command')
        self._gz = gz

    def _run(self, *words: str, timeout: float) -> str:
        command = [self._gz, *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout + 5.0)
        except subprocess.TimeoutExpired as error:
            raise Refused(f'{" ".join(words[:4])} did not end within {timeout:g} s') from error
        if done.returncode != 0 or 'timed out' in done.stdout + done.stderr:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise Refused(f'{" ".join(words[:4])}: {said[-1] if said else "failed"}')
        return done.stdout

    def request(self, service: str, message: Any, reply: Any, timeout: float) -> Any:
        from google.protobuf import text_format

        words = ['service', '-s', service, '--timeout', str(max(1, round(timeout * 1e3)))]
        words += ['--reqtype', message.DESCRIPTOR.full_name]
        words += ['--reptype', reply.DESCRIPTOR.full_name, '--req', _text(message)]
        return text_format.Parse(self._run(*words, timeout=timeout), reply())

    def publish(self, topic: str, message: Any, timeout: float) -> None:
        words = ['topic', '-t', topic, '-m', message.DESCRIPTOR.full_name, '-p', _text(message)]
        self._run(*words, timeout=timeout)

    def unheard(self, topic: str, timeout: float) -> bool:
        return True  # each message is sent by a process that looks anew who listens

    def services(self, timeout: float) -> list[str]:
        return self._run('service', '-l', timeout=timeout).split()


def _text(message: Any) -> str:
    from google.protobuf import text_format

    return text_format.MessageToString(message, as_one_line=True)


class Requester:
    """Carries out what the lines ask for."""

    transport: Binding | Command

    def __init__(self) -> None:
        self.messages = Messages()
        try:
            self.transport = Binding(self.messages)
        except ImportError:
            self.transport = Command()

    def hello(self) -> dict[str, str]:
        """What is talked through."""
        return {'gazebo': version() or self.messages.package, 'transport': self.transport.name}

    def services(self, timeout: float) -> list[str]:
        """Names of the services there are."""
        return self.transport.services(timeout)

    def request(
        self, service: str, kind: str, message: dict[str, Any], reply: str, timeout: float
    ) -> Any:
        """Call a service; its answer as JSON."""
        built = self.messages.build(kind, message)
        answer = self.transport.request(service, built, self.messages.type(reply), timeout)
        return self.messages.content(answer)

    def publish(self, topic: str, kind: str, message: dict[str, Any], timeout: float) -> None:
        """Publish a message, once somebody listens."""
        self.transport.publish(topic, self.messages.build(kind, message), timeout)

    def unheard(self, topic: str, timeout: float) -> bool:
        """Wait until nobody listens to a topic any more; whether that came true."""
        return self.transport.unheard(topic, timeout)

    def state(self, service: str, components: dict[str, str], timeout: float) -> dict[str, Any]:
        """All entities, with those of their components that are asked for.

        ``components``: name to the message it is serialized as, ``text``, or ``''`` when only
        its being there matters.
        """
        kinds = {component_id(name): (name, kind) for name, kind in components.items()}
        answer = self.transport.request(
            service,
            self.messages.type('Empty')(),
            self.messages.type('SerializedStepMap'),
            timeout,
        )
        entities: dict[str, Any] = {}
        for number, entity in answer.state.entities.items():
            found = {}
            for component in entity.components.values():
                name, kind = kinds.get(component.type, ('', ''))
                if name:
                    found[name] = self._decoded(kind, component.component)
            if found:
                entities[str(number)] = found
        return {'stats': self.messages.content(answer.stats), 'entities': entities}

    def _decoded(self, kind: str, data: bytes) -> Any:
        if not kind:
            return True
        if kind == 'text':
            return data.decode(errors='replace')
        message = self.messages.type(kind)()
        message.ParseFromString(data)
        return self.messages.content(message)

    def set_state(
        self, service: str, control: dict[str, Any], entities: list[Any], timeout: float
    ) -> Any:
        """Write components; each is ``[entity, name, message type or text, content]``."""
        message = self.messages.build('WorldControlState', {'world_control': control})
        parts: dict[int, Any] = {}
        for number, name, kind, content in entities:
            if number not in parts:
                parts[number] = message.state.entities.add(id=number)
            data = content.encode() if kind == 'text' else None
            if data is None:
                data = self.messages.build(kind, content).SerializeToString()
            parts[number].components.add(type=component_id(name), component=data)
        reply = self.messages.type('Boolean')
        return self.messages.content(self.transport.request(service, message, reply, timeout))


def answer(requester: Requester, line: str) -> str:
    """The answer to a line, as a line."""
    try:
        asked = json.loads(line)
        result = getattr(requester, asked.pop('op'))(**asked)
    except Refused as error:
        return json.dumps({'refused': str(error)})
    except Exception as error:
        return json.dumps({'error': f'{type(error).__name__}: {error}'})
    return json.dumps({'result': result})


def main() -> int:
    """Answer lines until there are no more."""
    # Gazebo's libraries print to the standard output, which is for answers alone.
    out = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    try:
        requester = Requester()
    except ImportError as error:
        out.write(json.dumps({'missing': str(error)}) + '\n')
        return 3
    out.write(json.dumps({'result': requester.hello()}) + '\n')
    for line in sys.stdin:
        out.write(answer(requester, line) + '\n')
    return 0


if __name__ == '__main__':
    del sys.path[0]  # this folder, whose modules are not for other packages to find
    sys.exit(main())
