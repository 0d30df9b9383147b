"""A private key that can sign, wherever it lies: in a file, in the environment, or in a token that keeps it."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

KeyKind: TypeAlias = Literal["ec", "rsa"]
HashName: TypeAlias = Literal["sha256", "sha384", "sha512"]


class Signer(Protocol):
    """Signs bytes.

    Attributes:
        kind: `ec` signs by ECDSA, `rsa` by RSASSA-PKCS1-v1_5.
        bits: size of the key: 256, 384, 521 of a curve, 2048 and more of an RSA modulus.
        deterministic: equal bytes get equal signatures.
        public_key: SubjectPublicKeyInfo, PEM.
        certificates: X.509, DER, the signer's own first; empty where the user named none.
        source: what the user named, fit to be shown: a path, `env:NAME`, or a token's URI without its PIN.
    """

    @property
    def kind(self) -> KeyKind: ...
    @property
    def bits(self) -> int: ...
    @property
    def deterministic(self) -> bool: ...
    @property
    def public_key(self) -> bytes: ...
    @property
    def certificates(self) -> tuple[bytes, ...]: ...
    @property
    def source(self) -> str: ...

    def sign(self, data: bytes, *, hash_name: HashName = "sha256") -> bytes:
        """The signature over `data`: DER (ECDSA-Sig-Value) for `ec`, the raw block for `rsa`.

        Raises:
            UnavailableError: the token is gone.
        """
