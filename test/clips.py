"""Sealed clips made from another."""

import hashlib
import json
import shutil

from sim2real_capture.clip import MANIFEST, SHIPPED


def copy_of(clip, name, folder=None, **changes):
    """A sealed clip of another name, beside a clip or in a folder.

    Args:
        clip: the one to copy.
        name: of the copy.
        folder: where to.
        changes: of its manifest.
    """
    folder = folder or clip.parent
    part = folder / f'{name}.part'
    shutil.copytree(clip, part)
    (part / SHIPPED).unlink(missing_ok=True)
    (part / f'{clip.name}_0.mcap').rename(part / f'{name}_0.mcap')
    manifest = {**json.loads((clip / MANIFEST).read_text()), 'clip': name, **changes}
    manifest['files'][f'{name}_0.mcap'] = manifest['files'].pop(f'{clip.name}_0.mcap')
    (part / MANIFEST).write_text(json.dumps(manifest))
    metadata = part / 'metadata.yaml'  # names the file, too
    metadata.write_text(metadata.read_text().replace(f'{clip.name}_0.mcap', f'{name}_0.mcap'))
    return renew(part).rename(folder / name)


def renew(clip):
    """Make a manifest fit its files."""
    manifest = json.loads((clip / MANIFEST).read_text())
    for name, entry in manifest['files'].items():
        data = (clip / name).read_bytes()
        entry.update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (clip / MANIFEST).write_text(json.dumps(manifest))
    return clip


def event_of(detector, stamp=0.0, score=1.0):
    """An event as a manifest has it."""
    return {'detector': detector, 'stamp': stamp, 'score': score, 'threshold': 1.0}
