"""Describe why Redis cannot be used, and what to do.

`/ready` shows these texts, so they contain no host, user or password, and no text of the server, which may repeat a
command's arguments.
"""

from __future__ import annotations

import re
import socket
import ssl

from .connections import ServerError

_IN_TEXT = re.compile(r"(?:^|[ -])(READONLY|MASTERDOWN|LOADING|MOVED|NOREPLICAS|OOM|MISCONF|NOPERM|BUSY) ")
"""Redis 6 and earlier wrap the code of an error in a script: ``ERR Error running script (…): -READONLY …``."""

_ELSEWHERE = {"READONLY", "MASTERDOWN", "LOADING", "MOVED", "NOREPLICAS"}
"""The codes of a server that is not the primary or not ready. After a failover, a new connection may reach another."""

_BY_CODE = {
    "READONLY": "the server is a replica (READONLY); use the address of the primary",
    "MASTERDOWN": "the server is a replica without a connection to its primary (MASTERDOWN); use the primary's address",
    "LOADING": "the server is still loading its data (LOADING); wait until it has started",
    "MOVED": "the server is a cluster node without the ledger's keys (MOVED); use an address that follows redirections",
    "CLUSTERDOWN": "the cluster does not serve all keys (CLUSTERDOWN); check its nodes",
    "BUSY": "the server is blocked by another client's script (BUSY); stop that script with SCRIPT KILL",
    "NOREPLICAS": "the server has too few replicas to accept writes (NOREPLICAS); check its replication",
    "OOM": "the server is full (OOM); raise its maxmemory or lower LEDGER_TTL",
    "MISCONF": "the server cannot save its data (MISCONF); check its disk",
    "NOPERM": "the user lacks permissions (NOPERM); allow scripts and all keys that start with {signup-bridge}:",
}

_LOGIN_ERRORS = ("invalid password", "no password is set", "without any password", "unauthenticated")
"""Parts of Redis's error messages for rejected logins that have no specific code."""

_NOT_VALID_NOW = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_ANOTHER_NAME = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def is_elsewhere(error: Exception) -> bool:
    """Return whether a new connection may reach a server that accepts the command."""
    return _code(error) in _ELSEWHERE


def reason(error: Exception, *, password: bool) -> str:
    """Return the problem and the remedy. ``password``: the URL has a password."""
    return f"LEDGER_URL: {_reason(error, password)}"


def _code(error: Exception) -> str:
    """Return the server's error code, if it is one of `_BY_CODE`."""
    if not isinstance(error, ServerError):
        return ""
    first = str(error).partition(" ")[0]
    in_text = _IN_TEXT.search(str(error))
    return first if first in _BY_CODE else in_text[1] if in_text else ""


def _reason(error: Exception, password: bool) -> str:  # noqa: FBT001  callers of `reason` name it
    if isinstance(error, ServerError):
        if _is_about_login(str(error)):
            return _refused_login(error, password)
        return _refused_command(error)
    if isinstance(error, TimeoutError):
        return _late_response(error)
    if isinstance(error, OSError):
        return _failed_connection(error)
    if isinstance(error, EOFError):
        return "the server closed the connection; a port that expects TLS needs rediss://"
    return "the response is not from a Redis server; check the host and the port"


def _is_about_login(text: str) -> bool:
    return text.startswith(("NOAUTH ", "WRONGPASS ")) or any(part in text for part in _LOGIN_ERRORS)


def _refused_login(error: Exception, password: bool) -> str:  # noqa: FBT001  as above
    if not password:
        return "the server requires a password; add it to the URL, percent-encoded"
    if "no password is set" in str(error) or "without any password" in str(error):
        return "the server has no password, but the URL does; set one on the server or remove it from the URL"
    return "the server rejects the user name or the password; percent-encode both in the URL"


def _late_response(error: Exception) -> str:
    if "handshake" in str(error):  # a Redis server without TLS waits for the end of a command
        return "no response to the TLS handshake in time; check that the port expects TLS, and the network"
    return "no response in time; check the network between the bridge and the server, and the server's load"


def _refused_command(error: Exception) -> str:
    if code := _code(error):
        return _BY_CODE[code]
    text = str(error)
    if "max number of clients" in text:
        return "the server accepts no more connections; raise its maxclients"
    if "DB index" in text:
        return "the server has no database with this number; correct the number after the last slash"
    line = re.search(r"user_script:\s*(\d+)", text)
    other = re.match(r"[A-Z]+\b", text)
    where = f" at line {line[1]} of the script" if line else ""
    return f"the server rejects a command ({other[0] if other else 'ERR'}{where}); use a Redis server that runs scripts"


def _failed_connection(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _rejected_certificate(error)
    if isinstance(error, ssl.SSLError):
        files = "the files of ssl_ca_certs, ssl_certfile and ssl_keyfile"
        return f"TLS failed ({error.reason}); check that the port expects TLS, and {files}"
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
        return (
            f"ssl_ca_certs, ssl_certfile or ssl_keyfile cannot be read ({error.strerror}); check path and permissions"
        )
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved; check its spelling, and the DNS of the bridge's network"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused; check the host and the port, and that the server is running"
    return f"the connection failed ({error.strerror or type(error).__name__}); check the host, the port and the network"


def _rejected_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _ANOTHER_NAME:
        return "the server's certificate is for another host name; use a host name that the certificate contains"
    if error.verify_code in _NOT_VALID_NOW:
        return f"the server's certificate is not valid at this time ({error.verify_message}); renew it"
    return (
        f"the server's certificate is not trusted ({error.verify_message}); "
        "add ?ssl_ca_certs= with the path of the CA's PEM file"
    )
