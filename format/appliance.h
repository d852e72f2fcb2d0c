/*
 * The appliance's description: what the config blob of a .torpor file says.
 *
 * Plain data, nothing of the host in it. The JSON form (application/vnd.torpor.config.v1+json) is
 * documented in format/torpor.5. appliance_decode() refuses unknown versions, unknown members
 * outside "annotations", wrong types and values beyond the limits here; after it, every field is in
 * range.
 */
#ifndef TORPOR_FORMAT_APPLIANCE_H
#define TORPOR_FORMAT_APPLIANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "format/crypto/encryption.h"
#include "state/cpuneeds.h"
#include "state/hostneeds.h"

/* Format 2 is format 1 of an appliance that has disks outside of its file, which a reader of format 1
 * must refuse. Another major is refused by name, a newer minor is readable. */
#define APPLIANCE_FORMAT_MAJOR	1
#define APPLIANCE_FORMAT_MINOR	5
#define APPLIANCE_OUTSIDE_MAJOR 2
#define APPLIANCE_OUTSIDE_MINOR 3
#define APPLIANCE_MAX_DISKS	8
#define APPLIANCE_MAX_QUEUES	16 /* of a disk */
#define APPLIANCE_MAX_NETS	4
#define APPLIANCE_MAX_PAIRS	4
#define APPLIANCE_MAX_SHARES	4
#define APPLIANCE_TAG_MAX	36 /* bytes of a share's tag (virtio 1.2 §5.11.4) */
#define APPLIANCE_GUEST_MAX	255
#define APPLIANCE_MIN_MTU	1280 /* what IPv6 needs */
#define APPLIANCE_MAX_CMDLINE	65536
/* What an image of a container says beside its command: a member of the annotations each. Labels of
 * the image are members of their own names. */
#define APPLIANCE_MAX_ANNOTATIONS 65536
#define ANNOTATION_PREFIX	  "torpor."
#define ANNOTATION_IMAGE	  "torpor.image"    /* its reference in a registry */
#define ANNOTATION_MANIFEST	  "torpor.manifest" /* its digest */
#define ANNOTATION_PORTS	  "torpor.ports"    /* "80/tcp 53/udp" */
#define APPLIANCE_MAX_CONTENTS	  64
#define APPLIANCE_ROLE_SIZE	  64
#define APPLIANCE_DIGEST_SIZE	  72 /* "sha256:" and 64 hex digits; DIGEST_TEXT_SIZE */

/* The console port behind the guest agent's, over which commands run in the guest
 * (guest/exec_port.h). */
#define APPLIANCE_EXEC_PORT "org.torpor.exec.0"

enum appliance_console {
	CONSOLE_SERIAL, /* "ttyS0", "ttyAMA0": where `torpor console` types */
	CONSOLE_HVC,	/* "hvc0" */
};

struct appliance_disk {
	char id[21]; /* printable ASCII; the disk's serial for the guest (virtio 1.2 §5.2.6) */
	bool readonly;
	uint64_t size; /* bytes, a multiple of 512 */
	/* For requests, 1 to 16; 0 is 1. Whoever boots a cold appliance decides on it, so only live ones say it. */
	uint32_t queues;
	/* Live only: the disk is not in the file, which has the digest of what it held
	 * (format/image/disk_digest.h). "": it is in the file. */
	char outside[APPLIANCE_DIGEST_SIZE];
};

/* A network card. What carries its frames is the host's business, and not in the file. */
struct appliance_net {
	uint8_t mac[6]; /* all zero, in a cold appliance only: each machine gets its own */
	uint16_t mtu;	/* bytes of an IP packet, 1280 to 65535 */
	uint16_t pairs; /* of queues, 1 to 4 */
};

/* A shared folder. Which folder of the host it is, is the host's business, and not in the file. */
struct appliance_share {
	char tag[APPLIANCE_TAG_MAX + 1];     /* what the guest mounts it by */
	char guest[APPLIANCE_GUEST_MAX + 1]; /* where it is meant to be: an absolute path */
};

