"""Where Gazebo Classic is found, and the mirror it is fetched from."""

import os

import pytest

from sim2real_core.errors import MissingError
from sim2real_sim.gazebo_classic.fetch import find_mirror
from sim2real_sim.gazebo_classic.installation import find


@pytest.fixture
def without(monkeypatch, tmp_path):
    """A machine without Gazebo and with an empty cache; gives the cache."""
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setenv('SIM2REAL_CACHE', str(tmp_path))
    return tmp_path


def test_without_one_the_way_to_get_one_is_named(without):
    with pytest.raises(MissingError, match='sim2real gazebo fetch'):
        find()


def test_the_systems_own_is_taken_first(without):
    (without / 'gazebo' / 'prefix').mkdir(parents=True)
    (without / 'gzserver').write_text('#!/bin/sh\n')
    (without / 'gzserver').chmod(0o755)
    assert not find().private


def test_folders_of_the_user_come_before_its_own(without, monkeypatch):
    models = without / 'gazebo' / 'prefix' / 'usr' / 'share' / 'gazebo-11' / 'models'
    models.mkdir(parents=True)
    monkeypatch.setenv('GAZEBO_MODEL_PATH', '/mine')
    assert find().environment()['GAZEBO_MODEL_PATH'] == f'/mine{os.pathsep}{models}'


@pytest.mark.parametrize(
    ('targets', 'codename', 'mirror'),
    [
        ('m/debian/ b\nm/debian/ b-updates\nm/sec/ b-security', 'b', 0),
        ('ros/ubuntu noble\nm/ubuntu noble\nm/ubuntu noble-updates', 'noble', 1),
        ('m/debian/ b', 't', None),
    ],
)
def test_mirror_is_the_archive_of_the_distribution(targets, codename, mirror):
    expected = '' if mirror is None else targets.splitlines()[mirror].split()[0]
    assert find_mirror(targets, codename) == expected
