"""Robots over HTTPS: known by a token, or by a certificate of their own."""

import datetime
import ipaddress

import pytest

from sim2real_capture.access import Access, AccessFile, add_token, load_access, revoke
from sim2real_capture.catalogue import Catalogue
from sim2real_capture.receiver_server import ReceiverServer, Tls
from sim2real_capture.transports import Credentials, UnreachableError
from sim2real_capture.uplink import ship
from sim2real_core.errors import InputError


@pytest.fixture(scope='module')
def certify(tmp_path_factory):
    """Makes certificate and key files of a name; ``by`` is who signs: themselves, without."""
    x509 = pytest.importorskip('cryptography.x509', reason='cryptography is not installed')
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp('certificates')
    made = {}

    def make(name, by=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer, signing = made[by] if by else (subject, key)
        start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        address = x509.IPAddress(ipaddress.ip_address('127.0.0.1'))
        certificate = (
            x509.CertificateBuilder(issuer, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, content_commitment=False, key_encipherment=False,
                    data_encipherment=False, key_agreement=False, key_cert_sign=by is None,
                    crl_sign=by is None, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .sign(signing, hashes.SHA256())
        )  # fmt: skip
        made[name] = (subject, key)
        pem = serialization.Encoding.PEM
        files = folder / f'{name}.pem', folder / f'{name}.key'
        files[0].write_bytes(certificate.public_bytes(pem))
        files[1].write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return tuple(map(str, files))

    return make


@pytest.fixture(scope='module')
def files(certify):
    """Authority, receiver, a robot it knows, and one of another authority."""
    authority = certify('authority')
    return {
        'authority': authority,
        'receiver': certify('receiver', 'authority'),
        'arm7': certify('arm7', 'authority'),
        'arm8': certify('arm8', 'authority'),
        'other': certify('other'),
        'stranger': certify('stranger', 'other'),
    }


@pytest.fixture
def serving(tmp_path, files):
    """Starts receivers over TLS."""
    running = []

    def make(access, authority=''):
        tls = Tls(*files['receiver'], authority)
        running.append(ReceiverServer(tmp_path / 'library', access=access, tls=tls))
        return running[-1].url

    yield make
    for server in running:
        assert server.close(10.0)


def robot_of(tmp_path):
    catalogue = Catalogue(tmp_path / 'library')
    (entry,) = catalogue.entries()
    catalogue.close()
    return entry.robot


def test_a_robot_with_a_token(serving, files, clip, tmp_path):
    token = add_token(tmp_path / 'keys.yaml', 'robots', 'arm7')
    url = serving(load_access(tmp_path / 'keys.yaml'))
    assert url.startswith('https://')
    authority = files['authority'][0]
    for shown in (Credentials(authority=authority), Credentials('wrong', authority=authority)):
        with pytest.raises(UnreachableError, match='401'):
            ship(clip, url, credentials=shown)
    with pytest.raises(UnreachableError, match='certificate'):  # not a receiver that it knows
        ship(clip, url, credentials=Credentials(token))
    ship(clip, url, credentials=Credentials(token, authority=authority))
    assert robot_of(tmp_path) == 'arm7'


def test_a_robot_with_a_certificate(serving, files, clip, tmp_path):
    authority = files['authority'][0]
    url = serving(Access(certificates=True), authority)
    with pytest.raises(UnreachableError, match='401'):
        ship(clip, url, credentials=Credentials(authority=authority))
    with pytest.raises(UnreachableError):
        ship(clip, url, credentials=Credentials('', *files['stranger'], authority))
    ship(clip, url, credentials=Credentials('', *files['arm7'], authority))
    assert robot_of(tmp_path) == 'arm7'


def test_a_certificate_that_was_revoked_counts_no_longer(serving, files, clip, tmp_path):
    """From the next request on, while the receiver runs; others' do."""
    keys, authority = tmp_path / 'keys.yaml', files['authority'][0]
    keys.write_text('')
    url = serving(AccessFile(keys, certificates=True), authority)
    revoke(keys, 'arm7')
    with pytest.raises(UnreachableError, match='401'):
        ship(clip, url, credentials=Credentials('', *files['arm7'], authority))
    ship(clip, url, credentials=Credentials('', *files['arm8'], authority))
    assert robot_of(tmp_path) == 'arm8'


@pytest.mark.parametrize('field', ['certificate', 'key', 'authority'])
def test_files_that_will_not_do(files, tmp_path, field):
    given = dict(zip(('certificate', 'key'), files['receiver']), authority=files['authority'][0])
    (tmp_path / 'bad.pem').write_text('bad')
    with pytest.raises(InputError, match=r'certificate|authority'):
        Tls(**{**given, field: str(tmp_path / 'bad.pem')}).context()
