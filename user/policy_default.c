// SPDX-License-Identifier: GPL-2.0
/*
 * The policy that is used when the operator gives none: where a Linux system
 * keeps what opens other doors. Private halves only; public keys and
 * certificates that lie beside them are taken out where their names tell.
 */
#include "policy.h"

static const char *const default_rules[] = {
	/* Password hashes, and the backups that shadow-utils leaves. */
	"shadow=/etc/shadow*",
	"shadow=/etc/gshadow*",
	"shadow=/etc/security/opasswd*",

	"ssh-host-key=/etc/ssh/ssh_host_*_key",
	"ssh-user-key=/root/.ssh/id_*",
	"ssh-user-key=/home/*/.ssh/id_*",
	"ssh-user-key=!/root/.ssh/*.pub",
	"ssh-user-key=!/home/*/.ssh/*.pub",

	"tls-key=/etc/ssl/private/",
	"tls-key=/etc/letsencrypt/archive/**/privkey*.pem",
	"tls-key=/etc/letsencrypt/live/**/privkey*.pem",
	"tls-key=/etc/letsencrypt/keys/",
	"tls-key=/etc/letsencrypt/accounts/**/private_key.json",
	"tls-key=/etc/pki/tls/private/",
	"tls-key=/etc/nginx/**/*.key",
	"tls-key=/etc/apache2/**/*.key",
	"tls-key=/etc/haproxy/**/*.pem",

	"kubernetes=/etc/kubernetes/pki/**/*.key",
	"kubernetes=/etc/kubernetes/*.conf",
	"kubernetes=/var/lib/kubelet/pki/",
	"kubernetes=/var/lib/rancher/k3s/server/tls/",
	"kubernetes=/var/lib/rancher/k3s/server/cred/",
	"kubernetes=/root/.kube/config",
	"kubernetes=/home/*/.kube/config",
	"kubernetes=/run/secrets/kubernetes.io/",

	"kerberos=/etc/krb5.keytab",
	"kerberos=/var/lib/krb5kdc/",
	"kerberos=/tmp/krb5cc_*",

	"cloud=/root/.aws/credentials",
	"cloud=/home/*/.aws/credentials",
	"cloud=/root/.config/gcloud/**/*credentials*",
	"cloud=/home/*/.config/gcloud/**/*credentials*",
	"cloud=/root/.azure/*token*",
	"cloud=/home/*/.azure/*token*",
	"cloud=/root/.docker/config.json",
	"cloud=/home/*/.docker/config.json",

	"gnupg=/root/.gnupg/private-keys-v1.d/",
	"gnupg=/home/*/.gnupg/private-keys-v1.d/",

	"login=/root/.netrc",
	"login=/home/*/.netrc",
	"login=/root/.pgpass",
	"login=/home/*/.pgpass",
	"login=/root/.my.cnf",
	"login=/home/*/.my.cnf",
	"login=/etc/mysql/debian.cnf",
	"login=/root/.git-credentials",
	"login=/home/*/.git-credentials",
	"login=/root/.config/gh/hosts.yml",
	"login=/home/*/.config/gh/hosts.yml",

	"network=/etc/NetworkManager/system-connections/",
	"network=/etc/wireguard/*.conf",
	"network=/etc/wireguard/*.key",
	"network=/etc/ppp/*-secrets",
	"network=/etc/ipsec.secrets",
	"network=/etc/swanctl/private/",
	"network=/etc/wpa_supplicant/*.conf",
};

int policy_add_default(struct policy *policy, char *err, size_t err_len)
{
	size_t i;
	int rc;

	for (i = 0; i < sizeof(default_rules) / sizeof(default_rules[0]); i++) {
		rc = policy_add(policy, default_rules[i], err, err_len);
		if (rc)
			return rc;
	}
	return 0;
}
