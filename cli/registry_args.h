/* What verbs that speak to a registry have in common: options, the store. One thread. */
#ifndef TORPOR_CLI_REGISTRY_ARGS_H
#define TORPOR_CLI_REGISTRY_ARGS_H

#include <limits.h>

#include "cli/options.h"
#include "registry/transfer.h"
#include "store/cas.h"

#define OPTION_CACERT	  (OPTION_LONG_ONLY + 210)
#define OPTION_PLAIN_HTTP (OPTION_LONG_ONLY + 211)
#define OPTION_TIMEOUT	  (OPTION_LONG_ONLY + 212)

#define REGISTRY_OPTIONS                                                                           \
	{OPTION_CACERT, "cacert", "FILE", "trust the certificates in FILE, and no others"},        \
		{OPTION_PLAIN_HTTP, "plain-http", NULL,                                            \
		 "speak http, without encryption, to a registry on another host, too"},            \
	{                                                                                          \
		OPTION_TIMEOUT, "timeout", "SECONDS",                                              \
			"give up a connection that is silent for so long, default 60, and try "    \
			"again"                                                                    \
	}

/* Returns 1 when it is one of these options, 0 when it is not, or -EINVAL with ERR_USAGE. */
int registry_args_take(struct registry_options *options, int id, const char *value,
		       struct err *err);

/* The user's store of images. Returns what path_cas() and cas_open() give. */
int registry_args_store(struct cas *cas, enum cas_use use, struct err *err);

/* docker://HOST/…: what is not on this host has to be named in full. Returns what reference_parse()
 * gives, and ERR_USAGE for a name without a host. */
int registry_args_reference(struct reference *ref, const char *text, struct err *err);

/* HOST[:PORT] alone. ERR_USAGE for anything else. */
int registry_args_host(struct reference *ref, const char *text, struct err *err);

/* Fetch an image, of an appliance or of a container, into the store under its name, with a meter
 * for `verb`. `path` is its folder, an OCI layout; it is held (cas_hold()) as long as this process and
 * its children live. It is not set when what->all has none for this host. Other errors are those of
 * registry_open(), registry_pull(), cas_set_ref() and cas_hold(). */
int registry_args_pull(const struct reference *ref, const struct registry_options *options,
		       const struct registry_pull *what, const char *verb,
		       struct registry_pulled *pulled, char path[PATH_MAX], struct err *err);

#endif