/* What belongs to the appliance, by digest, however it is encoded: kernel, initrd, state, and the
 * map and hash list of every image, which name its frames. So the digest of the config names
 * everything, and is the appliance's identity. The writer fills it in. */
struct appliance_content {
	char role[APPLIANCE_ROLE_SIZE];
	char digest[APPLIANCE_DIGEST_SIZE];
};

struct appliance {
	char machine[32]; /* "torpor-1" */
	char arch[16];	  /* "x86_64" */
	uint64_t memory;  /* bytes, a multiple of 64 KiB: whole frames are mapped */
	uint32_t vcpus;
	enum appliance_console console;
	char *cmdline; /* owned; never NULL after decode or init */
	/* Owned; JSON without spaces, names sorted, of at most APPLIANCE_MAX_ANNOTATIONS bytes; NULL:
	 * none. Nothing here depends on what they say. */
	char *annotations;
	uint32_t ndisks;
	struct appliance_disk disk[APPLIANCE_MAX_DISKS];
	uint32_t nnets;
	struct appliance_net net[APPLIANCE_MAX_NETS];
	/* Whoever boots a cold appliance decides on these, so only live ones have them. */
	uint32_t nshares;
	struct appliance_share share[APPLIANCE_MAX_SHARES];
	/* The guest's address (virtio 1.2 §5.10.4), 3 or more; 0: the machine has no vsock. Which socket of the
	 * host is behind it is the host's business. Live ones only, as above. */
	uint32_t vsock_cid;
	/* The machine has APPLIANCE_EXEC_PORT. Whoever boots a cold appliance decides that, so only
	 * live ones say it. */
	bool exec_port;

	/* A live appliance only. */
	bool live;
	char name[64];			    /* of the machine that was saved */
	uint64_t saved_ns;		    /* CLOCK_REALTIME of the pause */
	uint32_t generation;		    /* saves in this chain: 1 for the first */
	char parent[APPLIANCE_DIGEST_SIZE]; /* identity of the file it was resumed from or saved to
					       before; "" for none */
	bool increment; /* the contents are relative to the parent, and of no use without it */
	struct cpu_needs cpu;	      /* cold: only `profile` is set ("" = best baseline) */
	struct host_needs needs;      /* live only */
	struct encryption encryption; /* of the contents; the writer fills it in, too */
	uint32_t ncontents;
	struct appliance_content content[APPLIANCE_MAX_CONTENTS]; /* roles ascending */
};

/* An empty one. Returns 0 or -ENOMEM: then there is nothing to free. */
int appliance_init(struct appliance *a, struct err *err);
void appliance_free(struct appliance *a);
/* Returns 0 or -ENOMEM. */
int appliance_copy(struct appliance *to, const struct appliance *from, struct err *err);
/* Append the JSON, canonical (sorted keys, no spaces): one text for one appliance. Returns 0,
 * -EINVAL (ERR_USAGE: a command line too long, a text that is not UTF-8) or -ENOMEM. */
int appliance_encode(const struct appliance *a, struct buf *out, struct err *err);
/* Put the contents into their order. Cannot fail. */
void appliance_sort_contents(struct appliance *a);
/* Whether a path says where a share is in its guest: absolute, printable ASCII without ':', its parts neither
 * empty nor "." nor "..", not "/" alone, at most APPLIANCE_GUEST_MAX bytes. */
bool appliance_guest_path(const char *path);
/* The first disk that is outside of the file, or NULL. */
const struct appliance_disk *appliance_outside(const struct appliance *a);
/* The digest of a content, or NULL. */
const char *appliance_content(const struct appliance *a, const char *role);
/* `a` is to be freed only after 0. Otherwise -EINVAL with ERR_INTEGRITY, which names the member, or
 * with ERR_INCOMPATIBLE for a newer format; or -ENOMEM. */
int appliance_decode(struct appliance *a, const uint8_t *json, size_t len, struct err *err);

#endif
