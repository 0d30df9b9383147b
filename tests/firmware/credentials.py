"""Keys, and certificates below an authority of their own, made with `cryptography`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
SIGNING = (ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CODE_SIGNING)
"""What SWUpdate and RAUC want to see in a signer's certificate."""

_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)


def write_key(path: Path, key: _PrivateKey) -> Path:
    """PEM, in the traditional form that every tool reads (SEC1 or PKCS#1)."""
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path


def write_public_key(path: Path, private: Path) -> Path:
    """The public half of a private key, PEM."""
    path.write_bytes(
        read_key(private)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return path


def read_key(path: Path) -> _PrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, _PrivateKey)
    return key


@dataclass(frozen=True)
class Authority:
    """A root that devices trust, and an intermediate that signs.

    Attributes:
        folder: where certificates are written.
        root: PEM file of the root's certificate: what a device is given.
        intermediate: PEM file of the intermediate's.
    """

    folder: Path
    root: Path
    intermediate: Path
    _key: ec.EllipticCurvePrivateKey
    _issuer: x509.Certificate

    def certify(
        self,
        key: Path | _PublicKey,
        name: str = "signer",
        *,
        usages: Sequence[ObjectIdentifier] = SIGNING,
        days: tuple[float, float] = (-1, 365),
    ) -> Path:
        """PEM file `NAME.pem` with a certificate of that key, the intermediate's after it; valid between two days."""
        public = read_key(key).public_key() if isinstance(key, Path) else key
        found = (
            _builder(name, self._issuer.subject, public, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(found.public_bytes(serialization.Encoding.PEM) + self.intermediate.read_bytes())
        return path


def make_authority(folder: Path) -> Authority:
    """A new root and a new intermediate below it."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = _name("root")
    root = _ca_builder("root", root_name, root_key, root_key).sign(root_key, hashes.SHA256())
    issuer = _ca_builder("intermediate", root_name, key, root_key).sign(root_key, hashes.SHA256())
    paths = [folder / "root.pem", folder / "intermediate.pem"]
    for path, certificate in zip(paths, (root, issuer), strict=True):
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, *paths, key, issuer)


def _ca_builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        _builder(name, issuer, key.public_key(), (-1, 3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _builder(
    name: str,
    issuer: x509.Name,
    key: _PublicKey,
    days: tuple[float, float],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW + days[0] * _DAY)
        .not_valid_after(_NOW + days[1] * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
