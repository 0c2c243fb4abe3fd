"""Settings of the capture node and of the receiver."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults

MIB = 1 << 20

SCHEMES = ('http', 'https', 's3', 'sftp')


@dataclass(frozen=True, kw_only=True)
class CaptureConfig(Config):
    """Parameters of the capture node; all take effect when it starts."""

    robot: str = parameter(
        'arm6', 'Robot profile: a path, or the name of a shipped one.', read_only=True
    )
    topics: tuple[str, ...] = parameter(
        (
            'policy/action_applied',
            'policy/observation',
            'sysid/estimate',
            'randomizer/draw',
            'simulator/draw_applied',
            'robot_description',
            'tf_static',
            '/diagnostics',
        ),
        "Recorded beside the robot's own joint states, commands, IMU, odometry and goals.",
        read_only=True,
    )
    before: float = parameter(
        5.0, 'Recorded before a trigger.', unit='s', low=0.0, high=600.0, read_only=True
    )
    after: float = parameter(
        3.0, 'Recorded after the last trigger of a clip.', unit='s', low=0.0, high=600.0,
        read_only=True,
    )  # fmt: skip
    longest: float = parameter(
        60.0, 'Further triggers extend a clip up to this.', unit='s', low=0.0, high=3600.0,
        read_only=True,
    )  # fmt: skip
    folder: str = parameter('~/.ros/sim2real/spool', 'Where clips are written.', read_only=True)
    receiver: str = parameter(
        '', 'Where clips are shipped: http(s)://host:port of a receiver, s3://bucket/folder or '
        'sftp://user@host/folder; empty keeps them here.', read_only=True,
    )  # fmt: skip
    receiver_credentials: str = parameter(
        '', 'YAML file with what this robot shows there: token, certificate, key, authority.',
        read_only=True,
    )  # fmt: skip
    ship_timeout: float = parameter(
        60.0, 'For each answer of the receiver, before it is tried again.', unit='s', low=0.1,
        high=3600.0, read_only=True,
    )  # fmt: skip
    ship_rate: float = parameter(
        0.0, 'The most to send; 0 is no cap.', unit='B/s', low=0.0, high=1e12, read_only=True
    )
    ship_first: tuple[str, ...] = parameter(
        (), 'Detectors whose clips are shipped first, in this order; others follow, oldest first.',
        read_only=True,
    )  # fmt: skip
    keep_shipped: bool = parameter(
        True, 'Keep clips here that the receiver has acknowledged, until their room is needed.',
        read_only=True,
    )  # fmt: skip
    rules: str = parameter(
        '', 'File of rules for topics: excluded, private, thinned out, JPEG; empty keeps all.',
        read_only=True,
    )  # fmt: skip
    compression: str = parameter(
        'zstd', 'Of the chunks of sealed clips.', choices=('zstd', 'lz4', 'none'), read_only=True
    )
    private_days: float = parameter(
        30.0, 'How long private messages stay on the robot.', unit='d', low=0.0, high=36500.0,
        read_only=True,
    )  # fmt: skip
    ring_bytes: int = parameter(
        128 * MIB, 'Memory for the seconds before a trigger.', unit='B', low=MIB, high=1 << 36,
        read_only=True,
    )  # fmt: skip
    clip_bytes: int = parameter(
        512 * MIB, 'The most one clip may take.', unit='B', low=MIB, high=1 << 40, read_only=True
    )
    spool_bytes: int = parameter(
        4096 * MIB, 'The most all clips here may take; what the receiver has makes room first.',
        unit='B', low=MIB, high=1 << 44, read_only=True,
    )  # fmt: skip
    detectors: str = parameter(
        'default', 'File of the detectors, or the name of a shipped one (default, all).',
        read_only=True,
    )  # fmt: skip
    thresholds: str = parameter(
        '', 'File of sim2real capture calibrate; empty: as the detectors suggest.', read_only=True
    )
    paced: bool = parameter(
        False, 'Acknowledge every joint state on `pace` (replay, lockstep).', read_only=True
    )
    commander: str = parameter(
        '', 'Paced node whose commands are waited for: a replay then ends alike each time.',
        read_only=True,
    )  # fmt: skip

    def check(self, faults: Faults) -> None:
        """Sizes must leave room for one another, the address must be one."""
        if self.ring_bytes > self.clip_bytes:
            faults.add('ring_bytes', self.ring_bytes, f'at most clip_bytes ({self.clip_bytes})')
        if self.clip_bytes > self.spool_bytes:
            faults.add('clip_bytes', self.clip_bytes, f'at most spool_bytes ({self.spool_bytes})')
        if self.before + self.after > self.longest:
            faults.add('longest', self.longest, 'at least before + after')
        if not self.folder:
            faults.add('folder', self.folder, 'must name a folder')
        if self.receiver:
            check_address(self.receiver, faults, 'receiver')


@dataclass(frozen=True, kw_only=True)
class ReceiverConfig(Config):
    """Parameters of the receiver."""

    folder: str = parameter('~/.ros/sim2real/clips', 'Where clips are kept.', read_only=True)
    host: str = parameter(
        '127.0.0.1', 'Address to listen on; other than this machine only with credentials.',
        read_only=True,
    )  # fmt: skip
    port: int = parameter(
        8378, 'Port to listen on; 0 takes a free one.', low=0, high=65535, read_only=True
    )
    credentials: str = parameter(
        '', 'YAML file of who may send and look, by sim2real capture token; may change.',
        read_only=True,
    )  # fmt: skip
    certificate: str = parameter(
        '', 'PEM file to serve HTTPS with; empty serves HTTP.', read_only=True
    )
    key: str = parameter('', 'PEM file of the key of certificate.', read_only=True)
    authority: str = parameter(
        '', 'PEM file; robots may show certificates signed by it instead of tokens.',
        read_only=True,
    )  # fmt: skip
    clip_bytes: int = parameter(
        4096 * MIB, 'The most one clip may take.', unit='B', low=MIB, high=1 << 44, read_only=True
    )
    store_bytes: int = parameter(
        0, 'The most all clips may take; beyond, new ones wait on their robots. 0 is no limit.',
        unit='B', low=0, high=1 << 50, read_only=True,
    )  # fmt: skip

    def check(self, faults: Faults) -> None:
        """A certificate needs its key."""
        if bool(self.certificate) != bool(self.key):
            faults.add('key', self.key, 'certificate and key go together')
        if self.authority and not self.certificate:
            faults.add('authority', self.authority, 'needs certificate and key')


def check_address(url: str, faults: Faults, field: str) -> None:
    """Add a fault when this is the address of no transport."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets or ports that are none
        fits = False
    if not fits:
        faults.add(field, url, 'must be like http://127.0.0.1:8378, s3://bucket or sftp://host')
