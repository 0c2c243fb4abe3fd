"""Gazebo Classic's own transport: topics over TCP, found through a master.

A message on the wire is its length as eight hexadecimal digits, then the message. On the link to
the master, and first on every other one, it is wrapped in a ``Packet`` that names its type. The
protocol was learned from a running Gazebo 11.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from sim2real_sim.gazebo_classic.messages import Messages
from sim2real_sim.world import WorldError

NUDGES = (0.001, 0.02)  # [s] the first comes after the one, later ones at most the other apart
HEARS_AFTER = 0.02  # [s] Gazebo loses what comes right after it said that it listens
NOTED = 1.0  # [s] within which the master says that a topic ended; some hundredths are usual
CONTROL = '~/world_control'
NOTHING = b'\xa0\x06\x00'  # a message with one field, number 100, that Gazebo does not have
HEADER = 8
CHUNK = 1 << 16
Callback = Callable[[Any], None]


def frame(payload: bytes) -> bytes:
    """A message as it goes over the wire."""
    return b'%08X' % len(payload) + payload


class Frames:
    """Takes messages out of a stream of bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add what came; gives the messages that are complete now."""
        self._bytes += data
        found = []
        while len(self._bytes) >= HEADER:
            end = HEADER + int(self._bytes[:HEADER].strip(b' \0'), 16)
            if len(self._bytes) < end:
                break
            found.append(bytes(self._bytes[HEADER:end]))
            del self._bytes[:end]
        return found


class _Link:
    """A connection and what to do with a message that comes over it."""

    def __init__(self, connection: socket.socket, receive: Callable[[_Link, bytes], None]) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.frames = Frames()
        self.receive = receive
        self.lock = threading.Lock()
        self.topic = ''
        self.since = time.monotonic()

    def send(self, payload: bytes) -> None:
        with self.lock:
            self.socket.sendall(frame(payload))


class Transport:
    """A connection to a running Gazebo, through the master on a port.

    Callbacks run in a thread of this object and must be short.

    Attributes:
        world: name of the world.
        version: Gazebo's name and version.
        own_host: our address as Gazebo sees it.

    Args:
        messages: Gazebo's message classes.
        host: where its master runs.
        port: of its master.
        timeout: deadline of every wait [s].

    Raises:
        WorldError: there is no master, or it serves no world.
    """

    def __init__(self, messages: Messages, host: str, port: int, timeout: float) -> None:
        self._messages = messages
        self._where = f'Gazebo at {host}:{port}'
        self._timeout = timeout
        self._changed = threading.Condition()
        self._lost = ''
        self.version = self.world = ''
        self._publishers: dict[str, str] = {}  # topic to message type
        self._callbacks: dict[str, tuple[Any, Callback]] = {}
        self._subscribed: dict[str, list[_Link]] = {}
        self._listening: dict[str, list[_Link]] = {}  # who listens to our topics
        self._selector = selectors.DefaultSelector()
        try:
            self._master = _Link(
                socket.create_connection((host, port), timeout=timeout), self._from_master
            )
        except OSError as error:
            raise WorldError(f'{self._where} does not answer: {error}') from error
        self.own_host = self._master.socket.getsockname()[0]
        self._server = socket.create_server((self.own_host, 0))
        self._wake, self._woken = socket.socketpair()
        self._register(self._master)
        self._selector.register(self._server, selectors.EVENT_READ, None)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, daemon=True, name='gazebo transport')
        self._thread.start()
        try:
            self.world = self._find_world()
            self.advertise(CONTROL, 'gazebo.msgs.WorldControl')
        except WorldError:
            self.close()
            raise

    @property
    def lost(self) -> str:
        """Why the connection is over; empty while it stands."""
        return self._lost

    def resolve(self, topic: str) -> str:
        """Full name of a topic, ``~`` being the world."""
        return topic.replace('~', f'/gazebo/{self.world}', 1) if topic[0] == '~' else topic

    def topics(self) -> dict[str, str]:
        """Topics that Gazebo publishes, to their message types."""
        with self._changed:
            return dict(self._publishers)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float | None = None) -> Any:
        """Wait until a condition holds that depends on what Gazebo sends; gives its value.

        Gazebo sends what it has to say when something comes in, and at rest ten times a second
        otherwise. So while it is waited for, messages without content come in.

        Args:
            condition: looked at whenever something came, with the lock held.
            what: what is waited for, for the message.
            timeout: deadline [s]; the transport's when None.

        Raises:
            WorldError: it does not hold by the deadline, or the connection broke.
        """
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        pause, last = NUDGES
        with self._changed:
            while True:
                if self._lost:
                    raise WorldError(f'{self._where}: {self._lost}, waiting for {what}')
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WorldError(f'{self._where}: no {what} within {limit:g} s')
                if not self._changed.wait(min(left, pause)):
                    self._nudge()
                    pause = min(2.0 * pause, last)

    def _nudge(self) -> None:
        for link in self._listening.get(self.resolve(CONTROL), ()):
            with contextlib.suppress(OSError):  # said by whoever reads from it
                link.send(NOTHING)

    def advertise(self, topic: str, type_: str) -> None:
        """Say that we publish a topic; to be done once."""
        topic = self.resolve(topic)
        if topic not in self._listening:
            self._listening[topic] = []
            self._tell_master('advertise', 'Publish', topic, type_)

    def publish(self, topic: str, message: Any) -> None:
        """Send a message to Gazebo, when it listens.

        Raises:
            WorldError: nobody listens by the deadline, or the connection broke.
        """
        topic = self.resolve(topic)
        self.advertise(topic, message.DESCRIPTOR.full_name)
        links = self.wait(lambda: list(self._listening.get(topic, ())), f'listener of {topic}')
        payload = message.SerializeToString()
        for link in links:
            time.sleep(max(0.0, link.since + HEARS_AFTER - time.monotonic()))
            try:
                link.send(payload)
            except OSError as error:
                raise WorldError(f'{self._where}: {topic} cannot be sent: {error}') from error

    def subscribe(
        self, topic: str, type_: str, callback: Callback, latching: bool = False
    ) -> None:
        """Receive a topic.

        Args:
            topic: its name.
            type_: full name of its message type.
            callback: called with each message.
            latching: receive the last message at once, if there is one.
        """
        topic = self.resolve(topic)
        with self._changed:
            self._callbacks[topic] = (self._messages.type(type_), callback)
            self._subscribed.setdefault(topic, [])
        self._tell_master('subscribe', 'Subscribe', topic, type_, latching=latching)

    def withdraw(self, prefix: str) -> None:
        """Publish our topics below a name no more: for before Gazebo deletes who listens there.

        When Gazebo ends a subscription to which a publisher is still connected, while it removes
        a sensor, three of its threads wait for each other, for ever.
        """
        prefix = self.resolve(prefix)
        with self._changed:
            topics = {topic for topic in self._listening if topic.startswith(prefix)}
            links = [link for topic in topics for link in self._listening.pop(topic)]
        for topic in topics:
            self._tell_master('unadvertise', 'Publish', topic, self._publishers.get(topic, ''))
        with contextlib.suppress(WorldError):  # then it happens now and then
            self.wait(lambda: not topics & self._publishers.keys(), 'end of topics', NOTED)
        for link in links:
            self._drop(link)

    def close(self) -> None:
        """Let go."""
        self._end('it was closed')
        if threading.current_thread() is not self._thread:
            self._thread.join(self._timeout)

    def _find_world(self) -> str:
        """Name of the world: it is in the names of the topics that a loaded one publishes."""

        def find() -> str:
            for topic in self._publishers:
                if topic.startswith('/gazebo/') and topic.endswith('/world_stats'):
                    return topic[len('/gazebo/') : -len('/world_stats')]
            return ''

        return str(self.wait(find, 'world'))

    def _tell_master(self, what: str, kind: str, topic: str, type_: str, **more: Any) -> None:
        message = self._messages.type(f'gazebo.msgs.{kind}')(
            topic=topic,
            msg_type=type_,
            host=self.own_host,
            port=self._server.getsockname()[1],
            **more,
        )
        try:
            self._master.send(self._packet(what, message))
        except OSError as error:
            self._end(f'the link to its master broke ({error})')

    def _packet(self, type_: str, message: Any) -> bytes:
        packet = self._messages.type('gazebo.msgs.Packet')(
            type=type_, serialized_data=message.SerializeToString()
        )
        packet.stamp.sec, packet.stamp.nsec = divmod(time.time_ns(), 10**9)
        return bytes(packet.SerializeToString())

    # What follows runs in the thread.

    def _run(self) -> None:
        while not self._lost:
            for key, _ in self._selector.select():
                if key.fileobj is self._server:
                    connection, _ = self._server.accept()
                    self._register(_Link(connection, self._from_listener))
                elif isinstance(key.data, _Link):
                    self._read(key.data)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._wake.close()
        self._selector.close()

    def _read(self, link: _Link) -> None:
        try:
            data = link.socket.recv(CHUNK)
        except OSError:
            data = b''
        if not data:
            self._drop(link)
            if link is self._master:
                self._end('the link to its master broke')
            return
        messages = link.frames.feed(data)
        if messages:
            with self._changed:
                for message in messages:
                    link.receive(link, message)
                self._changed.notify_all()

    def _register(self, link: _Link) -> None:
        self._selector.register(link.socket, selectors.EVENT_READ, link)

    def _drop(self, link: _Link) -> None:
        with self._changed:
            for links in (*self._listening.values(), *self._subscribed.values()):
                if link in links:
                    links.remove(link)
        try:
            self._selector.unregister(link.socket)
        except (KeyError, ValueError):
            return  # it was dropped already
        link.socket.close()

    def _end(self, why: str) -> None:
        with self._changed:
            if not self._lost:
                self._lost = why
                self._wake.send(b'x')
            self._changed.notify_all()

    def _from_master(self, link: _Link, payload: bytes) -> None:
        packet = self._messages.type('gazebo.msgs.Packet').FromString(payload)
        kinds = {
            'version_init': 'GzString',
            'publishers_init': 'Publishers',
            'publisher_add': 'Publish',
            'publisher_del': 'Publish',
            'publisher_subscribe': 'Publish',
            'publisher_advertise': 'Publish',
        }
        if packet.type not in kinds:
            return
        kind = self._messages.type(f'gazebo.msgs.{kinds[packet.type]}')
        message = kind.FromString(packet.serialized_data)
        if packet.type == 'version_init':
            self.version = message.data
        elif packet.type == 'publishers_init':
            self._publishers.update((item.topic, item.msg_type) for item in message.publisher)
        elif packet.type == 'publisher_del':
            self._publishers.pop(message.topic, None)
        else:
            self._publishers[message.topic] = message.msg_type
            # One that is there, or one that came after us.
            told = packet.type in ('publisher_subscribe', 'publisher_advertise')
            if told and message.topic in self._callbacks:
                self._dial(message)

    def _dial(self, publisher: Any) -> None:
        """Connect to a publisher of a topic that we subscribed to."""
        if publisher.port == self._server.getsockname()[1]:
            return  # that is us
        subscription = self._messages.type('gazebo.msgs.Subscribe')(
            topic=publisher.topic,
            host=self.own_host,
            port=self._server.getsockname()[1],
            msg_type=publisher.msg_type,
            latching=True,
        )
        try:
            address = (publisher.host, publisher.port)
            link = _Link(socket.create_connection(address, self._timeout), self._from_publisher)
            link.topic = publisher.topic
            link.send(self._packet('sub', subscription))
        except OSError:
            return  # it is gone already; another one will be announced
        self._subscribed[publisher.topic].append(link)
        self._register(link)

    def _from_publisher(self, link: _Link, payload: bytes) -> None:
        if link.topic in self._callbacks:
            kind, callback = self._callbacks[link.topic]
            callback(kind.FromString(payload))

    def _from_listener(self, link: _Link, payload: bytes) -> None:
        packet = self._messages.type('gazebo.msgs.Packet').FromString(payload)
        if packet.type != 'sub':
            return
        subscription = self._messages.type('gazebo.msgs.Subscribe').FromString(
            packet.serialized_data
        )
        link.topic, link.since = subscription.topic, time.monotonic()
        if link.topic in self._listening:
            self._listening[link.topic].append(link)
        else:
            self._drop(link)  # it was withdrawn meanwhile
