# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates: an authority's, a server's and its clients', by openssl."""

import shutil
import ssl
import subprocess


def openssl(*arguments):
    subprocess.run(['openssl', *map(str, arguments)], check=True, capture_output=True)


def issue(directory, name, subject, authority=None, days='2'):
    """Makes a key and a certificate; one of its own without an authority (CERTIFICATE, KEY)."""
    key, request, certificate = (directory / f'{name}-{kind}.pem' for kind in ('key', 'req', 'cert'))
    curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', subject]
    if not authority:
        openssl('req', '-x509', *curve, '-days', days, '-keyout', key, '-out', certificate)
        return certificate, key
    openssl('req', '-new', *curve, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', request)
    openssl('x509', '-req', '-in', request, '-CA', authority[0], '-CAkey', authority[1], '-CAcreateserial',
            '-days', days, '-copy_extensions', 'copy', '-out', certificate)
    return certificate, key


class Certificates:
    """A directory as libvirt has it, and what clients have."""

    def __init__(self, directory):
        self.path = directory / 'pki'
        self.path.mkdir()
        self.authority = issue(directory, 'ca', '/CN=Authority')
        shutil.copy(self.authority[0], self.path / 'ca-cert.pem')
        issue(self.path, 'server', '/CN=localhost', self.authority)
        self.client = issue(directory, 'client', '/O=Vireo/CN=viewer', self.authority)
        self.stranger = issue(directory, 'other', '/CN=viewer', issue(directory, 'other-ca', '/CN=Other'))

    def context(self, client=None, version=None):
        """What a client needs that trusts the authority, and has the certificate @client."""
        context = ssl.create_default_context(cafile=str(self.path / 'ca-cert.pem'))
        context.check_hostname = False
        if client:
            context.load_cert_chain(*map(str, client))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def object(self, more=''):
        return f'tls-creds-x509,id=tls,endpoint=server,dir={self.path}{more}'
