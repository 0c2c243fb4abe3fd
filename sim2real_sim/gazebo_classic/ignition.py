"""Gazebo Classic's second transport, ignition-transport 8: joint commands and introspection.

Publishers tell of themselves by UDP multicast, messages and requests go over ZeroMQ. Written from
the protocol of ignition-transport's sources (discovery over UDP ports 10317 for topics and 10318
for services; a length of two bytes, then a ``Discovery`` message).
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
import zmq

from sim2real_sim.gazebo_classic.messages import Messages
from sim2real_sim.world import WorldError

GROUPS = ('224.0.0.7', '239.255.0.7')  # of ignition-transport up to 8.1, and since
TOPICS_PORT, SERVICES_PORT = 10317, 10318
WIRE_VERSION = 10
HEARTBEAT = 1.0  # [s]
BATCH = 100  # messages that are received before anything else is looked at
SILENCE = 3.0  # [s] after which a process counts as gone
Callback = Callable[[bytes], None]


def full_name(partition: str, topic: str) -> str:
    """Name of a topic or service with its partition."""
    return f'@/{partition}@{topic}'


class Ignition:
    """A process on ignition-transport.

    One thread owns all sockets; the public functions may be called from any thread, callbacks
    run in the thread and must be short.

    Args:
        messages: Gazebo's message classes.
        host: our address as Gazebo sees it.
        timeout: deadline of every wait [s].
    """

    def __init__(self, messages: Messages, host: str, timeout: float) -> None:
        self._messages = messages
        self._discovery = messages.type('ignition.msgs.Discovery')
        self._timeout = timeout
        self._id = str(uuid.uuid4())
        self._changed = threading.Condition()
        self._services: dict[str, tuple[Any, float]] = {}  # by full name; and when last heard of
        self._replies: dict[str, tuple[bytes, bool]] = {}
        self._advertised: dict[str, str] = {}
        self._callbacks: dict[str, Callback] = {}
        self._listened: set[str] = set()  # topics of ours
        self._heard: dict[str, tuple[Any, str]] = {}  # of others: link to its control, type
        self._connected: set[str] = set()
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._context = zmq.Context()
        self._publisher = self._socket(zmq.XPUB)
        self._control = self._socket(zmq.ROUTER)
        self._subscriber = self._socket(zmq.SUB)
        self._requester = self._socket(zmq.ROUTER)
        self._requester.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._receiver = self._socket(zmq.ROUTER)
        self._receiver_id = str(uuid.uuid4())
        self._receiver.setsockopt(zmq.IDENTITY, self._receiver_id.encode())
        self._addresses = {}
        for name, zmq_socket in (
            ('data', self._publisher),
            ('control', self._control),
            ('receiver', self._receiver),
        ):
            port = zmq_socket.bind_to_random_port(f'tcp://{host}')
            self._addresses[name] = f'tcp://{host}:{port}'
        self._listeners = {port: _listen(port) for port in (TOPICS_PORT, SERVICES_PORT)}
        self._senders = [_sender(address) for address in _own_addresses()]
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name='ignition transport')
        self._thread.start()

    def advertise(self, topic: str, type_: str) -> None:
        """Say that we publish a topic (full name); repeated until we are closed."""
        self._do(lambda: self._advertise(topic, type_))

    def listened(self, topic: str) -> bool:
        """Whether somebody listens to a topic of ours."""
        return topic in self._listened

    def publish(self, topic: str, message: Any) -> None:
        """Send a message on an advertised topic."""
        parts = [
            topic.encode(),
            self._addresses['data'].encode(),
            message.SerializeToString(),
            message.DESCRIPTOR.full_name.encode(),
        ]
        self._do(lambda: self._send(parts))

    def subscribe(self, topic: str, callback: Callback) -> None:
        """Receive a topic (full name); the callback gets each message as it came."""
        self._do(lambda: self._subscribe(topic, callback))

    def unsubscribe(self, topic: str) -> None:
        """Receive a topic no more."""
        self._do(lambda: self._unsubscribe(topic))

    def services(self) -> list[str]:
        """Full names of the services heard of within the last seconds, the newest last."""
        now = time.monotonic()
        with self._changed:
            known = sorted(self._services.items(), key=lambda item: item[1][1])
        return [name for name, (_, heard) in known if now - heard < SILENCE]

    def wait(self, condition: Callable[[], Any], what: str, timeout: float | None = None) -> Any:
        """Wait until a condition holds; gives its value.

        Raises:
            WorldError: it does not hold by the deadline.
        """
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        with self._changed:
            while True:
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    raise WorldError(f'Gazebo (ignition-transport): no {what} within {limit:g} s')
                self._changed.wait(left)

    def request(self, service: str, message: Any, reply: str) -> Any:
        """Call a service (full name).

        Args:
            service: its name.
            message: the request.
            reply: full name of the type of its reply.

        Raises:
            WorldError: nobody serves it or answers by the deadline, or it refused.
        """
        deadline = time.monotonic() + self._timeout
        self._do(lambda: self._ask(service))
        self.wait(lambda: service in self._services, f'service {service}')
        request = str(uuid.uuid4())
        types = message.DESCRIPTOR.full_name, reply
        self._do(
            lambda: self._request(service, request, message.SerializeToString(), types, deadline)
        )
        left = max(0.0, deadline - time.monotonic())
        self.wait(lambda: request in self._replies, f'reply of {service}', left)
        data, good = self._replies.pop(request)
        if not good:
            raise WorldError(f'Gazebo (ignition-transport): {service} refused')
        return self._messages.type(reply).FromString(data)

    def drained(self) -> bool:
        """Whether every message that has arrived was handed out.

        Raises:
            WorldError: our own thread does not say so by the deadline.
        """
        found: list[bool] = []
        self._do(lambda: found.append(not self._subscriber.poll(0)))
        self.wait(lambda: found, 'our own thread')
        return found[0]

    def close(self) -> None:
        """Let go."""
        self._do(self._shut)
        self._thread.join(self._timeout)

    def _do(self, task: Callable[[], None]) -> None:
        """Have the thread do something."""
        self._tasks.put(task)
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake; closed: no matter
            self._wake.send(b'x')

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        zmq_socket = self._context.socket(kind)
        zmq_socket.setsockopt(zmq.LINGER, 0)
        zmq_socket.setsockopt(zmq.SNDHWM, 0)
        zmq_socket.setsockopt(zmq.RCVHWM, 0)
        return zmq_socket

    # What follows runs in the thread.

    def _run(self) -> None:
        poller = zmq.Poller()
        receivers: dict[Any, Callable[[], None]] = {
            self._publisher: self._from_publisher,
            self._control: lambda: self._drain(self._control),
            self._requester: lambda: self._drain(self._requester),
            self._subscriber: self._from_subscriber,
            self._receiver: self._from_receiver,
            self._woken.fileno(): self._from_tasks,
        }
        for port, listener in self._listeners.items():
            receivers[listener.fileno()] = partial(self._from_discovery, port)
        for source in receivers:
            poller.register(source, zmq.POLLIN)
        beat = 0.0
        while not self._closed:
            now = time.monotonic()
            if now >= beat:
                beat = now + HEARTBEAT
                self._announce()
            for source, _ in poller.poll(int(max(0.0, beat - now) * 1000.0)):
                if self._closed:
                    break
                with self._changed:
                    receivers[source]()
                    self._changed.notify_all()
        self._context.destroy(linger=0)
        for plain in (*self._listeners.values(), *self._senders, self._wake, self._woken):
            plain.close()

    def _shut(self) -> None:
        self._closed = True
        for port in self._listeners:
            self._tell(port, self._discovery(type=self._discovery.BYE))

    def _send(self, parts: list[bytes]) -> None:
        self._publisher.send_multipart(parts)

    def _from_tasks(self) -> None:
        self._woken.recv(4096)
        while not self._tasks.empty() and not self._closed:
            self._tasks.get()()

    def _drain(self, zmq_socket: zmq.Socket[bytes]) -> None:
        zmq_socket.recv_multipart()

    def _from_publisher(self) -> None:
        event = self._publisher.recv()
        change = self._listened.add if event[:1] == b'\1' else self._listened.discard
        change(event[1:].decode())

    def _from_subscriber(self) -> None:
        # All that is there: every wait of this thread may cost it a turn among others.
        with contextlib.suppress(zmq.Again):
            for _ in range(BATCH):
                topic, _, data, _ = self._subscriber.recv_multipart(zmq.NOBLOCK)
                if topic.decode() in self._callbacks:
                    self._callbacks[topic.decode()](data)

    def _from_receiver(self) -> None:
        # (who sent it, service, node, request, reply, whether it was done)
        parts = self._receiver.recv_multipart()
        self._replies[parts[-3].decode()] = (parts[-2], parts[-1] == b'1')

    def _from_discovery(self, port: int) -> None:
        data = self._listeners[port].recv(65535)
        message = self._discovery.FromString(data[2 : 2 + struct.unpack('<H', data[:2])[0]])
        if message.process_uuid == self._id or message.version != WIRE_VERSION:
            return
        kinds = self._discovery
        if message.type == kinds.ADVERTISE and port == SERVICES_PORT:
            self._services[message.pub.topic] = (message.pub, time.monotonic())
        elif message.type == kinds.ADVERTISE and message.pub.topic in self._callbacks:
            self._listen_to(message.pub)
        elif message.type == kinds.UNADVERTISE and port == SERVICES_PORT:
            self._services.pop(message.pub.topic, None)
        elif message.type == kinds.BYE and port == SERVICES_PORT:
            gone = [
                name
                for name, (publisher, _) in self._services.items()
                if publisher.process_uuid == message.process_uuid
            ]
            for name in gone:
                del self._services[name]
        elif message.type == kinds.SUBSCRIBE and message.sub.topic in self._advertised:
            self._advertise(message.sub.topic, self._advertised[message.sub.topic])

    def _advertise(self, topic: str, type_: str) -> None:
        self._advertised[topic] = type_
        message = self._discovery(type=self._discovery.ADVERTISE)
        publisher = message.pub
        publisher.topic = topic
        publisher.address = self._addresses['data']
        publisher.process_uuid = publisher.node_uuid = self._id
        publisher.scope = publisher.ALL
        publisher.msg_pub.ctrl = self._addresses['control']
        publisher.msg_pub.msg_type = type_
        publisher.msg_pub.msgs_per_sec = 2**64 - 1
        self._tell(TOPICS_PORT, message)

    def _subscribe(self, topic: str, callback: Callback) -> None:
        self._callbacks[topic] = callback
        self._subscriber.setsockopt(zmq.SUBSCRIBE, topic.encode())
        message = self._discovery(type=self._discovery.SUBSCRIBE)
        message.sub.topic = topic
        self._tell(TOPICS_PORT, message)

    def _listen_to(self, publisher: Any) -> None:
        """Connect to a publisher, and tell it so: it sends to those alone of whom it knows."""
        if publisher.topic in self._heard:
            return
        self._connect(self._subscriber, publisher.address)
        control = self._socket(zmq.DEALER)
        control.setsockopt(zmq.LINGER, 300)
        control.connect(publisher.msg_pub.ctrl)
        self._heard[publisher.topic] = (control, publisher.msg_pub.msg_type)
        self._tell_publisher(publisher.topic, self._discovery.NEW_CONNECTION)

    def _tell_publisher(self, topic: str, what: int) -> None:
        control, type_ = self._heard[topic]
        parts = [topic, self._id, self._id, type_, str(what)]
        control.send_multipart([part.encode() for part in parts])

    def _unsubscribe(self, topic: str) -> None:
        if self._callbacks.pop(topic, None):
            self._subscriber.setsockopt(zmq.UNSUBSCRIBE, topic.encode())
        if topic in self._heard:
            self._tell_publisher(topic, self._discovery.END_CONNECTION)
            self._heard.pop(topic)[0].close()

    def _ask(self, service: str) -> None:
        """Have whoever serves it say so."""
        if service not in self._services:
            message = self._discovery(type=self._discovery.SUBSCRIBE)
            message.sub.topic = service
            self._tell(SERVICES_PORT, message)

    def _request(
        self, service: str, request: str, data: bytes, types: tuple[str, str], deadline: float
    ) -> None:
        publisher = self._services[service][0] if service in self._services else None
        if publisher is None or self._closed:
            return
        self._connect(self._requester, publisher.address)
        parts = [publisher.srv_pub.socket_id, service, self._addresses['receiver']]
        parts += [self._receiver_id, self._id, request]
        frames = [part.encode() for part in parts] + [data] + [name.encode() for name in types]
        try:
            self._requester.send_multipart(frames)
        except zmq.ZMQError:  # the connection is not up yet
            if time.monotonic() < deadline:
                task = partial(self._request, service, request, data, types, deadline)
                again = threading.Timer(0.01, self._do, [task])
                again.daemon = True
                again.start()

    def _connect(self, zmq_socket: zmq.Socket[bytes], address: str) -> None:
        if address not in self._connected:
            self._connected.add(address)
            zmq_socket.connect(address)

    def _announce(self) -> None:
        """Show that we live, and what we publish; Gazebo forgets whoever is silent."""
        with self._changed:
            for port in self._listeners:
                self._tell(port, self._discovery(type=self._discovery.HEARTBEAT))
            for topic, type_ in list(self._advertised.items()):
                self._advertise(topic, type_)

    def _tell(self, port: int, message: Any) -> None:
        message.version = WIRE_VERSION
        message.process_uuid = self._id
        data = message.SerializeToString()
        for sender in self._senders:
            for group in GROUPS:
                with contextlib.suppress(OSError):  # an interface may be down
                    sender.sendto(struct.pack('<H', len(data)) + data, (group, port))


def _own_addresses() -> list[str]:
    """IPv4 addresses of this machine's interfaces."""
    interfaces = psutil.net_if_addrs().values()
    return [a.address for found in interfaces for a in found if a.family == socket.AF_INET]


def _listen(port: int) -> socket.socket:
    """A socket that hears what is said on a discovery port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(('', port))
    for group in GROUPS:
        for address in _own_addresses():
            membership = socket.inet_aton(group) + socket.inet_aton(address)
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return listener


def _sender(address: str) -> socket.socket:
    """A socket that speaks to a discovery port through one interface."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    return sender
