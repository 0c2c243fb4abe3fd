"""Packaging; name, version and the rest of what package.xml says are read from there."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

MANIFEST = ElementTree.parse(Path(__file__).parent / 'package.xml').getroot()
NAME = MANIFEST.findtext('name')

# Robots need these alone. On a ROS machine rosdep brings most of them, from package.xml.
ROBOT = [
    'setuptools',
    'PyYAML',
    'aiohttp',
    'honcho',
    'jinja2',
    'lxml',
    'matplotlib',
    'mcap',
    'numpy>=1.21',
    'onnxruntime',
    'pillow',
    'pin',
    'psutil',
    'rich',
    'rosbags',
    'scipy',
    'xacro',
]
SIM = ['coal', 'mujoco>=4', 'numba']
EXTRAS = {
    'sim': SIM,
    'gazebo': ['grpcio-tools', 'numba', 'protobuf>=4.22', 'pyzmq'],
    'learning': [*SIM, 'onnx', 'onnxscript', 'pyarrow', 'rsl-rl-lib>=5', 'torch'],
    'sysid': [*SIM, 'cma'],
    'sbi': [*SIM, 'sbi', 'torch'],
    'vision': [*SIM, 'opencv-python-headless'],
    's3': ['boto3', 'botocore'],
    'sftp': ['asyncssh'],
    'jetson': ['cuda-python'],  # TensorRT itself comes with JetPack
    'test': ['hypothesis', 'playwright', 'pytest', 'pytest-timeout', 'pytest-xdist'],
}


def tree(folder):
    """The files of a folder, as data files of the package's share."""
    folders = {}
    for path in sorted(Path(folder).rglob('*')):
        if path.is_file() and '__pycache__' not in path.parts:
            folders.setdefault(f'share/{NAME}/{path.parent}', []).append(str(path))
    return list(folders.items())


setup(
    name=NAME,
    version=MANIFEST.findtext('version'),
    description=' '.join(MANIFEST.findtext('description').split()),
    maintainer=MANIFEST.findtext('maintainer'),
    maintainer_email=MANIFEST.find('maintainer').get('email'),
    license=MANIFEST.findtext('license'),
    python_requires='>=3.10',
    packages=find_packages(include=['sim2real_*']),
    package_data={
        'sim2real_bringup': ['templates/*'],
        'sim2real_capture': ['templates/*'],
        'sim2real_learning': ['templates/*'],
        'sim2real_sysid.batch': ['templates/*'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        ('bin', ['scripts/sim2real']),
        *tree('config'),
        *tree('description'),
        *tree('docs/verified'),
        *tree('launch'),
    ],
    zip_safe=False,
    install_requires=ROBOT,
    extras_require=EXTRAS,
    entry_points={
        'console_scripts': [
            'sim2real = sim2real_bringup.cli:main',
            'simulator = sim2real_bringup.executables:simulator',
            'gazebo_bridge = sim2real_bringup.executables:gazebo_bridge',
            'relay = sim2real_bringup.executables:relay',
            'gazebo_draws = sim2real_bringup.executables:gazebo_draws',
            'randomizer = sim2real_bringup.executables:randomizer',
            'policy = sim2real_bringup.executables:policy',
            'sysid = sim2real_bringup.executables:sysid',
            'capture = sim2real_bringup.executables:capture',
            'receiver = sim2real_bringup.executables:receiver',
            'player = sim2real_bringup.executables:player',
            'visualizer = sim2real_bringup.executables:visualizer',
        ],
    },
)
