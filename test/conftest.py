"""Every test run has a ROS domain of its own, on this machine only."""

import contextlib
import os

_reserved = contextlib.ExitStack()


def pytest_configure(config):
    """Reserve a free domain for as long as this process runs (each xdist worker has its own)."""
    config.add_cleanup(_reserved.close)
    os.environ['MPLBACKEND'] = 'Agg'
    if os.environ.get('ROS_DISTRO') == 'humble':
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    else:
        os.environ.pop('ROS_LOCALHOST_ONLY', None)  # deprecated, and would hide the next one
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    try:
        from domain_coordinator import domain_id
    except ImportError:
        return  # no ROS here: the unit tests need none
    os.environ['ROS_DOMAIN_ID'] = str(_reserved.enter_context(domain_id()))


def pytest_report_header(config):
    """Name the domain, so that a test can be watched from outside."""
    return f'ROS_DOMAIN_ID: {os.environ.get("ROS_DOMAIN_ID", "none")}'
