"""Writes the message classes of modern Gazebo for the protobuf that is installed here.

The wheel that has them wants an old protobuf, and libraries of Gazebo's own; the definitions in
it are as good as new. Run with the wheel and the folder that `gz/msgs` is to be made in.
"""

import ast
import pathlib
import sys
import tempfile
import zipfile

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

wheel, folder = map(pathlib.Path, sys.argv[1:])
files = descriptor_pb2.FileDescriptorSet()
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith('gz/msgs10/') and name.endswith('_pb2.py'):
            for node in ast.walk(ast.parse(archive.read(name))):
                if isinstance(node, ast.keyword) and node.arg == 'serialized_pb':
                    files.file.add().ParseFromString(ast.literal_eval(node.value))
for well_known in ('any', 'duration', 'timestamp'):
    module = __import__(f'google.protobuf.{well_known}_pb2', fromlist=['DESCRIPTOR'])
    module.DESCRIPTOR.CopyToProto(files.file.add())
folder.mkdir(parents=True, exist_ok=True)
with tempfile.NamedTemporaryFile() as definitions:
    definitions.write(files.SerializeToString())
    definitions.flush()
    names = [file.name for file in files.file if file.name.startswith('gz/')]
    options = [f'--descriptor_set_in={definitions.name}', f'--python_out={folder}']
    sys.exit(protoc.main(['protoc', *options, *names]))
