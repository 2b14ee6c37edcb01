/*
 * vnc_credentials.c: what the VNC server shows its clients, and whom it believes, by TLS
 *
 * The certificates lie in a directory as libvirt and QEMU have them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/vnc_credentials.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool fail(GError **error, const char *path, const char *why)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "'%s': %s", path, why);
	return false;
}

static char *find_file(const VncTlsConfig *config, const char *name, GError **error)
{
	g_autofree char *path = g_build_filename(config->directory, name, NULL);

	if (access(path, R_OK) < 0) {
		fail(error, path, g_strerror(errno));
		return NULL;
	}
	return g_steal_pointer(&path);
}

/* Clients would turn away from one that is of another time. */
static bool check_dates(gnutls_certificate_credentials_t credentials, const char *path,
			GError **error)
{
	gnutls_x509_crt_t *certificates;
	unsigned n = 0;
	bool good = true;

	if (gnutls_certificate_get_x509_crt(credentials, 0, &certificates, &n) < 0)
		return fail(error, path, "there is no X.509 certificate");
	for (unsigned i = 0; i < n; i++) {
		if (good && gnutls_x509_crt_get_expiration_time(certificates[i]) < time(NULL))
			good = fail(error, path, "the certificate has expired");
		if (good && gnutls_x509_crt_get_activation_time(certificates[i]) > time(NULL))
			good = fail(error, path, "the certificate is not valid yet");
		gnutls_x509_crt_deinit(certificates[i]);
	}
	gnutls_free(certificates);
	return good;
}

static bool load_authority(VncCredentials *credentials, const VncTlsConfig *config, GError **error)
{
	g_autofree char *authority = find_file(config, "ca-cert.pem", error);
	g_autofree char *revoked = g_build_filename(config->directory, "ca-crl.pem", NULL);
	int result;

	if (!authority)
		return false;
	result = gnutls_certificate_set_x509_trust_file(credentials->certificates, authority,
							GNUTLS_X509_FMT_PEM);
	if (result <= 0)
		return fail(error, authority,
			    result < 0 ? gnutls_strerror(result) : "there is no certificate in it");
	/* Who has none has revoked none. */
	if (access(revoked, F_OK) < 0 && errno == ENOENT)
		return true;
	result = gnutls_certificate_set_x509_crl_file(credentials->certificates, revoked,
						      GNUTLS_X509_FMT_PEM);
	return result > 0 || fail(error, revoked,
				  result < 0 ? gnutls_strerror(result) : "there is no list in it");
}

static bool load_certificate(VncCredentials *credentials, const VncTlsConfig *config,
			     GError **error)
{
	g_autofree char *certificate = find_file(config, "server-cert.pem", error);
	g_autofree char *key = certificate ? find_file(config, "server-key.pem", error) : NULL;
	g_autofree char *both = NULL;
	int result;

	if (!key)
		return false;
	both = g_strdup_printf("%s' or '%s", certificate, key);
	result = gnutls_certificate_set_x509_key_file(credentials->certificates, certificate, key,
						      GNUTLS_X509_FMT_PEM);
	if (result < 0)
		return fail(error, both, gnutls_strerror(result));
	return check_dates(credentials->certificates, certificate, error);
}

static bool load(VncCredentials *credentials, const VncTlsConfig *config, GError **error)
{
	int result = gnutls_certificate_allocate_credentials(&credentials->certificates);

	if (result < 0)
		return fail(error, config->directory, gnutls_strerror(result));
	if (!load_authority(credentials, config, error) ||
	    !load_certificate(credentials, config, error))
		return false;
	gnutls_certificate_set_known_dh_params(credentials->certificates, GNUTLS_SEC_PARAM_MEDIUM);
	result = gnutls_priority_init(&credentials->priority, config->priority, NULL);
	return result >= 0 || fail(error, config->priority ? config->priority : "priority",
				   gnutls_strerror(result));
}

VncCredentials *vnc_credentials_load(const VncTlsConfig *config, GError **error)
{
	VncCredentials *credentials = g_new0(VncCredentials, 1);

	credentials->references = 1;
	if (!load(credentials, config, error))
		g_clear_pointer(&credentials, vnc_credentials_unref);
	return credentials;
}

VncCredentials *vnc_credentials_ref(VncCredentials *credentials)
{
	g_atomic_int_inc(&credentials->references);
	return credentials;
}

void vnc_credentials_unref(VncCredentials *credentials)
{
	if (!credentials || !g_atomic_int_dec_and_test(&credentials->references))
		return;
	if (credentials->priority)
		gnutls_priority_deinit(credentials->priority);
	if (credentials->certificates)
		gnutls_certificate_free_credentials(credentials->certificates);
	g_free(credentials);
}
