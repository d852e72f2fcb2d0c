/*
 * An appliance that is resumed while it is fetched: docker://REF or https://HOST/FILE on a command
 * line (wire/wire.h). One thread, before it is confined.
 *
 *     wire_source_open → resume_args.wire → … → wire_source_close, after the machine is over
 */
#ifndef TORPOR_CLI_WIRE_SOURCE_H
#define TORPOR_CLI_WIRE_SOURCE_H

#include "instance/source.h"
#include "registry/session.h"
#include "wire/wire.h"

struct wire_source {
	struct wire *wire; /* owned */
	struct container_member whole;
	char home[PATH_MAX];		  /* where it will be; "": nowhere */
	const char *verb;		  /* of the meter */
	const struct progress *waits_for; /* while wire_open() waits for the other side */
};

/* `wait`: until all of it is there, with a meter for `verb`. When the store had all of it, *stored
 * is the path of its folder, which is to be opened like any other; else NULL. With `signer`, a
 * key or `trust` (trust_load()), the signatures beside the image are fetched before anything runs, and one
 * that is stored gets its name when it is signed. Returns 0;
 * ERR_NOT_FOUND for a parent that is nowhere; or what wire_open(), path_cas() and arrival_await()
 * give. */
int wire_source_open(struct wire_source *s, const char *text,
		     const struct registry_options *options, const char *verb, bool wait,
		     const char *signer, const char **stored, struct err *err);
void wire_source_close(struct wire_source *s);

/* What archive_open_with() is told. */
void wire_source_params(const struct wire_source *s, struct archive_open_params *params);
/* What its machine is told, once it is open. */
void wire_source_attach(const struct wire_source *s, struct source *source);

#define cleanup_wire_source __attribute__((cleanup(wire_source_close)))

#endif
